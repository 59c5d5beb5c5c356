/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who a process is, where no LSM program loads. Programs of cgroups have no task storage (before
 * 6.13), and nothing tells when a process changes its user: so subjects are kept by process number,
 * with what they were made of, which is compared each time.
 *
 * They are changed in a buffer of one's own and put back whole, so that nobody sees half of one.
 */
#ifndef AEGIS_NET_SUBJECT_H
#define AEGIS_NET_SUBJECT_H

#include "evidence.h"

/* Programs that look at a process at the same moment. */
#define ASKINGS 256
/* Buffers tried from the one that the CPU would take. */
#define ASKING_TRIES 32

/* What can change without an exec. */
struct identity_of {
	__u64 start; /* of the process: numbers come again */
	__u64 cgroup;
	__u64 groups; /* struct group_info */
	__u32 uid;
	__u32 gid;
	__u32 login;
	__u32 unused;
};

struct process {
	struct identity_of identity;
	struct subject subject;
};

/* All that is needed to decide a request; too much for the stack. */
struct asking {
	__u64 owner; /* 0: free */
	__u32 pid;
	__u32 unused;
	struct process process;
	struct question question;
	struct labels labels;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct process);
} processes __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ASKINGS);
	__type(key, __u32);
	__type(value, struct asking);
} askings __weak SEC(".maps");

static long try_asking(__u32 round, struct claim *claim)
{
	__u32 at = (claim->first + round) % ASKINGS;
	struct asking *asking = bpf_map_lookup_elem(&askings, &at);

	if (!asking || __sync_val_compare_and_swap(&asking->owner, 0, 1))
		return 0;
	claim->found = at + 1;
	return 1;
}

static __always_inline struct asking *claim_asking(void)
{
	struct claim claim = {.first = bpf_get_smp_processor_id() * 4};
	struct asking *asking;

	bpf_loop(ASKING_TRIES, try_asking, &claim, 0);
	claim.first = claim.found - 1;
	asking = claim.found ? bpf_map_lookup_elem(&askings, &claim.first) : NULL;
	if (!asking)
		count(COUNT_NO_SUBJECT);
	return asking;
}

static __always_inline void release_asking(struct asking *asking)
{
	__sync_lock_test_and_set(&asking->owner, 0);
}

static __always_inline void identify(struct identity_of *identity)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = kread(struct task_struct, task, group_leader);
	struct cred *cred = (void *)kread(struct task_struct, leader, real_cred);

	identity->start = kread(struct task_struct, leader, start_boottime);
	identity->cgroup = task_cgroup(task);
	identity->groups = (__u64)kread(struct cred, cred, group_info);
	identity->uid = kread(struct cred, cred, euid.val);
	identity->gid = kread(struct cred, cred, egid.val);
	identity->login = compat_loginuid(leader);
	identity->unused = 0;
}

static __always_inline bool is_same(const struct identity_of *one, const struct identity_of *other)
{
	return one->cgroup == other->cgroup && one->groups == other->groups &&
	       one->uid == other->uid && one->gid == other->gid && one->login == other->login;
}

/* The labels of the executable of the current process; none if it has none. */
static __always_inline void label_executable(struct labels *labels, __u64 epoch)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 mm = peek_member(struct task_struct, task, mm);
	__u64 file = mm ? peek_member(struct mm_struct, mm, exe_file) : 0;

	labels->count = 0;
	labels->unresolved = 0;
	if (file)
		label_path(peek_member(struct file, file, f_path.dentry), NULL, NULL, labels,
		           epoch);
}

static __always_inline void put_back(struct asking *asking)
{
	if (bpf_map_update_elem(&processes, &asking->pid, &asking->process, BPF_ANY))
		count(COUNT_NO_SUBJECT);
}

/* What is kept of the current process; nothing if that was another one of the same number. */
static __always_inline void take_process(struct asking *asking, const struct identity_of *now)
{
	struct process *kept;
	__u32 pid = bpf_get_current_pid_tgid() >> 32;

	kept = bpf_map_lookup_elem(&processes, &pid);
	asking->pid = pid;
	if (kept && kept->identity.start == now->start)
		asking->process = *kept;
	else
		__builtin_memset(&asking->process, 0, sizeof(asking->process));
}

/* Nobody can say here that a process was armed, or is armed no more: so these are found each time.
 */
static __always_inline bool may_be_armed(const struct subject *subject, __u64 epoch)
{
	return subject->plain & IS_ARMED || arming_of(epoch, bpf_get_current_task());
}

/* Brings the current process up to date. A function of its own to the verifier. */
static __noinline int renew_process(struct asking *asking, __u64 epoch)
{
	struct identity_of now = {};
	struct labels labels;

	if (!asking)
		return 0;
	identify(&now);
	take_process(asking, &now);
	if (asking->process.subject.epoch == epoch && is_same(&asking->process.identity, &now) &&
	    !may_be_armed(&asking->process.subject, epoch))
		return 0;
	label_executable(&labels, epoch);
	find_bits(&asking->process.subject, &labels, epoch, bpf_get_current_task());
	asking->process.identity = now;
	put_back(asking);
	return 0;
}

#endif
