// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Files: the hooks that decide about them. */
#include "decide.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_TRUNC 01000

static __always_inline int verdict(const struct policy_head *head, const struct subject *subject,
                                   const struct labels *labels, __u32 operation)
{
	struct reason reason = {};

	decide(head, subject, operation, labels, &reason);
	if (reason.decision == DECISION_DENY || reason.decision == DECISION_LIMIT) {
		count(COUNT_DENIED);
		return -EPERM;
	}
	return 0;
}

SEC("lsm/file_open")
int BPF_PROG(enforce_open, struct file *file)
{
	struct policy_head *head = policy_in_force();
	const struct subject *subject;
	struct labels labels = {};
	__u32 mode;

	if (!head)
		return 0;
	subject = current_subject(head);
	if (!subject)
		subject = &unknown;
	mode = file->f_mode;
	if (!is_in(head->concerned[DO_READ], subject) && !is_in(head->concerned[DO_WRITE], subject))
		return 0;
	if (!file_labels(head, file->f_inode, file->f_path.dentry, &labels))
		return -EPERM;
	if (mode & FMODE_READ && verdict(head, subject, &labels, DO_READ)) {
		return -EPERM;
	}
	if ((mode & FMODE_WRITE || file->f_flags & O_TRUNC) &&
	    verdict(head, subject, &labels, DO_WRITE)) {
		return -EPERM;
	}
	return 0;
}

/* After a directory moved, no path below it is what it was. */
static __always_inline int moved(struct dentry *dentry)
{
	if ((BPF_CORE_READ(dentry, d_inode, i_mode) & S_IFMT) == 0040000)
		__sync_fetch_and_add(&moves, 1);
	return 0;
}

SEC("fexit/d_move")
int BPF_PROG(enforce_moved, struct dentry *dentry)
{
	return moved(dentry);
}

SEC("fexit/d_exchange")
int BPF_PROG(enforce_exchanged, struct dentry *one, struct dentry *other)
{
	moved(other);
	return moved(one);
}

/* A child is who its parent is, until it executes something else. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(enforce_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 from = parent->tgid, to = child->tgid;
	struct subject *subject;

	if (from == to)
		return 0;
	subject = bpf_map_lookup_elem(&subjects, &from);
	if (subject)
		bpf_map_update_elem(&subjects, &to, subject, BPF_ANY);
	return 0;
}
