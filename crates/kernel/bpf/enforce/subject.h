/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who a process is to the rules, kept with the leader of its threads.
 *
 * What follows from facts that the kernel has (executable, user, groups, cgroup, session) is found
 * when it is first asked for in an epoch, and anew after one of them changed. So a process that
 * runs already when a policy is loaded needs nobody to tell who it is. What follows from its past
 * (what it inherited, its ancestors, what it did) is kept from exec to exec and passed on by fork.
 */
#ifndef AEGIS_SUBJECT_H
#define AEGIS_SUBJECT_H

#include "arming.h"
#include "file.h"
#include "subject_content.h"

/* In the order of policy::subjects: the section of masks. */
enum subject_mask {
	MASK_KNOWN,
	MASK_EXECUTABLE,
	MASK_HASH,
	MASK_SCRIPT,
	MASK_USER,
	MASK_GROUP,
	MASK_CGROUP,
	MASK_ANCESTOR,
	MASK_NO_LOGIN,
	MASK_LOGIN,
	MASK_INHERIT,
	MASK_AFTER,
};

/* In the order of the section of what labels satisfy. */
enum role { ROLE_EXECUTABLE, ROLE_SCRIPT, ROLE_ANCESTOR, ROLES };

/* What the bits of one epoch are called in the next one. */
struct carry {
	__u64 from, to;
	__u8 bit[SUBJECT_WORDS * 64]; /* 0: no such subject any more */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct carry);
} carries __weak SEC(".maps");

enum id_kind { ID_USER, ID_GROUP, ID_CGROUP };

struct id_key {
	__u64 epoch;
	__u64 kind;
	__u64 id;
};

/* What users, groups and cgroups satisfy; those that are not here: what is free. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct id_key);
	__type(value, struct set);
} ids __weak SEC(".maps");

/* Groups of a process that are looked at. */
#define GROUPS_MAX 1024
/* Cgroups above one another that are looked at. */
#define CGROUPS_MAX 64

struct identity {
	const struct policy_head *head;
	struct set mask;
	__u64 epoch;
	__u64 list;  /* struct group_info, struct cgroup */
	__u64 count; /* of groups */
};

/* Nothing or the set of an id; true if it has one. */
static __always_inline bool add_id(struct identity *of, __u64 kind, __u64 id)
{
	struct id_key key = {.epoch = of->epoch, .kind = kind, .id = id};
	struct set *set = bpf_map_lookup_elem(&ids, &key);

	if (!set)
		return false;
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		of->mask.words[i] |= set->words[i];
	return true;
}

static long add_group(__u32 at, struct identity *of)
{
	__u32 id = 0;

	if (at >= of->count)
		return 1;
	bpf_probe_read_kernel(&id, sizeof(id),
	                      (void *)(of->list + bpf_core_field_offset(struct group_info, gid) +
	                               at * sizeof(id)));
	add_id(of, ID_GROUP, id);
	return 0;
}

/* The nearest cgroup above that user space told of: cgroups that are made later belong to it. */
static long add_cgroup(__u32 round, struct identity *of)
{
	__u64 cgroup = of->list, above;

	if (!cgroup || add_id(of, ID_CGROUP, kread(struct cgroup, cgroup, kn, id)))
		return 1;
	above = (__u64)kread(struct cgroup, cgroup, self.parent);
	of->list = above ? (__u64)kread(struct cgroup_subsys_state, above, cgroup) : 0;
	return 0;
}

static __always_inline void take_set(const struct policy_head *head, __u32 at, struct set *to)
{
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		to->words[i] = double_word(head, at + i * 2);
}

static __always_inline __u32 mask_at(const struct policy_head *head, __u32 mask)
{
	return section(head, SECTION_SUBJECT_MASKS) + mask * SET;
}

/* Adds what the labels of a file satisfy in a role. */
static __always_inline void add_role(const struct policy_head *head, const struct labels *labels,
                                     __u32 role, struct set *to)
{
	for (__u32 i = 0; i < LABELS_MAX; i++) {
		__u32 which;

		if (i >= labels->count)
			break;
		which = word(head, section(head, SECTION_LABEL_SUBJECTS) +
		                           labels->label[i] * ROLES + role);
		add_set(head, section(head, SECTION_SETS) + which * SET, to);
	}
}

