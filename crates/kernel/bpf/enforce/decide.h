/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The verdict: subject, operation, labels. Its cost does not know how many rules there are. What is
 * computed here is what policy::decide computes.
 */
#ifndef AEGIS_DECIDE_H
#define AEGIS_DECIDE_H

#include "net_endpoint.h"
#include "subject.h"
#include "wire.h"

/* Which of the two layers of verdicts: that in force, and that of all policies. */
enum layer { LAYER_FORCE, LAYER_ALL };

/* What rows say to a subject, for one operation. */
struct said {
	__u64 deny;
	__u64 allow;
	__u64 except;
	__u64 audit;
	__u64 trigger;
};

static __always_inline __u32 layer_labels(const struct policy_head *head, __u32 layer)
{
	return layer == LAYER_ALL ? section(head, SECTION_SHADOW_LABELS) : head->labels;
}

struct asked {
	const struct policy_head *head;
	const struct set *bits;
	const struct labels *labels;
	struct said said;
	__u32 table; /* of the numbers of rows, for one operation */
	__u32 unused;
};

static long ask_row(__u32 at, struct asked *of)
{
	const struct policy_head *head = of->head;
	__u32 label = 0, row;

	if (at > of->labels->count)
		return 1;
	if (at)
		label = of->labels->label[MASKED(at - 1, LABELS_MAX - 1)];
	row = word(head, of->table + label * DO_COUNT);
	if (!row)
		return 0;
	row = head->rows + row * ROW_SETS * SET;
	of->said.deny |= meets(head, row + ROW_DENY * SET, of->bits);
	of->said.allow |= meets(head, row + ROW_ALLOW * SET, of->bits);
	of->said.except |= meets(head, row + ROW_EXCEPT * SET, of->bits);
	of->said.audit |= meets(head, row + ROW_AUDIT * SET, of->bits);
	of->said.trigger |= meets(head, row + ROW_TRIGGER * SET, of->bits);
	return 0;
}

/* Label 0, which every object has, comes first. What is gathered begins as something that the
 * verifier does not know: row 0, which is empty. So every round looks the same to it. */
static __noinline int ask_rows(struct asked *of, __u32 operation, __u32 layer)
{
	__u64 none = double_word(of->head, of->head->rows);

	of->said.deny = of->said.allow = of->said.except = of->said.audit = of->said.trigger = none;
	of->table = layer_labels(of->head, layer) + operation;
	bpf_loop(LABELS_MAX + 1, ask_row, of, 0);
	return 0;
}

/* Who made a socket: for packets, which come when any process runs. */
struct maker {
	__u64 start;
	__u64 cgroup;
	__u32 pid; /* 0: the current process asks */
	__u32 tid;
	__u32 uid;
	__u32 gid;
};

/* A request; filled by who asks. */
struct question {
	__u64 epoch;
	union {
		struct {
			__u64 dev;
			__u64 ino;
		};
		struct maker maker;
	};
	struct endpoint peer;
	__u32 operation;
	__u32 quiet; /* who asks only wants to know what would be: nothing is told */
	/* Filled by settle(): */
	__u32 why;    /* enum why of the answer */
	__u32 source; /* the operation whose row decided */
	__u32 layer;
	__u32 label; /* that decided; filled by who explains */
};

/* Precedence, for one layer: see model::policy. Sets `why` and `source`; true if it is denied. */
static __noinline bool settle(struct asked *of, __u32 layer, struct question *question)
{
	__u32 operation = question->operation, sources = implied_by(operation), guarded, limits;
	const struct policy_head *head = of->head;
	struct said *said = &of->said;

	question->source = operation;
	question->layer = layer;
	question->why = WHY_RULE;
	ask_rows(of, operation, layer);
	if (said->except)
		return false;
	if (said->deny)
		return true;
	guarded = layer == LAYER_ALL ? section(head, SECTION_SHADOW_CONCERNED) + operation * SET
	                             : CONCERNED(operation);
	question->why = WHY_UNRESOLVED;
	if (of->labels->unresolved && meets(head, guarded, of->bits))
		return true;
	question->why = WHY_RULE;
	if (said->allow)
		return false;
	question->why = WHY_IMPLIED;
	for (__u32 i = 0; i < 3 && sources; i++) {
		__u32 source = i == 0 ? DO_READ : i == 1 ? DO_WRITE : DO_EXECUTE;

		if (!(sources >> source & 1))
			continue;
		ask_rows(of, source, layer);
		question->source = source;
		if (!said->except && said->deny)
			return true;
	}
	question->source = operation;
	question->why = WHY_LIST;
	limits = word(head, section(head, layer == LAYER_ALL ? SECTION_SHADOW_DEFAULTS
	                                                     : SECTION_DEFAULTS) +
	                            operation);
	if (limits && meets(head, head->rows + limits * ROW_SETS * SET + ROW_DENY * SET, of->bits))
		return true;
	question->why = WHY_DEFAULT;
	return false;
}

#endif
