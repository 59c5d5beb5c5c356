// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Notes who makes a file, before anybody else can see it.
 *
 * A hook says that a process is about to give a name to something new, another one that the name
 * got its inode: what both say of one name is new, where the second alone may have been found on
 * disk. Nothing is asked about files that get no name, but nobody else finds such an inode.
 */
#include "ask.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ENOSPC 28
/* Names that are about to be made at the same moment; what came to nothing goes first. */
#define NOTES 8192
/* A device number without a device, of a filesystem that is gone once it is unmounted. */
#define MINORS (1U << MINOR_BITS)

/* With so many files who is named makes no more with names: the rest of the table is for files
 * without. Set by the loader. */
const volatile __u32 made_named SEC(".rodata.made") = MADE_MAX / 4 * 3;

/* A filesystem on others makes its own below, so one thread may be about to make several. */
struct note_key {
	__u64 thread;
	__u64 dentry;
};

struct note {
	__u64 name;
	struct makers by;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NOTES);
	__type(key, struct note_key);
	__type(value, struct note);
} notes SEC(".maps");

struct finding {
	const struct policy_head *head;
	const struct subject *subject;
	struct makers *by;
	__u64 in_force;
};

/* Adds a subject whose files are told apart, if the process is one. */
static long find_maker(__u32 at, struct finding *of)
{
	const struct policy_head *head = of->head;
	__u32 place = section(head, SECTION_CREATED) + MADE_WIDTH * at, what = word(head, place);
	__u32 bit = what & (SUBJECT_WORDS * 64 - 1);
	__u64 slot = of->by->count;

	if (MADE_WIDTH * at >= head->sections[SECTION_CREATED].len)
		return 1;
	if (!(of->subject->bits.words[bit / 64] >> (bit % 64) & 1))
		return 0;
	if (slot < MAKERS_MAX)
		of->by->ids[MASKED(slot, MAKERS_MAX - 1)] = double_word(head, place + 2);
	else
		of->by->unknown = 1;
	of->by->count = slot + 1;
	of->in_force |= what & MADE_IN_FORCE;
	return 0;
}

/* Who the current process is as a maker of files: false if no rule asks. */
static __noinline bool find_makers(struct makers *by, bool *in_force)
{
	struct finding of = {.by = by};
	__u64 epoch = current_epoch();

	__builtin_memset(by, 0, sizeof(*by));
	if (!epoch)
		return false;
	of.head = policy_of(epoch);
	if (!of.head || !of.head->sections[SECTION_CREATED].len)
		return false;
	of.subject = current_subject(epoch);
	if (of.subject)
		bpf_loop(SUBJECT_WORDS * 64, find_maker, &of, 0);
	else
		by->unknown = 1;
	*in_force = of.in_force;
	return by->count || by->unknown;
}

/* What counts the files; NULL if there never was one. */
static __always_inline struct makers *tally(void)
{
	struct made_key none = {};

	return bpf_map_lookup_elem(&made, &none);
}

static __always_inline struct makers *begin_tally(void)
{
	struct made_key none = {};
	struct makers empty = {};

	if (!tally())
		bpf_map_update_elem(&made, &none, &empty, BPF_NOEXIST);
	return tally();
}

static __noinline int mark(__u64 inode, const struct makers *by)
{
	struct makers *all = begin_tally();
	struct made_key key;

	take_made_key(inode, &key);
	if (all && !bpf_map_update_elem(&made, &key, by, BPF_NOEXIST))
		__sync_fetch_and_add(&all->count, 1);
	else if (bpf_map_update_elem(&made, &key, by, BPF_EXIST))
		count(COUNT_NOT_MADE);
	return 0;
}

static __noinline bool is_full(void)
{
	struct makers *all = begin_tally();

	return !all || all->count >= made_named;
}

