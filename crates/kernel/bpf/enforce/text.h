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

/* One name, from the last to the first. */
static long ascend(__u32 round, struct run *run)
{
	struct reading *reading = run->reading;
	__u64 dentry = reading->dentry, parent = peek_member(struct dentry, dentry, d_parent);
	__u64 length = peek_member(struct dentry, dentry, d_name.hash_len) >> 32;
	__u64 name = peek_member(struct dentry, dentry, d_name.name), from = reading->from;

	if (parent == dentry) {
		__u64 sb = peek_member(struct dentry, dentry, d_sb);

		/* Else it hangs in the air: it was found by its number. */
		reading->done = peek_member(struct super_block, sb, s_root) == dentry;
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

/* Writes the path of a dentry into the end of the text. False if it could not be read whole. */
static __always_inline bool read_path(__u64 dentry, struct reading *reading)
{
	struct run run = {.reading = reading};

	reading->dentry = dentry;
	reading->done = 0;
	reading->from = reading->to = TEXT_BYTES - 1;
	bpf_loop(DEPTH_MAX, ascend, &run, 0);
	return reading->done;
}

#endif
