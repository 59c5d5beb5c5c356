/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The labels of a file: found by its path once, then kept with its inode.
 *
 * What is kept is right only for the name it was found by, and as long as no directory above was
 * renamed; both are part of the key. Within an epoch labels only grow: a file that was renamed or
 * linked keeps what it had.
 */
#ifndef AEGIS_FILE_LABELS_H
#define AEGIS_FILE_LABELS_H

#include "concern.h"
#include "text.h"

/* What is kept with an inode. Written by who holds the lock; `epoch` first and last, so that who
 * reads sees a change. */
struct kept {
	__u64 lock;
	__u64 epoch;
	__u64 parent; /* the directory: where its dentry is in memory */
	__u64 name;   /* hash and length of the name */
	__u64 moves;  /* directories renamed before the path was read */
	struct labels labels;
	struct set hearers[USES]; /* whom the labels say anything to */
	__u64 many;               /* some of them are not in the first word of the sets */
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kept);
} kept_labels __weak SEC(".maps");

/* Labels that user space gave a file, whatever its name: it has other names, or one that a rule
 * says exactly. For the epoch in force and the next one. */
struct pin {
	struct {
		__u64 epoch;
		struct labels labels;
	} of[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pin);
} pins __weak SEC(".maps");

/* Also label what may come below, and keep nothing: the file is a directory about to move. */
#define HOW_MOVED 1
/* Only label the name, whatever file has it now: another one is to get it. */
#define HOW_NEW 2
#define HOW (HOW_MOVED | HOW_NEW)

/* A file's name in numbers: where the name of its directory is in memory, and hash and length as
 * the kernel has them. They are kept with the inode, so they need only tell its own names apart. */
static __always_inline __u64 parent_of(__u64 dentry)
{
	return peek_member(struct dentry, dentry, d_parent);
}

static __always_inline __u64 name_of(__u64 dentry)
{
	return peek_member(struct dentry, dentry, d_name.hash_len);
}

static __always_inline bool is_kept(const struct kept *kept, __u64 epoch, __u64 dentry)
{
	return kept->epoch == epoch && kept->moves == now.moves && kept->name == name_of(dentry) &&
	       kept->parent == parent_of(dentry);
}

/* The same of an open file, in fewer instructions: the verifier knows that its members are there.
 * Of the name the hash will do, which depends on the directory, too; 6.1 refuses to read both of
 * its numbers at once. */
static __always_inline bool is_kept_of(const struct kept *kept, __u64 epoch, struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;

	return kept->epoch == epoch && kept->moves == now.moves &&
	       (__u32)kept->name == dentry->d_name.hash && kept->parent == (__u64)dentry->d_parent;
}

static __always_inline void keep(struct kept *kept, const struct reading *found, __u64 parent,
                                 __u64 name, __u64 moved)
{
	if (__sync_val_compare_and_swap(&kept->lock, 0, 1)) {
		count(COUNT_NOT_KEPT);
		return;
	}
	__sync_lock_test_and_set(&kept->epoch, 0);
	kept->labels = found->labels;
	kept->many = 0;
	for (__u32 use = 0; use < USES; use++) {
		kept->hearers[use] = found->hearers[use];
		for (__u32 i = 1; i < SUBJECT_WORDS; i++)
			kept->many |= found->hearers[use].words[i];
	}
	kept->parent = parent;
	kept->name = name;
	kept->moves = moved;
	__sync_lock_test_and_set(&kept->epoch, found->epoch);
	__sync_lock_test_and_set(&kept->lock, 0);
}

/* Whether a file has a path at all. */
static __always_inline bool has_path(__u64 dentry)
{
	__u64 sb = peek_member(struct dentry, dentry, d_sb);

	return !(kread(struct super_block, sb, s_flags) & SB_NOUSER);
}

/* The labels that a file has whatever its name: `kept` from other names, `pin` from user space. */
static __always_inline void add_known(const struct policy_head *head, __u64 epoch,
                                      struct labels *labels, const struct kept *kept,
                                      const struct pin *pin)
{
	__u32 which = epoch % 2;

	if (kept && kept->epoch == epoch)
		*labels = kept->labels;
	if (pin && pin->of[which].epoch == epoch)
		for (__u32 i = 0; i < LABELS_MAX; i++)
			if (i < pin->of[which].labels.count)
				add_label(head, labels, pin->of[which].labels.label[i]);
}

/* Of the subjects that the tables say something about, one. */
static long add_maker(__u32 at, struct run *run)
{
	const struct policy_head *head = run->head;
	struct reading *reading = run->reading;
	__u32 place = section(head, SECTION_CREATED) + MADE_WIDTH * at;
	__u64 id = double_word(head, place + 2);

	if (MADE_WIDTH * at >= head->sections[SECTION_CREATED].len)
		return 1;
	for (__u32 i = 0; i < MAKERS_MAX; i++)
		if (reading->by.ids[i] == id)
			add_label(head, &reading->labels, word(head, place + 1));
	return 0;
}

