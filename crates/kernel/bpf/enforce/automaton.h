/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Runs a path through both automata of a generation.
 *
 * All that changes from byte to byte is in the value of a map, of which the verifier knows nothing:
 * so every round looks the same to it, and it follows one.
 */
#ifndef AEGIS_AUTOMATON_H
#define AEGIS_AUTOMATON_H

#include "made.h"

#define STATE_DEAD 0
#define STATE_START 1
#define ENTRY_FREE 0x00ffffff
#define HAS_DENY 1
/* Bytes read in one callback of bpf_loop(): fewer calls, and still a short program. */
#define STEP_BYTES 8
/* Room for a path, and for the longest name behind it as the verifier sees it. */
#define TEXT_BYTES 4096
#define NAME_BYTES 255
#define TEXT_SLACK (NAME_BYTES + 1)
/* Bits of the mask of texts that were found. */
#define HITS 64

/* Mounts that show one file, all of which count. */
#define STARTS_MAX 8

/* The labels of an object. */
struct labels {
	__u32 count;
	__u32 unresolved; /* not all are known: whom anything is denied to is refused */
	__u32 label[LABELS_MAX];
} __attribute__((aligned(8))); /* copied in words of 64 bits */

/* How an open file is used. */
enum use { USE_READ, USE_WRITE, USE_CODE, USES };

/* How far a path was read. */
struct cursor {
	__u32 path;
	__u32 text;
	__u64 hits;
};

/* Where reading begins: behind the path of a mount point, with the name of what lies below it. */
struct start {
	struct cursor at;
	__u32 from; /* byte of the text */
	__u32 unused;
};

/* Where a path is read and labelled. */
struct reading {
	__u64 owner;  /* 0: free */
	__u64 dentry; /* whose name is read next */
	struct cursor at;
	__u32 from; /* the next byte of the text */
	__u32 to;   /* behind its last */
	__u32 done;
	__u32 below; /* label also what may come below */
	__u64 epoch;
	__u64 device;
	__u32 others; /* mounts show directories of the filesystem, too */
	__u32 starts;
	struct start start[STARTS_MAX];
	struct made_key made;
	struct makers by;
	struct labels labels;
	struct set hearers[USES +
	                   1]; /* the last stays unused: a mask is all that the verifier needs */
	__u8 text[TEXT_BYTES + TEXT_SLACK];
};

struct run {
	const struct policy_head *head;
	struct reading *reading;
};

/* Adds one. Without room, only a label that denies matters. */
static __always_inline void add_label(const struct policy_head *head, struct labels *all,
                                      __u32 label)
{
	__u32 count = all->count;

	if (!label)
		return;
	for (__u32 i = 0; i < LABELS_MAX; i++)
		if (i < count && all->label[i] == label)
			return;
	if (count >= LABELS_MAX) {
		if (word(head, section(head, SECTION_FLAGS) + label) & HAS_DENY)
			all->unresolved = 1;
		return;
	}
	all->label[MASKED(count, LABELS_MAX - 1)] = label;
	all->count = count + 1;
}

/* The next state is stored, not returned: see above. */
static __always_inline void step(const struct policy_head *head, const struct automaton *table,
                                 __u8 byte, __u32 *state)
{
	__u32 row = table->states + 2 * *state;
	__u32 entry = word(head, table->entries + word(head, row) + byte);

	if ((entry & 0xff) == byte && entry >> 8 != ENTRY_FREE)
		*state = entry >> 8;
	else if (byte == '/')
		*state = STATE_DEAD;
	else
		*state = word(head, row + 1);
}

static long read_anchored(__u32 round, struct run *run)
{
	const struct policy_head *head = run->head;
	struct reading *reading = run->reading;

	for (__u32 i = 0; i < STEP_BYTES; i++) {
		__u32 at = reading->from;

		if (at >= reading->to)
			return 1;
		step(head, &head->paths, reading->text[MASKED(at, TEXT_BYTES - 1)],
		     &reading->at.path);
		reading->from = at + 1;
	}
	return reading->at.path == STATE_DEAD;
}

/* The second automaton never dies; what it finds on the way is a mask. */
static long read_texts(__u32 round, struct run *run)
{
	const struct policy_head *head = run->head;
	struct reading *reading = run->reading;

	for (__u32 i = 0; i < STEP_BYTES; i++) {
		__u32 at = reading->from;
		__u8 byte;

		if (at >= reading->to)
			return 1;
		byte = reading->text[MASKED(at, TEXT_BYTES - 1)];
		step(head, &head->needles, byte, &reading->at.text);
		if (byte == '/')
			reading->at.hits &= head->sticky;
		reading->at.hits |= double_word(head, head->needles.below + 2 * reading->at.text);
		reading->from = at + 1;
	}
	return 0;
}

static long add_hit(__u32 hit, struct run *run)
{
	if (run->reading->at.hits >> (hit % HITS) & 1)
		add_label(run->head, &run->reading->labels,
		          word(run->head, run->head->needle_labels + hit));
	return 0;
}

/* Reads text[from..to] on from where the cursor is. */
static __always_inline void read_text(const struct policy_head *head, struct reading *reading)
{
	__u32 from = reading->from, rounds = TEXT_BYTES / STEP_BYTES + 1;
	struct run run = {.head = head, .reading = reading};

	bpf_loop(rounds, read_anchored, &run, 0);
	if (head->needle_count) {
		reading->from = from;
		bpf_loop(rounds, read_texts, &run, 0);
	}
	reading->from = from;
}

/* Adds the labels of the path that was read. */
static __always_inline void add_labels(const struct policy_head *head, struct reading *reading)
{
	struct run run = {.head = head, .reading = reading};
	__u32 path = reading->at.path, text = reading->at.text;

	add_label(head, &reading->labels, word(head, head->paths.outputs + path));
	if (reading->below)
		add_label(head, &reading->labels, word(head, head->paths.below + path));
	if (!head->needle_count)
		return;
	add_label(head, &reading->labels, word(head, head->needles.outputs + text));
	if (reading->below)
		add_label(head, &reading->labels,
		          word(head, section(head, SECTION_TEXT_LIVE) + text));
	if (reading->at.hits)
		bpf_loop(HITS, add_hit, &run, 0);
}

/* Reads the text from one start. */
static long read_start(__u32 at, struct run *run)
{
	struct reading *reading = run->reading;
	struct start *start = &reading->start[MASKED(at, STARTS_MAX - 1)];

	if (at >= reading->starts)
		return 1;
	reading->at = start->at;
	reading->from = start->from;
	read_text(run->head, reading);
	add_labels(run->head, reading);
	return 0;
}

#endif
