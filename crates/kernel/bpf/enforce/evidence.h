/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Carries out what was decided, and tells it: which rule, asked by whom, about what. */
#ifndef AEGIS_EVIDENCE_H
#define AEGIS_EVIDENCE_H

#include "decide.h"
#include "task.h"

#define EPERM 1
#define ENOENT 2
#define EACCES 13
#define ECONNREFUSED 111
#define SIGKILL 9
#define NO_RULE ~0U
/* Entries of a row: one a subject, and what only reports. */
#define ENTRIES_MAX 4096

/* In the order of policy::verdicts::Answer. */
enum answer { ANSWER_KILL, ANSWER_PERM, ANSWER_ACCESS, ANSWER_NO_ENTRY, ANSWER_REFUSED };

/* In the order of policy::verdicts::Effect. */
enum effect { EFFECT_DENY, EFFECT_EXCEPT, EFFECT_ALLOW, EFFECT_AUDIT };

/* Set by the loader: which hooks these programs are for (enum provider), and whether they may end a
 * process; else user space does it, on reading what was told. */
const volatile struct {
	__u32 provider;
	__u32 may_signal;
} tier __weak SEC(".rodata.tier") = {PROVIDER_LSM, 1};

/* Its own ring: a flood of events hides no denial. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} denials __weak SEC(".maps");

/* What one process does a million times is not to fill the ring, and hide what another does once:
 * each second so many alike are told, more are only counted. */
#define ALIKE_MAX 16
#define SECOND 1000000000ULL

struct alike {
	__u32 pid, rule, operation, flags;
};

struct alike_told {
	__u64 since;
	__u32 told, untold;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct alike);
	__type(value, struct alike_told);
} alike __weak SEC(".maps");

/* Whether it is told; then `untold` is how many were not, since the last one. */
static __always_inline bool is_news(const struct alike *key, __u32 *untold)
{
	struct alike_told first = {.since = bpf_ktime_get_boot_ns(), .told = 1};
	struct alike_told *known = bpf_map_lookup_elem(&alike, key);

	*untold = 0;
	if (!known) {
		/* Without room for it, it is told. */
		bpf_map_update_elem(&alike, key, &first, BPF_ANY);
		return true;
	}
	if (first.since - known->since < SECOND) {
		if (__sync_fetch_and_add(&known->told, 1) < ALIKE_MAX)
			return true;
		__sync_fetch_and_add(&known->untold, 1);
		count(COUNT_ALIKE);
		return false;
	}
	known->since = first.since;
	known->told = 1;
	*untold = known->untold;
	known->untold = 0;
	return true;
}

/* The strongest entry that fits a subject, of all rows that were looked at. */
struct search {
	const struct policy_head *head;
	const struct set *bits;
	__u64 best; /* answer << 32 | rule; all ones: none yet */
	__u32 first, count;
	__u32 effect;
	__u32 found; /* in the row that is looked at */
};

static long try_entry(__u32 at, struct search *of)
{
	const struct policy_head *head = of->head;
	__u32 place = section(head, SECTION_ENTRIES) + 2 * (of->first + at), what, bit;
	__u64 key;

	if (at >= of->count)
		return 1;
	what = word(head, place);
	bit = what >> 16 & 0xff;
	if ((what & 0xff) != of->effect || !(of->bits->words[bit / 64] >> (bit % 64) & 1))
		return 0;
	key = (__u64)(what >> 8 & 0xff) << 32 | word(head, place + 1);
	if (key < of->best) {
		of->best = key;
		of->found = 1;
	}
	return 1;
}

static __always_inline void search_row(struct search *of, __u32 row)
{
	__u32 place = section(of->head, SECTION_ROW_ENTRIES) + 2 * row;

	of->first = word(of->head, place);
	of->count = word(of->head, place + 1);
	of->found = 0;
	bpf_loop(ENTRIES_MAX, try_entry, of, 0);
}

struct rows {
	struct search *search;
	const struct labels *labels;
	__u32 table, label;
};

static long search_label(__u32 at, struct rows *of)
{
	const struct policy_head *head = of->search->head;
	__u32 label = 0, row;

	if (at > of->labels->count)
		return 1;
	if (at)
		label = of->labels->label[MASKED(at - 1, LABELS_MAX - 1)];
	row = word(head, of->table + label * DO_COUNT);
	if (!row)
		return 0;
	search_row(of->search, row);
	if (of->search->found)
		of->label = label;
	return 0;
}

