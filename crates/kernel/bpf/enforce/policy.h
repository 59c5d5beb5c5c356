/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What a policy compiles to, as bytes: written by crates/policy, read by the programs. Offsets of
 * sections count words of 32 bits from the start of the head.
 */
#ifndef AEGIS_POLICY_H
#define AEGIS_POLICY_H

#define POLICY_MAGIC 0x4c504741 /* "AGPL" reads backwards in memory as AGPL */
#define POLICY_VERSION 3
/* Words of 64 bits of a set of subjects. */
#define SUBJECT_WORDS 4
/* Labels of one file. */
#define LABELS_MAX 8

/* In the order of model::policy::Operation. */
enum operation {
	DO_READ,
	DO_WRITE,
	DO_CREATE,
	DO_DELETE,
	DO_RENAME,
	DO_LINK,
	DO_ATTRIBUTES,
	DO_EXECUTE,
	DO_MAP_CODE,
	DO_CONNECT,
	DO_BIND,
	DO_LISTEN,
	DO_ACCEPT,
	DO_SEND,
	DO_RECEIVE,
	DO_RAW_SOCKET,
	DO_CAPABILITY,
	DO_PTRACE,
	DO_SIGNAL,
	DO_LOAD_MODULE,
	DO_BPF,
	DO_MOUNT,
	DO_NAMESPACE,
	DO_IO_URING,
	DO_COUNT,
};

/* Where the tables of an automaton are. */
struct automaton {
	__u32 states;  /* two words a state: base of its entries, default next state */
	__u32 entries; /* next state << 8 | byte */
	__u32 outputs; /* a word a state */
	/* Paths: a word a state, the label of all that can be reached from it. Needles: two words,
	 * the mask of what was found. */
	__u32 below;
};

/* A row: sets of subjects, each SUBJECT_WORDS of 64 bits. */
enum row_set { ROW_DENY, ROW_ALLOW, ROW_EXCEPT, ROW_AUDIT, ROW_TRIGGER, ROW_SETS };

/* In the order of policy::blob::Section, which says what each holds. */
enum section {
	SECTION_PATH_STATES,
	SECTION_PATH_ENTRIES,
	SECTION_PATH_LABELS,
	SECTION_PATH_LIVE,
	SECTION_TEXT_STATES,
	SECTION_TEXT_ENTRIES,
	SECTION_TEXT_LABELS,
	SECTION_TEXT_HITS,
	SECTION_TEXT_LIVE,
	SECTION_HIT_LABELS,
	SECTION_LABELS,
	SECTION_ROWS,
	SECTION_ROW_ENTRIES,
	SECTION_ENTRIES,
	SECTION_FLAGS,
	SECTION_DEFAULTS,
	SECTION_SHADOW_LABELS,
	SECTION_SHADOW_DEFAULTS,
	SECTION_SHADOW_CONCERNED,
	SECTION_SUBJECT_MASKS,
	SECTION_EXECUTABLE_HASHES,
	SECTION_LABEL_SUBJECTS,
	SECTION_SETS,
	SECTION_HASHES,
	SECTION_CAPABILITIES,
	SECTION_PROCESSES,
	SECTION_CREATED,
	SECTION_NETS_V4,
	SECTION_NETS_V6,
	SECTION_PROTOCOLS,
	SECTION_CLASSES,
	SECTION_RANGES,
	SECTION_STEPS_V4,
	SECTION_STEPS_V6,
	SECTION_WATCHED,
	SECTION_COUNT,
};

struct policy_head {
	__u32 magic;
	__u32 version;
	__u64 generation;
	__u32 bytes;        /* of all */
	__u32 labels;       /* DO_COUNT words a label: the number of a row; row 0 says nothing */
	__u32 rows;         /* ROW_SETS sets a row; row of label 0: about every object */
	__u32 needle_count; /* 0: the second automaton need not run */
	struct automaton paths;
	struct automaton needles; /* its output is the label of a path that ends there */
	__u32 needle_labels;      /* a word a bit of the mask */
	__u32 watched;            /* operations that a rule reports or that arm one, as bits */
	__u64 limited[DO_COUNT][SUBJECT_WORDS];   /* who may do only what rows allow */
	__u64 concerned[DO_COUNT][SUBJECT_WORDS]; /* whom anything is denied to */
	__u64 sticky;                             /* hits that a slash does not clear */
	__s64 expires; /* seconds since 1970 of the first exception's end */
	struct {
		__u32 at;  /* place */
		__u32 len; /* words */
	} sections[SECTION_COUNT];
};

#endif