/* Adds what follows from who made a file. All that it needs is in the buffer, for the room on the
 * stack. */
static __always_inline void add_made(struct run *run, __u64 dentry)
{
	struct reading *reading = run->reading;
	__u64 inode = peek_member(struct dentry, dentry, d_inode);
	struct makers *by;

	if (!inode)
		return;
	take_made_key(inode, &reading->made);
	by = bpf_map_lookup_elem(&made, &reading->made);
	if (!by)
		return;
	reading->by = *by;
	if (by->unknown)
		reading->labels.unresolved = 1;
	bpf_loop(SUBJECT_WORDS * 64, add_maker, run, 0);
}

/*
 * Finds the labels of what a dentry names and keeps them in `kept`, if that is given. What cannot
 * be read is unresolved. A function of its own to the verifier, which so follows it once.
 */
__weak __noinline int label_path(__u64 dentry_and_how, struct kept *kept, const struct pin *pin,
                                 struct labels *labels, __u64 epoch)
{
	__u64 dentry = dentry_and_how & ~(__u64)HOW;
	__u64 parent = parent_of(dentry), name = name_of(dentry), moved = now.moves;
	struct policy_head *head = policy_of(epoch);
	struct run run = {.head = head};
	struct reading *reading;

	if (!labels)
		return 0;
	labels->count = 0;
	labels->unresolved = 1;
	if (!head) {
		count(COUNT_NO_POLICY);
		return 0;
	}
	reading = claim_reading();
	if (!reading)
		return 0;
	run.reading = reading;
	reading->below = dentry_and_how & HOW_MOVED;
	count(COUNT_LABELLED);
	add_known(head, epoch, &reading->labels, kept, pin);
	if (head->sections[SECTION_CREATED].len && !(dentry_and_how & HOW_NEW))
		add_made(&run, dentry);
	if (has_path(dentry)) {
		if (read_path(dentry, epoch, &run)) {
			bpf_loop(STARTS_MAX, read_start, &run, 0);
		} else {
			count(COUNT_NO_PATH);
			reading->labels.unresolved = 1;
			kept = NULL;
		}
	}
	*labels = reading->labels;
	if (kept && !reading->below) {
		find_hearers(&run);
		reading->epoch = epoch;
		keep(kept, reading, parent, name, moved);
	}
	release(reading);
	return 0;
}

/* Whether the labels that are kept have nothing to say to any of these subjects. */
static __always_inline bool is_silent(const struct kept *kept, __u32 use, const struct set *subject)
{
	__u64 any = kept->hearers[use].words[0] & subject->words[0];

	if (kept->many)
		for (__u32 i = 1; i < SUBJECT_WORDS; i++)
			any |= kept->hearers[use].words[i] & subject->words[i];
	return !any;
}

static __always_inline bool copy_kept(const struct kept *kept, __u64 epoch, __u64 dentry,
                                      struct labels *labels)
{
	if (!is_kept(kept, epoch, dentry))
		return false;
	*labels = kept->labels;
	barrier();
	return *(volatile const __u64 *)&kept->epoch == epoch;
}

/* Before 6.8 a file below an overlay is opened under the name that the overlay has for it: then its
 * own name is found by its inode. */
static __always_inline __u64 own_name(__u64 inode, __u64 dentry)
{
	__u64 first;

	if (peek_member(struct dentry, dentry, d_inode) == inode ||
	    !bpf_core_field_exists(struct dentry, d_u.d_alias))
		return dentry;
	first = peek_member(struct inode, inode, i_dentry.first);
	return first ? first - bpf_core_field_offset(struct dentry, d_u.d_alias) : dentry;
}

/* The labels of an existing file under the name it is reached by. Inline, since the verifier must
 * know that `inode` is one. */
static __always_inline void file_labels(struct inode *inode, __u64 dentry, struct labels *labels,
                                        __u64 epoch)
{
	struct kept *kept = bpf_inode_storage_get(&kept_labels, inode, 0, 0);
	struct pin *pin;

	if (kept && copy_kept(kept, epoch, dentry, labels))
		return;
	pin = bpf_inode_storage_get(&pins, inode, 0, 0);
	if (!kept)
		kept = bpf_inode_storage_get(&kept_labels, inode, 0,
		                             BPF_LOCAL_STORAGE_GET_F_CREATE);
	label_path(own_name(as_number(inode), dentry), kept, pin, labels, epoch);
}

#endif
