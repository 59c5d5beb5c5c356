/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What is kept of processes, and where. */
#ifndef AEGIS_SUBJECTS_H
#define AEGIS_SUBJECTS_H

#include "content.h"

struct subject {
	__u64 epoch;      /* of `bits`; 0: they must be found anew */
	__u64 past;       /* epoch of the sets below */
	__u64 changes;    /* counted by who makes `bits` wrong */
	__u32 concern;    /* operations that any rule of its may be about */
	__u32 plain;      /* of these, the ones that are not free for what has no label */
	struct set heard; /* whom rows can say anything to: `bits`, or what can be armed */
	struct set bits;
	struct set fits;      /* armed or not */
	struct set inherited; /* from what its program was started by */
	struct set armed;
	struct set ancestors;
	struct set ancestor; /* what its own executable is as an ancestor */
	struct set script;
	struct set next_script; /* while an exec goes on */
	struct content content; /* of its executable */
	__u64 by_content;       /* where the tables have what satisfies that; 0: nowhere */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct subject);
} subjects __weak SEC(".maps");

/* What programs of another build knew whose maps are laid out in another way: the loader puts that
 * map in this place. Empty after any other load. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct subject);
} former_subjects __weak SEC(".maps");

/* The same for processes whose storage cannot be had at the moment, by thread group. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct subject);
} spare_subjects __weak SEC(".maps");

/* What became of a process while its storage could not be had: up to 6.1 a program that was
 * preempted in the middle of storage keeps all others on its CPU from theirs. */
#define MISSED_CHANGE 1
#define MISSED_EXEC 2

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} missed __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct subject);
} no_subject __weak SEC(".maps");

#endif
