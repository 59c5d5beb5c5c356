/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The verdict: subject, operation, labels. Its cost does not know how many rules there are. */
#ifndef AEGIS_DECIDE_H
#define AEGIS_DECIDE_H

#include "file.h"

#define EPERM 1

/* Who a process is to the rules. */
struct subject {
	__u64 generation;
	__u64 bits[SUBJECT_WORDS];
};

/* By thread group: task storage can be busy, and a busy answer would look like no label. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct subject);
} subjects __weak SEC(".maps");

/* Everybody: who is not known is treated as whom every rule is about. */
static const struct subject unknown = {.bits = {~0ULL, ~0ULL, ~0ULL, ~0ULL}};

static __always_inline const struct subject *current_subject(const struct policy_head *head)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct subject *subject = bpf_map_lookup_elem(&subjects, &pid);

	if (subject && subject->generation == head->generation)
		return subject;
	count(COUNT_NO_SUBJECT);
	return NULL;
}

enum decision { DECISION_NONE, DECISION_ALLOW, DECISION_DENY, DECISION_LIMIT };

/* What decided: for the evidence. */
struct reason {
	__u32 decision;
	__u32 label;
	__u32 word; /* of the subject's set, and the bits of it that the row has */
	__u32 unused;
	__u64 bits;
};

static __always_inline __u64 row_meets(const struct policy_head *head, __u32 row, __u32 set,
                                       const struct subject *subject, __u32 *where)
{
	__u32 at = head->rows + (row * ROW_SETS + set) * SUBJECT_WORDS * 2;

	for (__u32 i = 0; i < SUBJECT_WORDS; i++) {
		__u64 both = double_word(head, at + i * 2) & subject->bits[i];

		if (both) {
			*where = i;
			return both;
		}
	}
	return 0;
}

static __always_inline bool is_in(const __u64 *set, const struct subject *subject)
{
	__u64 any = 0;

	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		any |= set[i] & subject->bits[i];
	return any;
}

/* See "Precedence" in model::policy. */
static __always_inline void decide(const struct policy_head *head, const struct subject *subject,
                                   __u32 operation, const struct labels *labels,
                                   struct reason *reason)
{
	bool allowed = false;

	/* Label 0, which every object has, comes first. */
	for (__u32 i = 0; i <= LABELS_MAX; i++) {
		__u32 label = 0, row, where;
		__u64 bits;

		if (i > labels->count)
			break;
		if (i)
			label = labels->label[i - 1];
		row = word(head, head->labels + label * DO_COUNT + operation);
		if (!row)
			continue;
		if (row_meets(head, row, ROW_EXCEPT, subject, &where)) {
			reason->decision = DECISION_ALLOW;
			return;
		}
		bits = row_meets(head, row, ROW_DENY, subject, &where);
		if (bits && reason->decision != DECISION_DENY) {
			reason->decision = DECISION_DENY;
			reason->label = label;
			reason->word = where;
			reason->bits = bits;
		}
		if (row_meets(head, row, ROW_ALLOW, subject, &where))
			allowed = true;
	}
	if (reason->decision == DECISION_DENY)
		return;
	if (!allowed && is_in(head->limited[operation], subject))
		reason->decision = DECISION_LIMIT;
}

#endif
