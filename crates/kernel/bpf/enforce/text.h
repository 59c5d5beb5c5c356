/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Paths inside their filesystem, by walking dentries: blind to bind mounts, chroot and mount
 * namespaces, as a label that is kept with the inode must be.
 *
 * The buffers are claimed, not one a CPU: a program that is preempted keeps its own.
 */
#ifndef AEGIS_TEXT_H
#define AEGIS_TEXT_H

#include "automaton.h"
#include "counters.h"

/* Components of a path: PATH_MAX has room for as many. */
#define DEPTH_MAX 2048
/* Programs that read a path at the same moment. */
#define READINGS 256
/* Buffers tried from the one that the CPU would take. */
#define READING_TRIES 32
/* A filesystem that cannot be mounted: its files have no path (pipes, memory files). */
#define SB_NOUSER (1UL << 31)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, READINGS);
	__type(key, __u32);
	__type(value, struct reading);
} readings __weak SEC(".maps");

struct claim {
	__u32 first;
	__u32 found; /* 1 + the number of the buffer */
};

static long try_claim(__u32 round, struct claim *claim)
{
	__u32 at = (claim->first + round) % READINGS;
	struct reading *reading = bpf_map_lookup_elem(&readings, &at);

	if (!reading || __sync_val_compare_and_swap(&reading->owner, 0, 1))
		return 0;
	claim->found = at + 1;
	return 1;
}

/* A buffer of one's own; NULL when too many programs were preempted while they had one. */
static __always_inline struct reading *claim_reading(void)
{
	struct claim claim = {.first = bpf_get_smp_processor_id() * 4};
	struct reading *reading;

	bpf_loop(READING_TRIES, try_claim, &claim, 0);
	claim.first = claim.found - 1;
	reading = claim.found ? bpf_map_lookup_elem(&readings, &claim.first) : NULL;
	if (!reading) {
		count(COUNT_NO_TEXT);
		return NULL;
	}
	reading->labels.count = 0;
	reading->labels.unresolved = 0;
	return reading;
}

static __always_inline void release(struct reading *reading)
{
	__sync_lock_test_and_set(&reading->owner, 0);
}

/* Where reading begins for the paths of a filesystem: after the paths of its mount points. */
struct mount_key {
	__u64 epoch;
	__u64 device; /* kernel dev_t */
	__u64 root;   /* inode of the directory that the mounts show; 0: the root */
};

/* Mounts of one directory that are told apart. */
#define MOUNTS_SAME 4

struct mount_state {
	__u32 count;
	__u32 others; /* the filesystem has mounts of other directories, too; in that of the root */
	struct cursor start[MOUNTS_SAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct mount_key);
	__type(value, struct mount_state);
} mounts __weak SEC(".maps");

/* What mounts show a directory; the text below it was just read. */
static __always_inline bool add_starts(struct reading *reading, __u64 root)
{
	struct mount_key key = {.epoch = reading->epoch, .device = reading->device, .root = root};
	struct mount_state *state = bpf_map_lookup_elem(&mounts, &key);

	if (!state)
		return false;
	for (__u32 i = 0; i < MOUNTS_SAME; i++) {
		__u32 at = reading->starts;

		if (i >= state->count)
			break;
		if (at >= STARTS_MAX) {
			reading->labels.unresolved = 1;
			break;
		}
		reading->start[MASKED(at, STARTS_MAX - 1)].at = state->start[i];
		reading->start[MASKED(at, STARTS_MAX - 1)].from = reading->from;
		reading->starts = at + 1;
	}
	return true;
}

/* A filesystem that user space has not told of is read as if it were the root. */
static __always_inline void add_root(struct reading *reading)
{
	if (add_starts(reading, 0) || reading->starts)
		return;
	count(COUNT_NO_MOUNT);
	reading->start[0].at.path = STATE_START;
	reading->start[0].at.text = STATE_START;
	reading->start[0].at.hits = 0;
	reading->start[0].from = reading->from;
	reading->starts = 1;
}

/* Whether a mount shows another directory than the root of a filesystem. */
static __always_inline __u32 has_others(struct reading *reading)
{
	struct mount_key key = {.epoch = reading->epoch, .device = reading->device};
	struct mount_state *state = bpf_map_lookup_elem(&mounts, &key);

	return !state || state->others;
}

/* One name, from the last to the first. */
static long ascend(__u32 round, struct run *run)
{
	struct reading *reading = run->reading;
	__u64 dentry = reading->dentry, parent = peek_member(struct dentry, dentry, d_parent);
	__u64 length = peek_member(struct dentry, dentry, d_name.hash_len) >> 32;
	__u64 name = peek_member(struct dentry, dentry, d_name.name), from = reading->from;

	if (reading->others) {
		__u64 inode = peek_member(struct dentry, dentry, d_inode);

		add_starts(reading, peek_member(struct inode, inode, i_ino));
	}
	if (parent == dentry) {
		__u64 sb = peek_member(struct dentry, dentry, d_sb);

		/* Else it hangs in the air: it was found by its number. */
		reading->done = peek_member(struct super_block, sb, s_root) == dentry;
		if (reading->done)
			add_root(reading);
		return 1;
	}
	if (length > NAME_BYTES || length + 1 > from)
		return 1;
	from -= length;
	if (bpf_probe_read_kernel(&reading->text[MASKED(from, TEXT_BYTES - 1)],
	                          MASKED(length, NAME_BYTES), (void *)name))
		return 1;
	from -= 1;
	reading->text[MASKED(from, TEXT_BYTES - 1)] = '/';
	reading->from = from;
	reading->dentry = parent;
	return 0;
}

/*
 * Writes the path of a dentry into the end of the text, and where to begin to read it. False if it
 * could not be read whole.
 */
static __always_inline bool read_path(__u64 dentry, __u64 epoch, struct run *run)
{
	struct reading *reading = run->reading;
	__u64 sb = peek_member(struct dentry, dentry, d_sb);

	reading->epoch = epoch;
	reading->device = kread(struct super_block, sb, s_dev);
	reading->starts = 0;
	reading->others = has_others(reading);
	reading->dentry = dentry;
	reading->done = 0;
	reading->from = reading->to = TEXT_BYTES - 1;
	bpf_loop(DEPTH_MAX, ascend, run, 0);
	return reading->done;
}

#endif