/* The kind of event that the operation would have been. */
static __always_inline __u32 kind_of(__u32 operation)
{
	switch (operation) {
	case DO_CREATE:
		return KIND_CREATE;
	case DO_DELETE:
		return KIND_UNLINK;
	case DO_RENAME:
		return KIND_RENAME;
	case DO_LINK:
		return KIND_LINK;
	case DO_ATTRIBUTES:
		return KIND_ATTR;
	case DO_EXECUTE:
		return KIND_EXEC;
	case DO_CONNECT:
		return KIND_CONNECT;
	case DO_BIND:
		return KIND_BIND;
	case DO_LISTEN:
		return KIND_LISTEN;
	case DO_ACCEPT:
		return KIND_ACCEPT;
	case DO_SEND:
		return KIND_SEND;
	case DO_RECEIVE:
	case DO_RAW_SOCKET:
		return KIND_NONE;
	case DO_PTRACE:
		return KIND_PTRACE;
	case DO_SIGNAL:
		return KIND_SIGNAL;
	case DO_LOAD_MODULE:
		return KIND_MODULE;
	case DO_BPF:
		return KIND_BPF;
	case DO_MOUNT:
		return KIND_MOUNT;
	case DO_NAMESPACE:
		return KIND_NAMESPACE;
	case DO_IO_URING:
		return KIND_IO_URING;
	}
	return KIND_OPEN;
}

/* The side of a connection that the request was about. */
static __always_inline void tell_peer(struct rec_denial *record, const struct endpoint *peer)
{
	__u32 *address = (__u32 *)record->address;

	for (__u32 i = 0; i < 4; i++)
		address[i] = peer->address[i];
	record->family = peer->family;
	record->port = peer->port;
	record->protocol = peer->protocol;
	record->sock_type = peer->type;
}

/* Packets come when any process runs. */
static __always_inline void tell_maker(struct rec_denial *record, const struct maker *maker)
{
	record->h.start = maker->start;
	record->h.cgroup = maker->cgroup;
	record->h.pid = maker->pid;
	record->h.tid = maker->tid;
	record->h.uid = maker->uid;
	record->h.gid = maker->gid;
	record->dev = record->ino = 0;
	record->flags |= DENIAL_SOCKET;
}