/* What one dimension says is and-ed to what the others said. */
static __always_inline void narrow(struct set *fits, const struct set *by)
{
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		fits->words[i] &= by->words[i];
}

/* Selectors of a process by who it is: user, groups, cgroup, session. */
static __always_inline void narrow_by_identity(const struct policy_head *head, __u64 epoch,
                                               __u64 task, struct set *fits, struct identity *of)
{
	struct task_struct *leader = kread(struct task_struct, task, group_leader);
	struct cred *cred = (void *)kread(struct task_struct, leader, real_cred);
	struct set *mask = &of->mask;
	bool login = compat_loginuid(leader) != ~0U;

	take_set(head, mask_at(head, MASK_USER), mask);
	add_id(of, ID_USER, kread(struct cred, cred, euid.val));
	narrow(fits, mask);
	take_set(head, mask_at(head, MASK_GROUP), mask);
	add_id(of, ID_GROUP, kread(struct cred, cred, egid.val));
	of->list = (__u64)kread(struct cred, cred, group_info);
	of->count = kread(struct cred, cred, group_info, ngroups);
	bpf_loop(GROUPS_MAX, add_group, of, 0);
	narrow(fits, mask);
	take_set(head, mask_at(head, MASK_CGROUP), mask);
	of->list = (__u64)kread(struct task_struct, task, cgroups, dfl_cgrp);
	bpf_loop(CGROUPS_MAX, add_cgroup, of, 0);
	narrow(fits, mask);
	take_set(head, mask_at(head, MASK_NO_LOGIN) + login * SET, mask);
	narrow(fits, mask);
}

struct concern {
	const struct policy_head *head;
	struct subject *subject;
};

/* Whether rules have anything to say about an operation of a process. */
static long find_concern(__u32 operation, struct concern *of)
{
	if (operation >= DO_COUNT)
		return 1;
	if (is_concerned(of->head, operation, &of->subject->heard))
		of->subject->concern |= 1U << (operation & 31);
	return 0;
}

/* Whether they have about what has no label. */
static long find_plain(__u32 operation, struct concern *of)
{
	const struct policy_head *head = of->head;

	if (operation >= DO_COUNT)
		return 1;
	if (is_ruled(head, head->labels, section(head, SECTION_DEFAULTS), operation,
	             &of->subject->heard))
		of->subject->plain |= 1U << (operation & 31);
	return 0;
}

/* The same of what is only reported. Its own function, for the room on the stack. */
static long find_shadow(__u32 operation, struct concern *of)
{
	const struct policy_head *head = of->head;

	if (operation >= DO_COUNT)
		return 1;
	if (is_ruled(head, section(head, SECTION_SHADOW_LABELS),
	             section(head, SECTION_SHADOW_DEFAULTS), operation, &of->subject->heard))
		of->subject->plain |= 1U << (operation & 31);
	return 0;
}

/* Operations on files, of which any that is denied below a directory keeps it in its place. */
#define ON_FILES ((1U << (DO_MAP_CODE + 1)) - 1)
#define MOVES (1U << DO_RENAME | 1U << DO_MOUNT)

/* In `plain`, above all operations: some of the bits came from an arming, which no child has. */
#define IS_ARMED (1U << 31)

/* Puts the sets of a process together. What it is armed with counts only as far as it fits. */
static __always_inline void finish_subject(const struct policy_head *head, struct subject *subject,
                                           const struct set *armed)
{
	struct concern of = {.head = head, .subject = subject};
	__u32 after = mask_at(head, MASK_AFTER);

	for (__u32 i = 0; i < SUBJECT_WORDS; i++) {
		subject->fits.words[i] |= subject->inherited.words[i];
		subject->bits.words[i] =
		        (subject->fits.words[i] & ~double_word(head, after + i * 2)) |
		        subject->armed.words[i] |
		        (armed ? armed->words[i] & subject->fits.words[i] : 0);
		subject->heard.words[i] = subject->fits.words[i] | subject->bits.words[i];
	}
	subject->concern = 0;
	subject->plain = armed ? IS_ARMED : 0;
	bpf_loop(DO_COUNT, find_concern, &of, 0);
	bpf_loop(DO_COUNT, find_plain, &of, 0);
	if (head->sections[SECTION_SHADOW_LABELS].len)
		bpf_loop(DO_COUNT, find_shadow, &of, 0);
	if (subject->concern & ON_FILES)
		subject->concern |= MOVES;
}

