/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who another process is to the rules: the one that is traced, or gets a signal.
 *
 * Nothing is written into what is kept of it, which is its own to change: what had to be found is
 * kept with the thread that asks. Its executable is known by its path only, read as numbers: a
 * process may end at any moment, and the kernel would follow a pointer that is gone.
 */
#ifndef AEGIS_OTHER_H
#define AEGIS_OTHER_H

#include "ask.h"

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct subject);
} others __weak SEC(".maps");

/* The labels of the executable of a process; one that has lost its memory is not known any more. */
static __always_inline void other_executable(__u64 task, struct labels *labels, __u64 epoch)
{
	__u64 mm = (__u64)kread(struct task_struct, task, mm);
	__u64 file = mm ? (__u64)kread(struct mm_struct, mm, exe_file) : 0;

	labels->count = 0;
	labels->unresolved = !mm && !(kread(struct task_struct, task, flags) & PF_KTHREAD);
	if (file)
		label_path(peek_member(struct file, file, f_path.dentry), NULL, NULL, labels,
		           epoch);
}

/* NULL if it cannot be found out. */
static __noinline struct subject *other_subject(struct task_struct *task, __u64 epoch)
{
	struct subject *known = bpf_task_storage_get(&subjects, task->group_leader, 0, 0), *found;
	struct labels labels;

	if (known && known->epoch == epoch)
		return known;
	if (!known)
		known = bpf_task_storage_get(&former_subjects, task->group_leader, 0, 0);
	found = bpf_task_storage_get(&others, bpf_get_current_task_btf(), 0,
	                             BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!found) {
		count(COUNT_NO_SUBJECT);
		return NULL;
	}
	if (known)
		*found = *known;
	else
		__builtin_memset(found, 0, sizeof(*found));
	other_executable(as_number(task), &labels, epoch);
	if (labels.unresolved)
		return NULL;
	find_content(found, epoch);
	find_bits(found, &labels, epoch, as_number(task));
	return found->epoch == epoch ? found : NULL;
}

struct matching {
	const struct policy_head *head;
	const struct subject *subject;
	struct labels *labels;
};

/* Each subject that rules name as an object has a label. */
static long add_process(__u32 at, struct matching *of)
{
	const struct policy_head *head = of->head;
	__u32 place = section(head, SECTION_PROCESSES) + 2 * at;
	__u32 bit = word(head, place) & (SUBJECT_WORDS * 64 - 1);

	if (2 * at >= head->sections[SECTION_PROCESSES].len)
		return 1;
	if (of->subject->bits.words[bit / 64] >> (bit % 64) & 1)
		add_label(head, of->labels, word(head, place + 1));
	return 0;
}

/* The labels of a process as what is acted on. */
static __always_inline void label_process(struct task_struct *task, struct labels *labels,
                                          __u64 epoch)
{
	struct policy_head *head = policy_of(epoch);
	struct matching of = {.head = head, .labels = labels};

	labels->count = 0;
	labels->unresolved = !head;
	if (!head || !head->sections[SECTION_PROCESSES].len)
		return;
	of.subject = other_subject(task, epoch);
	if (of.subject)
		bpf_loop(SUBJECT_WORDS * 64, add_process, &of, 0);
	else
		labels->unresolved = 1;
}

#endif