/* A name is about to be made. Whose files could not be told apart makes none. */
static __noinline int note(__u64 dentry)
{
	struct note_key key = {.thread = bpf_get_current_pid_tgid(), .dentry = dentry};
	struct note one = {.name = name_of(dentry)};
	bool in_force = false;

	if (!find_makers(&one.by, &in_force))
		return 0;
	if (is_full() || bpf_map_update_elem(&notes, &key, &one, BPF_ANY)) {
		count(COUNT_NOT_MADE);
		if (in_force)
			return -ENOSPC;
	}
	return 0;
}

SEC("lsm/inode_create")
int BPF_PROG(enforce_making_file, struct inode *dir, struct dentry *entry)
{
	return note(as_number(entry)) ? -ENOSPC : 0;
}

SEC("lsm/inode_mkdir")
int BPF_PROG(enforce_making_directory, struct inode *dir, struct dentry *entry)
{
	return note(as_number(entry)) ? -ENOSPC : 0;
}

SEC("lsm/inode_mknod")
int BPF_PROG(enforce_making_node, struct inode *dir, struct dentry *entry)
{
	return note(as_number(entry)) ? -ENOSPC : 0;
}

SEC("lsm/inode_symlink")
int BPF_PROG(enforce_making_link, struct inode *dir, struct dentry *entry)
{
	return note(as_number(entry)) ? -ENOSPC : 0;
}

/* Whether an inode without links gets a name that no directory has: O_TMPFILE, files in memory.
 * What a server says has no links has another name. */
static __always_inline bool is_unnamed(__u64 dentry, __u64 inode)
{
	__u8 first = 0;

	if (kread(struct inode, inode, __i_nlink))
		return false;
	if (!has_path(dentry))
		return true;
	bpf_probe_read_kernel(&first, sizeof(first),
	                      (void *)peek_member(struct dentry, dentry, d_name.name));
	return first == '#' || first == '/';
}

static __noinline int mark_unnamed(__u64 inode)
{
	bool in_force = false;
	struct makers by;

	if (find_makers(&by, &in_force))
		mark(inode, &by);
	return 0;
}

SEC("lsm/d_instantiate")
int BPF_PROG(enforce_made, struct dentry *entry, struct inode *made_inode)
{
	__u64 dentry = as_number(entry), inode = as_number(made_inode);
	struct note_key key = {.thread = bpf_get_current_pid_tgid(), .dentry = dentry};
	struct note *note;

	if (!inode)
		return 0;
	if (is_unnamed(dentry, inode)) {
		mark_unnamed(inode);
		return 0;
	}
	note = bpf_map_lookup_elem(&notes, &key);
	if (!note)
		return 0;
	if (note->name == name_of(dentry))
		mark(inode, &note->by);
	bpf_map_delete_elem(&notes, &key);
	return 0;
}

static __always_inline void unmark(struct made_key *key)
{
	struct makers *all = tally();

	if (all && all->count && !bpf_map_delete_elem(&made, key))
		__sync_fetch_and_add(&all->count, -1);
}

/* The kernel forgets an inode; without links the file is gone, too. */
SEC("lsm/inode_free_security")
int BPF_PROG(enforce_forget_file, struct inode *gone)
{
	__u64 inode = as_number(gone);
	struct made_key key;

	if (kread(struct inode, inode, __i_nlink))
		return 0;
	take_made_key(inode, &key);
	unmark(&key);
	return 0;
}

static long forget_of(void *map, struct made_key *key, struct makers *by, __u64 *device)
{
	struct made_key one = *key;

	if (one.device == *device)
		unmark(&one);
	return 0;
}

/* A filesystem without a device is gone with all its files, or comes again by another number. */
SEC("lsm/sb_free_security")
int BPF_PROG(enforce_forget_files, struct super_block *gone)
{
	__u64 device = kread(struct super_block, as_number(gone), s_dev);
	struct makers *all = tally();

	if (device >= MINORS || !all || !all->count)
		return 0;
	bpf_for_each_map_elem(&made, forget_of, &device, 0);
	return 0;
}