struct carrying {
	const struct carry *carry;
	struct subject *subject;
};

static __always_inline void carry_bit(const struct set *from, struct set *to, __u32 bit, __u32 name)
{
	if (from->words[bit / 64] >> (bit % 64) & 1)
		to->words[name / 64] |= 1ULL << (name % 64);
}

/* `fits`, `bits`, `ancestor` and `next_script` are free to be written: they are found anew. */
static long carry_one(__u32 at, struct carrying *of)
{
	__u32 bit = at & (SUBJECT_WORDS * 64 - 1), name = of->carry->bit[bit];
	struct subject *subject = of->subject;

	if (!name)
		return 0;
	carry_bit(&subject->inherited, &subject->fits, bit, name);
	carry_bit(&subject->armed, &subject->bits, bit, name);
	carry_bit(&subject->ancestors, &subject->ancestor, bit, name);
	carry_bit(&subject->script, &subject->next_script, bit, name);
	return 0;
}

static long carry_epoch(__u32 round, struct subject **of)
{
	struct subject *subject = *of;
	struct carrying carrying = {.subject = subject};
	__u32 slot = (subject->past + 1) % SLOTS;
	struct carry *carry = bpf_map_lookup_elem(&carries, &slot);

	if (!carry || carry->from != subject->past)
		return 1;
	clear_set(&subject->fits);
	clear_set(&subject->bits);
	clear_set(&subject->ancestor);
	clear_set(&subject->next_script);
	carrying.carry = carry;
	bpf_loop(SUBJECT_WORDS * 64, carry_one, &carrying, 0);
	subject->inherited = subject->fits;
	subject->armed = subject->bits;
	subject->ancestors = subject->ancestor;
	subject->script = subject->next_script;
	subject->past = carry->to;
	return 0;
}

/* What was known of the past, in the words of this epoch. What is older than the tables that the
 * kernel holds means nothing any more. */
static __always_inline void bring_past(struct subject *subject, __u64 epoch)
{
	if (subject->past && subject->past != epoch)
		bpf_loop(SLOTS - 1, carry_epoch, &subject, 0);
	if (subject->past == epoch)
		return;
	clear_set(&subject->inherited);
	clear_set(&subject->armed);
	clear_set(&subject->ancestors);
	clear_set(&subject->script);
	clear_set(&subject->next_script);
	subject->past = epoch;
}

/* Selectors with descendants are not lost, whatever changes. */
static __always_inline void inherit(const struct policy_head *head, struct subject *subject)
{
	__u32 mask = mask_at(head, MASK_INHERIT);

	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		subject->inherited.words[i] |=
		        subject->fits.words[i] & double_word(head, mask + i * 2);
}

/* Finds the bits of a process in an epoch, given the labels of its executable. */
__weak __noinline int find_bits(struct subject *subject, const struct labels *labels, __u64 epoch,
                                __u64 task)
{
	struct policy_head *head = policy_of(epoch);
	struct identity of = {.head = head, .epoch = epoch};
	struct set *work = &of.mask;
	__u64 changes;

	if (!subject || !labels || !head)
		return 0;
	changes = *(volatile __u64 *)&subject->changes;
	subject->epoch = 0;
	if (subject->past == epoch)
		inherit(head, subject);
	else
		bring_past(subject, epoch);
	take_set(head, mask_at(head, MASK_EXECUTABLE), &subject->fits);
	add_role(head, labels, ROLE_EXECUTABLE, &subject->fits);
	clear_set(&subject->ancestor);
	add_role(head, labels, ROLE_ANCESTOR, &subject->ancestor);
	take_set(head, mask_at(head, MASK_HASH), work);
	if (subject->by_content)
		add_set(head, subject->by_content + HASH_SET - SET, work);
	narrow(&subject->fits, work);
	take_set(head, mask_at(head, MASK_SCRIPT), work);
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		work->words[i] |= subject->script.words[i];
	narrow(&subject->fits, work);
	take_set(head, mask_at(head, MASK_ANCESTOR), work);
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		work->words[i] |= subject->ancestors.words[i];
	narrow(&subject->fits, work);
	narrow_by_identity(head, epoch, task, &subject->fits, &of);
	take_set(head, mask_at(head, MASK_KNOWN), work);
	narrow(&subject->fits, work);
	finish_subject(head, subject, arming_of(epoch, task));
	if (changes == *(volatile __u64 *)&subject->changes)
		subject->epoch = epoch;
	return 0;
}

