/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Which process a socket belongs to. Much of a connection's life happens in softirq, where the
 * current process is any: so the process is written down in the socket when it connects, listens
 * or sends, and an accepted socket inherits it from its listener.
 */
#ifndef AEGIS_OWNER_H
#define AEGIS_OWNER_H

#include "task.h"

struct owner {
	__u64 start;
	__u64 cgroup;
	__u32 pid;
	__u32 tid;
	__u32 uid;
	__u32 gid;
	__u32 established; /* the connection came about */
	__u32 accepted;    /* by the listener */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners __weak SEC(".maps");

static __always_inline void owner_of_task(struct owner *o, struct task_struct *task)
{
	const struct cred *cred = kread(struct task_struct, task, cred);

	o->start = task_start(task);
	o->cgroup = task_cgroup(task);
	o->pid = kread(struct task_struct, task, tgid);
	o->tid = kread(struct task_struct, task, pid);
	o->uid = kread(struct cred, cred, euid.val);
	o->gid = kread(struct cred, cred, egid.val);
	o->established = 0;
	o->accepted = 0;
}

static __always_inline void fill_owner(struct rec_header *h, const struct owner *o, __u32 kind,
                                       __u32 provider, __u32 len)
{
	h->time = bpf_ktime_get_boot_ns();
	h->start = o->start;
	h->cgroup = o->cgroup;
	h->pid = o->pid;
	h->tid = o->tid;
	h->uid = o->uid;
	h->gid = o->gid;
	h->len = len;
	h->flags = 0;
	h->kind = kind;
	h->provider = provider;
	h->cpu = bpf_get_smp_processor_id();
}

/* Writes the current process down in the socket. A macro: program types differ in the pointer. */
#define own_socket(sk, task)                                                                       \
	({                                                                                         \
		struct owner *owner_ =                                                             \
		        bpf_sk_storage_get(&owners, (sk), 0, BPF_SK_STORAGE_GET_F_CREATE);         \
		if (owner_)                                                                        \
			owner_of_task(owner_, (task));                                             \
		else                                                                               \
			count_lost(RING_REST, LOSS_STORAGE);                                       \
	})

#endif
