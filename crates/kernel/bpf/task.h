/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a record tells about a process. */
#ifndef AEGIS_TASK_H
#define AEGIS_TASK_H

#include "emit.h"

static __always_inline __u64 task_start(struct task_struct *task)
{
	return kread(struct task_struct, task, group_leader, start_boottime);
}

static __always_inline __u64 task_cgroup(struct task_struct *task)
{
	return kread(struct task_struct, task, cgroups, dfl_cgrp, kn, id);
}

/* The header for an act of `task` at this moment. */
static __always_inline void fill_header(struct rec_header *h, struct task_struct *task, __u32 kind,
                                        __u32 provider, __u32 len)
{
	const struct cred *cred = kread(struct task_struct, task, cred);

	h->time = bpf_ktime_get_boot_ns();
	h->start = task_start(task);
	h->cgroup = task_cgroup(task);
	h->pid = kread(struct task_struct, task, tgid);
	h->tid = kread(struct task_struct, task, pid);
	h->uid = kread(struct cred, cred, euid.val);
	h->gid = kread(struct cred, cred, egid.val);
	h->len = len;
	h->flags = 0;
	h->kind = kind;
	h->provider = provider;
	h->cpu = bpf_get_smp_processor_id();
}

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

/* Ring memory is not zeroed by the kernel. */
static __always_inline void zero_words(void *at, __u32 bytes)
{
	__u64 *word = at;

	for (__u32 i = 0; i < bytes / 8; i++)
		word[i] = 0;
}

/*
 * What follows reads a task through a typed pointer (of tp_btf and iterators): the verifier turns
 * each member access into one load, where BPF_CORE_READ would call a helper.
 */
static __always_inline void fill_creds(struct rec_task *r, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	r->h.uid = cred->euid.val;
	r->h.gid = cred->egid.val;
	r->ruid = cred->uid.val;
	r->rgid = cred->gid.val;
	r->suid = cred->suid.val;
	r->sgid = cred->sgid.val;
	r->cap_permitted = compat_cap(&cred->cap_permitted);
	r->cap_effective = compat_cap(&cred->cap_effective);
	r->cap_inheritable = compat_cap(&cred->cap_inheritable);
	r->loginuid = bpf_core_field_exists(task->loginuid) ? task->loginuid.val : ~0U;
	r->audit_session = bpf_core_field_exists(task->sessionid) ? task->sessionid : ~0U;
	r->ns_user = cred->user_ns->ns.inum;
}

/* The number of the task's id of that type, in the initial pid namespace. */
static __always_inline __u32 task_id(struct task_struct *task, int type)
{
	return kread(struct task_struct, task, signal, pids[type], numbers[0].nr);
}

static __always_inline __u32 pid_namespace(struct task_struct *task)
{
	struct pid *pid = task->thread_pid;
	__u32 level = pid->level;
	struct upid upid = {};

	bpf_core_read(&upid, sizeof(upid), &pid->numbers[level]);
	return BPF_CORE_READ(upid.ns, ns.inum);
}

static __always_inline void fill_namespaces(struct rec_task *r, struct task_struct *task)
{
	struct nsproxy *ns = task->nsproxy;

	r->ns_pid = pid_namespace(task);
	/* A task that has exited has none any more. */
	if (!ns)
		return;
	r->ns_mnt = ns->mnt_ns->ns.inum;
	r->ns_net = ns->net_ns->ns.inum;
	r->ns_uts = ns->uts_ns->ns.inum;
	r->ns_ipc = ns->ipc_ns->ns.inum;
	r->ns_cgroup = ns->cgroup_ns->ns.inum;
}

static __always_inline __u32 task_tty(struct task_struct *task)
{
	struct tty_struct *tty = task->signal->tty;

	if (!tty)
		return 0;
	return tty->driver->major << 8 | ((tty->driver->minor_start + tty->index) & 0xff);
}

/* Everything of rec_task that has a fixed place, except what belongs to one kind of record. */
static __always_inline void fill_task(struct rec_task *r, struct task_struct *task, __u32 kind,
                                      __u32 provider)
{
	struct task_struct *parent = task->real_parent->group_leader;

	zero_words(r, sizeof(*r));
	r->h.time = bpf_ktime_get_boot_ns();
	r->h.start = task->group_leader->start_boottime;
	r->h.cgroup = task->cgroups->dfl_cgrp->kn->id;
	r->h.pid = task->tgid;
	r->h.tid = task->pid;
	r->h.len = sizeof(*r);
	r->h.kind = kind;
	r->h.provider = provider;
	r->h.cpu = bpf_get_smp_processor_id();
	r->parent_start = parent->start_boottime;
	r->ppid = parent->tgid;
	r->pgid = task_id(task, PIDTYPE_PGID);
	r->sid = task_id(task, PIDTYPE_SID);
	r->tty = task_tty(task);
	fill_creds(r, task);
	fill_namespaces(r, task);
	if (task->flags & PF_KTHREAD)
		r->task_flags |= TASK_KTHREAD;
}

/* The command name sits directly behind the fixed part. */
#define COMM_BYTES 16
#define TASK_FIXED (sizeof(struct rec_task) + COMM_BYTES)

static __always_inline void fill_comm(struct rec_task *r, struct task_struct *task)
{
	char *comm = (char *)(r + 1);
	long len = bpf_core_read_str(comm, COMM_BYTES, &task->comm);

	r->comm.off = sizeof(*r);
	r->comm.len = len > 0 ? len - 1 : 0;
	r->h.len = TASK_FIXED;
}

#endif