/* The labels of the executable of the current process; none if it has none. */
static __always_inline void executable_labels(struct task_struct *task, struct labels *labels,
                                              __u64 epoch)
{
	struct mm_struct *mm = task->mm;
	struct file *file;

	labels->count = 0;
	labels->unresolved = 0;
	if (!mm)
		return;
	file = mm->exe_file;
	if (file)
		file_labels(file->f_inode, peek_member(struct file, file, f_path.dentry), labels,
		            epoch);
}

/* A place for the bits of a process when task storage cannot be had. It is good for one question:
 * nobody tells it what becomes of the process. */
static __always_inline struct subject *spare_subject(void)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32, zero = 0;
	struct subject *empty = bpf_map_lookup_elem(&no_subject, &zero);

	if (!empty)
		return NULL;
	bpf_map_update_elem(&spare_subjects, &pid, empty, BPF_ANY);
	return bpf_map_lookup_elem(&spare_subjects, &pid);
}

/* What a process is must be found anew. */
static __always_inline void outdate(struct subject *subject)
{
	__sync_fetch_and_add(&subject->changes, 1);
	subject->epoch = 0;
}

/* Another program is in place, which has the one before among its ancestors. */
static __always_inline void succeed(struct subject *subject)
{
	struct policy_head *head = policy_of(subject->past);

	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		subject->ancestors.words[i] |= subject->ancestor.words[i];
	if (head)
		inherit(head, subject);
}

/* Tells a process what it missed. The script that it runs, if it does, stays unknown. */
static __noinline int catch_up(struct subject *subject)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u64 *what = bpf_map_lookup_elem(&missed, &pid);

	if (!subject || !what)
		return 0;
	if (*what & MISSED_EXEC) {
		succeed(subject);
		clear_set(&subject->script);
		subject->content.state = now.hashing ? CONTENT_UNKNOWN : CONTENT_NONE;
	}
	outdate(subject);
	bpf_map_delete_elem(&missed, &pid);
	return 0;
}

/* A process that is looked at for the first time is who it was to a build before. Its own function,
 * for the room on the stack. */
static __noinline int take_over(struct subject *subject, struct task_struct *leader)
{
	struct subject *former = bpf_task_storage_get(&former_subjects, leader, 0, 0);

	if (former && subject)
		*subject = *former;
	return 0;
}

/* The current process, found anew; NULL if nothing can be kept of it. Its own function, so that
 * what it needs of the stack is free again for who asks. */
static __noinline struct subject *renew_subject(__u64 epoch)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *subject;
	struct labels labels;

	subject = bpf_task_storage_get(&subjects, task->group_leader, 0,
	                               BPF_LOCAL_STORAGE_GET_F_CREATE);
	/* What was missed is for the storage alone: a spare is found anew in any case. */
	if (!subject)
		subject = spare_subject();
	else if (now.missed)
		catch_up(subject);
	if (!subject) {
		count(COUNT_NO_SUBJECT);
		return NULL;
	}
	if (subject->epoch == epoch)
		return subject;
	if (!subject->past)
		take_over(subject, task->group_leader);
	if (now.hashing && subject->content.state == CONTENT_NONE)
		take_content(task, subject);
	find_content(subject, epoch);
	executable_labels(task, &labels, epoch);
	find_bits(subject, &labels, epoch, bpf_get_current_task());
	return subject;
}

/*
 * The current process in an epoch; NULL if that cannot be found out: then it is to be treated as
 * whom every rule is about.
 */
static __always_inline struct subject *current_subject(__u64 epoch)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject *subject;

	subject = bpf_task_storage_get(&subjects, task->group_leader, 0, 0);
	if (subject && subject->epoch == epoch && !now.missed)
		return subject;
	return renew_subject(epoch);
}

#endif
