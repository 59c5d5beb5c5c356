// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Where no LSM program loads: what a process passes on when it executes something or forks. A child
 * is who its parent is, until it executes something else.
 */
#include "net_subject.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_process_exec")
int BPF_PROG(fallback_exec, struct task_struct *task, int old, struct linux_binprm *bprm)
{
	__u64 epoch = current_epoch();
	struct asking *asking;
	struct identity_of now = {};
	struct policy_head *head;
	struct subject *subject;

	asking = epoch ? claim_asking() : NULL;
	if (!asking)
		return 0;
	identify(&now);
	take_process(asking, &now);
	subject = &asking->process.subject;
	head = policy_of(subject->past);
	if (head)
		inherit(head, subject);
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		subject->ancestors.words[i] |= subject->ancestor.words[i];
	subject->epoch = 0;
	put_back(asking);
	renew_process(asking, epoch);
	release_asking(asking);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fallback_fork, struct task_struct *parent, struct task_struct *child)
{
	__u64 epoch = current_epoch();
	struct asking *asking;
	__u32 pid = child->tgid;

	if (!epoch || parent->tgid == child->tgid || parent->flags & PF_KTHREAD)
		return 0;
	asking = claim_asking();
	if (!asking)
		return 0;
	renew_process(asking, epoch);
	asking->pid = pid;
	asking->process.identity.start = child->start_boottime;
	if (asking->process.subject.plain & IS_ARMED)
		asking->process.subject.epoch = 0;
	put_back(asking);
	release_asking(asking);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(fallback_exit, struct task_struct *task)
{
	__u32 pid = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&processes, &pid);
	return 0;
}
