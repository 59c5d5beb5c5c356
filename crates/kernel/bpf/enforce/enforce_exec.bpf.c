// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Execution, and who a process is from then on. */
#include "ask.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CLONE_THREAD 0x00010000

/* What the file is as a script, should an interpreter be found for it. */
__weak __noinline int note_script(struct subject *subject, const struct labels *labels, __u64 epoch)
{
	struct policy_head *head = policy_of(epoch);

	if (!subject || !labels || !head)
		return 0;
	clear_set(&subject->next_script);
	add_role(head, labels, ROLE_SCRIPT, &subject->next_script);
	return 0;
}

/* An exec by another thread makes that one the leader: it takes along what the process is. */
static __always_inline void follow_exec(const struct subject *subject)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *own;

	if (task->pid == task->tgid)
		return;
	own = bpf_task_storage_get(&subjects, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (own)
		*own = *subject;
	else
		count(COUNT_NO_SUBJECT);
}

/* Asked for the program, and again for the interpreter that is found for it. */
SEC("lsm/bprm_check_security")
int BPF_PROG(enforce_exec, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;
	struct inode *inode = file->f_inode;
	struct asker asker;
	struct labels labels;
	int error;

	if (!is_asked(&asker, 0) && !asker.epoch)
		return 0;
	file_labels(inode, peek_member(struct file, as_number(file), f_path.dentry), &labels,
	            asker.epoch);
	error = refuse(&asker, &labels, DO_EXECUTE, inode->i_sb->s_dev, inode->i_ino);
	if (error)
		return error;
	if (!asker.subject)
		return 0;
	if (as_number(bprm->filename) == as_number(bprm->interp))
		note_script(asker.subject, &labels, asker.epoch);
	follow_exec(asker.subject);
	return 0;
}

/* The new program is in place; what follows from it is found when it first asks for something. */
SEC("lsm/bprm_committed_creds")
int BPF_PROG(enforce_execed, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0, 0);
	struct policy_head *head;

	if (!subject)
		return 0;
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		subject->ancestors.words[i] |= subject->ancestor.words[i];
	head = policy_of(subject->past);
	if (head)
		inherit(head, subject);
	if (as_number(bprm->filename) != as_number(bprm->interp))
		subject->script = subject->next_script;
	else
		clear_set(&subject->script);
	outdate(subject);
	return 0;
}

/* A child is who its parent is, until it executes something else. */
SEC("lsm/task_alloc")
int BPF_PROG(enforce_fork, struct task_struct *child, unsigned long flags)
{
	struct subject *own;
	struct asker asker;

	if (flags & CLONE_THREAD)
		return 0;
	is_asked(&asker, 0);
	if (!asker.epoch || !asker.subject)
		return 0;
	own = bpf_task_storage_get(&subjects, child, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own) {
		count(COUNT_NO_SUBJECT);
		return 0;
	}
	*own = *asker.subject;
	if (own->plain & IS_ARMED)
		outdate(own);
	return 0;
}

/* User, groups, login session. */
SEC("fexit/commit_creds")
int BPF_PROG(enforce_creds)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0, 0);

	if (subject)
		outdate(subject);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(enforce_cgroup_move, struct cgroup *to, const char *path, struct task_struct *task)
{
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0, 0);

	if (subject)
		outdate(subject);
	return 0;
}
