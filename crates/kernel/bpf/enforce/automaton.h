/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Runs a path through both automata of a generation. */
#ifndef AEGIS_AUTOMATON_H
#define AEGIS_AUTOMATON_H

#include "blob.h"

#define STATE_DEAD 0
#define STATE_START 1
#define ENTRY_FREE 0x00ffffff
/* Bytes read in one callback of bpf_loop(): fewer calls, and still a short program. */
#define STEP_BYTES 8
/* Room for a path, and for the longest name before it as the verifier sees it. */
#define TEXT_BYTES 4096
#define TEXT_SLACK 256

struct text {
	__u8 bytes[TEXT_BYTES + TEXT_SLACK];
};

/* The labels of a path so far. */
struct labels {
	__u32 count;
	__u32 overflow; /* there were more */
	__u32 label[LABELS_MAX];
};

/*
 * Where a path is read and labelled. In a map, not on the stack: what the verifier does not know
 * of a value it need not follow.
 */
struct reading {
	__u64 owner; /* 0: free */
	__u64 needles;
	struct labels labels;
	struct text text;
};

static __always_inline void add_label(struct labels *all, __u32 label)
{
	__u32 count = all->count;

	if (!label)
		return;
	for (__u32 i = 0; i < LABELS_MAX; i++)
		if (i < count && all->label[i] == label)
			return;
	if (count >= LABELS_MAX) {
		all->overflow = 1;
		return;
	}
	all->label[count] = label;
	all->count = count + 1;
}

struct run {
	const struct policy_head *head;
	struct reading *reading;
	__u32 from, to; /* the next byte, and the one behind the last */
	__u32 path, needle; /* states */
};

static __always_inline __u32 next_state(const struct policy_head *head, const struct automaton *table,
                                        __u32 state, __u8 byte)
{
	__u32 base = word(head, table->states + 2 * state);
	__u32 entry = word(head, table->entries + base + byte);

	if ((entry & 0xff) == byte && entry >> 8 != ENTRY_FREE)
		return entry >> 8;
	return byte == '/' ? STATE_DEAD : word(head, table->states + 2 * state + 1);
}

static long path_step(__u32 round, struct run *run)
{
	const struct policy_head *head = run->head;
	const struct text *text = &run->reading->text;
	__u32 state = run->path, at = run->from, to = run->to;

	for (__u32 i = 0; i < STEP_BYTES; i++) {
		if (at >= to)
			break;
		state = next_state(head, &head->paths, state, text->bytes[MASKED(at, TEXT_BYTES - 1)]);
		at++;
	}
	run->path = state;
	run->from = at;
	return state == STATE_DEAD || at >= to;
}

/* The second automaton never dies; what it finds on the way is a mask. */
static long needle_step(__u32 round, struct run *run)
{
	const struct policy_head *head = run->head;
	const struct text *text = &run->reading->text;
	__u32 state = run->needle, at = run->from, to = run->to;

	for (__u32 i = 0; i < STEP_BYTES; i++) {
		__u8 byte;

		if (at >= to)
			break;
		byte = text->bytes[MASKED(at, TEXT_BYTES - 1)];
		state = next_state(head, &head->needles, state, byte);
		if (byte == '/')
			run->reading->needles &= head->sticky;
		run->reading->needles |= double_word(head, head->needles.below + 2 * state);
		at++;
	}
	run->needle = state;
	run->from = at;
	return at >= to;
}

static long needle_label(__u32 needle, struct run *run)
{
	if (run->reading->needles >> (needle & 63) & 1)
		add_label(&run->reading->labels, word(run->head, run->head->needle_labels + needle));
	return 0;
}

/*
 * Adds the labels of text[from..to]; `path` and `needle` are the states before it. Gives the state
 * of the first automaton, STATE_DEAD if nothing can match below the path either.
 */
static __always_inline __u32 run_automata(const struct policy_head *head, struct reading *reading,
                                          __u32 from, __u32 to, __u32 path, __u32 needle)
{
	__u32 rounds = (to - from + STEP_BYTES - 1) / STEP_BYTES;
	struct run run = {
	        .head = head, .reading = reading, .from = from, .to = to, .path = path, .needle = needle};

	bpf_loop(rounds, path_step, &run, 0);
	if (run.path != STATE_DEAD)
		add_label(&reading->labels, word(head, head->paths.outputs + run.path));
	if (head->needle_count) {
		run.from = from;
		bpf_loop(rounds, needle_step, &run, 0);
		add_label(&reading->labels, word(head, head->needles.outputs + run.needle));
		if (reading->needles)
			bpf_loop(64, needle_label, &run, 0);
	}
	return run.path;
}

#endif