static __noinline int tell(const struct policy_head *head, const struct question *question,
                           __u64 rule, __u32 flags)
{
	struct alike key = {.rule = rule, .operation = question->operation, .flags = flags};
	struct rec_denial *record;
	__u32 untold;

	key.pid = question->maker.pid ? question->maker.pid : bpf_get_current_pid_tgid() >> 32;
	if (question->quiet || !is_news(&key, &untold))
		return 0;
	record = bpf_ringbuf_reserve(&denials, sizeof(*record), 0);
	if (!record) {
		count(COUNT_LOST);
		return 0;
	}
	zero_words(record, sizeof(*record));
	fill_header(&record->h, current_task(), kind_of(question->operation), tier.provider,
	            sizeof(*record));
	record->generation = head->generation;
	record->dev = question->dev;
	record->ino = question->ino;
	record->rule = rule;
	record->answer = rule >> 32;
	record->label = question->label;
	record->operation = question->operation;
	record->why = question->why;
	record->flags = flags;
	record->untold = untold;
	if (!flags)
		record->h.flags = FLAG_DENIED;
	tell_peer(record, &question->peer);
	if (question->maker.pid)
		tell_maker(record, &question->maker);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

/* Finds the rule behind an answer, and the label that it is about. Gives answer << 32 | rule. Its
 * own function, as is what follows, so that they need the stack one after the other. */
static __noinline __u64 find_rule(const struct asked *of, struct question *question, __u32 effect)
{
	const struct policy_head *head = of->head;
	struct search search = {.head = head, .bits = of->bits, .best = ~0ULL, .effect = effect};
	struct rows rows = {.search = &search,
	                    .labels = of->labels,
	                    .table = layer_labels(head, question->layer) + question->source};
	__u32 defaults = section(head, question->layer == LAYER_ALL ? SECTION_SHADOW_DEFAULTS
	                                                            : SECTION_DEFAULTS);

	if (question->why == WHY_LIST)
		search_row(&search, word(head, defaults + question->source));
	else if (question->why != WHY_UNRESOLVED)
		bpf_loop(LABELS_MAX + 1, search_label, &rows, 0);
	question->label = rows.label;
	if (search.best == ~0ULL)
		return (__u64)ANSWER_PERM << 32 | NO_RULE;
	return search.best;
}

/* Finds the rule and tells it. */
static __always_inline __u64 explain(const struct asked *of, struct question *question,
                                     __u32 effect, __u32 flags)
{
	__u64 rule = find_rule(of, question, effect);

	tell(of->head, question, rule, flags);
	return rule;
}

struct arming {
	struct asked *asked;
	struct subject *subject;
	__u32 operation;
	__u32 unused;
};

/* What a row arms, of what the process would be. */
static long arm(__u32 at, struct arming *of)
{
	const struct policy_head *head = of->asked->head;
	struct subject *subject = of->subject;
	__u32 label = 0, row;

	if (at > of->asked->labels->count)
		return 1;
	if (at)
		label = of->asked->labels->label[MASKED(at - 1, LABELS_MAX - 1)];
	row = word(head, head->labels + label * DO_COUNT + of->operation);
	row = head->rows + (row * ROW_SETS + ROW_TRIGGER) * SET;
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		subject->armed.words[i] |= double_word(head, row + i * 2) & subject->fits.words[i];
	return 0;
}

/* Reports what a rule wants reported, and arms who did what arms. */
static __always_inline void watch(struct asked *asked, struct subject *subject,
                                  struct question *question)
{
	struct arming arming = {
	        .asked = asked, .subject = subject, .operation = question->operation};

	question->why = WHY_RULE;
	question->source = question->operation;
	question->layer = LAYER_FORCE;
	asked->bits = &subject->fits;
	ask_rows(asked, question->operation, LAYER_FORCE);
	if (asked->said.trigger) {
		bpf_loop(LABELS_MAX + 1, arm, &arming, 0);
		subject->epoch = 0;
	}
	asked->bits = &subject->bits;
	ask_rows(asked, question->operation, LAYER_FORCE);
	if (asked->said.audit)
		explain(asked, question, EFFECT_AUDIT, DENIAL_AUDIT);
}

static __always_inline void end_process(const struct question *question)
{
	if (tier.may_signal && !question->maker.pid)
		bpf_send_signal(SIGKILL);
}

/*
 * Decides a request, tells what there is to tell and does what there is to do. Gives 0 if it goes
 * through, else one more than the answer. A function of its own to the verifier.
 */
__weak __noinline int conclude(struct question *question, struct subject *subject,
                               const struct labels *labels)
{
	struct set all = {{~0ULL, ~0ULL, ~0ULL, ~0ULL}};
	struct asked asked = {.bits = &all, .labels = labels};
	__u64 rule;

	if (!question || !labels)
		return 0;
	asked.head = policy_of(question->epoch);
	if (!asked.head) {
		count(COUNT_NO_POLICY);
		return 1 + ANSWER_PERM;
	}
	if (subject)
		all = subject->bits;
	if (settle(&asked, LAYER_FORCE, question)) {
		count(COUNT_DENIED);
		rule = explain(&asked, question, EFFECT_DENY, 0);
		if (rule >> 32 == ANSWER_KILL)
			end_process(question);
		return 1 + (rule >> 32);
	}
	if (!subject)
		return 0;
	if (asked.head->sections[SECTION_SHADOW_LABELS].len &&
	    settle(&asked, LAYER_ALL, question)) {
		count(COUNT_WOULD_DENY);
		explain(&asked, question, EFFECT_DENY, DENIAL_WOULD);
	}
	if (asked.head->watched >> (question->operation & 31) & 1)
		watch(&asked, subject, question);
	return 0;
}

/* What a hook returns. The verifier wants to know its range, and does not follow how the compiler
 * finds a number: so it is bounded in the end. */
static __always_inline int errno_of(int answer)
{
	__s64 error = -EPERM;

	if (!answer)
		error = 0;
	else if (answer == 1 + ANSWER_ACCESS)
		error = -EACCES;
	else if (answer == 1 + ANSWER_NO_ENTRY)
		error = -ENOENT;
	else if (answer == 1 + ANSWER_REFUSED)
		error = -ECONNREFUSED;
	asm volatile("if %0 s<= 0 goto +1\n\t"
	             "%0 = 0\n\t"
	             "if %0 s>= -4095 goto +1\n\t"
	             "%0 = -1"
	             : "+r"(error));
	return error;
}

#endif
