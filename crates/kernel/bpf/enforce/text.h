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

/* Components of a path: PATH_MAX has room for as many. */
#define DEPTH_MAX 2048
/* Programs that read a path at the same moment. */
#define TEXT_SLOTS 256
/* Slots tried from the one that the CPU would take. */
#define TEXT_TRIES 8

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEXT_SLOTS);
	__type(key, __u32);
	__type(value, struct reading);
} readings __weak SEC(".maps");

static __always_inline struct reading *claim_reading(void)
{
	__u32 first = bpf_get_smp_processor_id() * 2;

	for (__u32 i = 0; i < TEXT_TRIES; i++) {
		__u32 at = (first + i) % TEXT_SLOTS;
		struct reading *reading = bpf_map_lookup_elem(&readings, &at);

		if (reading && !__sync_val_compare_and_swap(&reading->owner, 0, 1)) {
			reading->needles = 0;
			reading->labels.count = 0;
			reading->labels.overflow = 0;
			return reading;
		}
	}
	return NULL;
}

static __always_inline void release(struct reading *reading)
{
	__sync_lock_test_and_set(&reading->owner, 0);
}

struct ascent {
	const struct dentry *dentry;
	struct text *text;
	__u32 from;
	__u32 done;
};

static long ascend(__u32 round, struct ascent *at)
{
	const struct dentry *dentry = at->dentry;
	const struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
	const unsigned char *name;
	__u32 from = at->from, len;

	if (parent == dentry) {
		at->done = 1;
		return 1;
	}
	len = BPF_CORE_READ(dentry, d_name.len);
	name = BPF_CORE_READ(dentry, d_name.name);
	if (len >= TEXT_SLACK || len + 1 > from || from > TEXT_BYTES)
		return 1;
	from -= len;
	if (bpf_probe_read_kernel(&at->text->bytes[MASKED(from, TEXT_BYTES - 1)],
	                          MASKED(len, TEXT_SLACK - 1), name))
		return 1;
	from -= 1;
	at->text->bytes[MASKED(from, TEXT_BYTES - 1)] = '/';
	at->from = from;
	at->dentry = parent;
	return 0;
}

/*
 * Writes the path of a dentry into the end of the text and gives where it begins; TEXT_BYTES for
 * the root itself, and more if it could not be read whole.
 */
static __always_inline __u32 read_path(const struct dentry *dentry, struct text *text)
{
	struct ascent at = {.dentry = dentry, .text = text, .from = TEXT_BYTES - 1};

	bpf_loop(DEPTH_MAX, ascend, &at, 0);
	return at.done ? at.from : TEXT_BYTES + 1;
}
#define TEXT_END (TEXT_BYTES - 1)

#endif
