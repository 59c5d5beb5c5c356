/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Whom rules have anything to say to, found once for each subject and once for each file: so that a
 * request that no rule is about, as nearly all are, ends by comparing two sets.
 *
 * Only what denies, reports or arms counts. What allows says something only to whom it would be
 * denied otherwise.
 */
#ifndef AEGIS_CONCERN_H
#define AEGIS_CONCERN_H

#include "automaton.h"

/* Denied operations that take this one with them, as a set of bits; policy::verdicts::implied_by.
 */
static __always_inline __u32 implied_by(__u32 operation)
{
	switch (operation) {
	case DO_LINK:
	case DO_RENAME:
		return 1U << DO_READ | 1U << DO_WRITE;
	case DO_CREATE:
	case DO_DELETE:
	case DO_ATTRIBUTES:
		return 1U << DO_WRITE;
	case DO_MAP_CODE:
		return 1U << DO_EXECUTE;
	}
	return 0;
}

/* Adds whom a row says anything to. */
static __always_inline void add_row(const struct policy_head *head, __u32 row, struct set *to)
{
	row = head->rows + row * ROW_SETS * SET;
	add_set(head, row + ROW_DENY * SET, to);
	add_set(head, row + ROW_AUDIT * SET, to);
	add_set(head, row + ROW_TRIGGER * SET, to);
}

/* Whether any rule about an operation has anything to say to a subject. */
static __always_inline bool is_concerned(const struct policy_head *head, __u32 operation,
                                         const struct set *subject)
{
	__u32 at = operation * SET;

	if (meets(head, CONCERNED(operation), subject) ||
	    meets(head, section(head, SECTION_WATCHED) + at, subject))
		return true;
	return head->sections[SECTION_SHADOW_CONCERNED].len &&
	       meets(head, section(head, SECTION_SHADOW_CONCERNED) + at, subject);
}

/* Whether a subject is refused anything, or any rule is there, about what has no label; in one
 * layer. */
static __always_inline __u64 is_ruled(const struct policy_head *head, __u32 labels, __u32 defaults,
                                      __u32 operation, const struct set *subject)
{
	__u32 sources = implied_by(operation), limits = word(head, defaults + operation);
	__u64 any = word(head, labels + operation);

	if (sources & 1U << DO_READ)
		any |= word(head, labels + DO_READ);
	if (sources & 1U << DO_WRITE)
		any |= word(head, labels + DO_WRITE);
	if (sources & 1U << DO_EXECUTE)
		any |= word(head, labels + DO_EXECUTE);
	return any | meets(head, head->rows + limits * ROW_SETS * SET + ROW_DENY * SET, subject);
}

/* Rounds for one label: each use in each layer, and what is implied. */
#define HEARER_ROUNDS 8

/* Adds whom the rows of one label speak to: one use, in one layer. */
static long add_hearers(__u32 round, struct run *run)
{
	const struct policy_head *head = run->head;
	struct reading *reading = run->reading;
	__u32 label = round / HEARER_ROUNDS, use = round % 4, table, operation;

	if (label >= reading->labels.count)
		return 1;
	table = head->labels;
	if (round & 4) {
		if (!head->sections[SECTION_SHADOW_LABELS].len)
			return 0;
		table = section(head, SECTION_SHADOW_LABELS);
	}
	operation = use == USE_READ    ? DO_READ
	            : use == USE_WRITE ? DO_WRITE
	            : use == USE_CODE  ? DO_MAP_CODE
	                               : DO_EXECUTE;
	label = reading->labels.label[MASKED(label, LABELS_MAX - 1)];
	table = word(head, table + label * DO_COUNT + operation);
	if (table)
		add_row(head, table, &reading->hearers[MASKED(use > USE_CODE ? USE_CODE : use, 3)]);
	return 0;
}

/* Finds whom the labels that were found say anything to. */
static __always_inline void find_hearers(struct run *run)
{
	struct reading *reading = run->reading;

	for (__u32 use = 0; use < USES; use++)
		for (__u32 i = 0; i < SUBJECT_WORDS; i++)
			reading->hearers[use].words[i] = reading->labels.unresolved ? ~0ULL : 0;
	if (reading->labels.count)
		bpf_loop(LABELS_MAX * HEARER_ROUNDS, add_hearers, run, 0);
}

#endif
