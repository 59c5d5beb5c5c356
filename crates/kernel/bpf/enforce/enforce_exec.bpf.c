// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Execution, and who a process is from then on. */
#include "ask.h"
#include "hash.h"

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

/* Adds the label of what a file holds. What cannot be told may be anything: it has the label of all
 * that is denied by its hash. */
__weak __noinline int label_hash(struct labels *labels, const struct content *of, __u64 epoch)
{
	struct policy_head *head = policy_of(epoch);
	__u32 at;

	if (!labels || !head)
		return 0;
	at = find_hash(head, of, SECTION_HASHES, HASH_LABEL);
	if (at)
		add_label(head, labels, word(head, at + HASH_LABEL - 1));
	return 0;
}

enum by_hash { NOT_BY_HASH, BY_HASH, LATER };

/*
 * Adds what the hash of a file says. That of an interpreter may come only after it was asked about
 * here, depending on the kernel: then it is decided about when it is to run. If it does not, but is
 * itself given to an interpreter, its hash counts as one that cannot be had.
 */
static __always_inline enum by_hash add_hash(struct inode *inode, struct labels *labels,
                                             __u64 epoch, bool may_wait)
{
	struct policy_head *head = policy_of(epoch);
	struct executed *executed;

	if (!head || !head->sections[SECTION_HASHES].len)
		return NOT_BY_HASH;
	executed = bpf_task_storage_get(&executions, bpf_get_current_task_btf(), 0, 0);
	if (executed && executed->skipped && executed->skipped != as_number(inode)) {
		label_hash(labels, NULL, epoch);
	} else if (executed && executed->fresh && executed->inode == as_number(inode)) {
		label_hash(labels, &executed->content, epoch);
		executed->fresh = 0;
		executed->skipped = 0;
	} else if (executed && may_wait) {
		executed->skipped = as_number(inode);
		return LATER;
	} else {
		label_hash(labels, NULL, epoch);
	}
	return BY_HASH;
}

/* Asked for the program, and again for the interpreter that is found for it. */
SEC("lsm/bprm_check_security")
int BPF_PROG(enforce_exec, struct linux_binprm *bprm)
{
	bool first = as_number(bprm->filename) == as_number(bprm->interp);
	struct file *file = bprm->file;
	struct inode *inode = file->f_inode;
	struct asker asker;
	struct labels labels;
	int error;

	if (!is_asked(&asker, 0) && !asker.epoch)
		return 0;
	file_labels(inode, peek_member(struct file, as_number(file), f_path.dentry), &labels,
	            asker.epoch);
	if (add_hash(inode, &labels, asker.epoch, !first) == LATER) {
		if (asker.subject)
			follow_exec(asker.subject);
		return 0;
	}
	error = refuse(&asker, &labels, DO_EXECUTE, inode->i_sb->s_dev, inode->i_ino);
	if (error)
		return error;
	if (!asker.subject)
		return 0;
	if (first)
		note_script(asker.subject, &labels, asker.epoch);
	follow_exec(asker.subject);
	return 0;
}

/* Before the process becomes the program: about an interpreter whose hash was not there before. */
SEC("lsm/bprm_creds_from_file")
int BPF_PROG(enforce_interpreter, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;
	struct inode *inode = file->f_inode;
	struct executed *executed;
	struct asker asker;
	struct labels labels;

	executed = bpf_task_storage_get(&executions, bpf_get_current_task_btf(), 0, 0);
	if (!executed || !executed->skipped || (!is_asked(&asker, 0) && !asker.epoch))
		return 0;
	file_labels(inode, peek_member(struct file, as_number(file), f_path.dentry), &labels,
	            asker.epoch);
	add_hash(inode, &labels, asker.epoch, false);
	return refuse(&asker, &labels, DO_EXECUTE, inode->i_sb->s_dev, inode->i_ino);
}

/* What the program holds that is in place now. */
static __always_inline void note_content(struct subject *subject, __u64 inode)
{
	struct executed *executed =
	        bpf_task_storage_get(&executions, bpf_get_current_task_btf(), 0, 0);

	if (executed && executed->inode == inode)
		subject->content = executed->content;
	else
		subject->content.state = now.hashing ? CONTENT_UNKNOWN : CONTENT_NONE;
}

/* The storage of a process cannot be had: it is told what it missed as soon as it can. */
static __noinline int miss(__u32 pid, __u64 what)
{
	__u64 *before = bpf_map_lookup_elem(&missed, &pid), all = what | (before ? *before : 0);

	bpf_map_update_elem(&missed, &pid, &all, BPF_ANY);
	__sync_fetch_and_or(&now.missed, 1);
	return 0;
}

/* The new program is in place; what follows from it is found when it first asks for something. */
SEC("lsm/bprm_committed_creds")
int BPF_PROG(enforce_execed, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0,
	                                               BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!subject)
		return miss(task->tgid, MISSED_EXEC);
	note_content(subject, peek_member(struct file, as_number(bprm->file), f_inode));
	succeed(subject);
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
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0,
	                                               BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!subject)
		return miss(task->tgid, MISSED_CHANGE);
	outdate(subject);
	return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(enforce_cgroup_move, struct cgroup *to, const char *path, struct task_struct *task)
{
	struct subject *subject = bpf_task_storage_get(&subjects, task->group_leader, 0,
	                                               BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!subject)
		return miss(task->tgid, MISSED_CHANGE);
	outdate(subject);
	return 0;
}
