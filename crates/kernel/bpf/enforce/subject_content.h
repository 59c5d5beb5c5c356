/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the executable of a process holds, as far as rules are about that. */
#ifndef AEGIS_SUBJECT_CONTENT_H
#define AEGIS_SUBJECT_CONTENT_H

#include "subjects.h"

/* What the programs hold that ran before anybody hashed: user space read them. While a program runs
 * nobody can write its file. */
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct content);
} told_contents __weak SEC(".maps");

/* Set by the loader: whether the kernel has storage of inodes. Some have none where BPF is no LSM;
 * there is no map then, and what names it is never verified. */
const volatile struct {
	__u32 there;
} inode_storage __weak SEC(".rodata.inodes") = {1};

/* Finds what the tables say of what the executable of a process holds. Before all else is found,
 * and not on the way, for the room on the stack. */
__weak __noinline int find_content(struct subject *subject, __u64 epoch)
{
	struct policy_head *head = policy_of(epoch);

	if (!subject)
		return 0;
	subject->by_content = 0;
	if (head && head->sections[SECTION_EXECUTABLE_HASHES].len)
		subject->by_content =
		        find_hash(head, &subject->content, SECTION_EXECUTABLE_HASHES, HASH_SET);
	return 0;
}

/* What the executable holds of a process that ran before anybody hashed. */
static __noinline int take_content(struct task_struct *task, struct subject *subject)
{
	struct mm_struct *mm = task->mm;
	struct content *told;
	struct file *file;

	if (!subject || !inode_storage.there)
		return 0;
	file = mm ? mm->exe_file : NULL;
	told = file ? bpf_inode_storage_get(&told_contents, file->f_inode, 0, 0) : NULL;
	if (told)
		subject->content = *told;
	return 0;
}

#endif
