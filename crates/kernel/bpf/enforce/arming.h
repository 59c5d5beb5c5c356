/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Processes that took the first steps of a sequence. User space follows those; it puts the process
 * here, and what is kept of the process is made to be found anew. Nothing of it passes to a child.
 */
#ifndef AEGIS_ARMING_H
#define AEGIS_ARMING_H

#include "blob.h"
#include "task.h"

/* Processes at the same moment. */
#define ARMINGS 65536

struct arming_key {
	__u64 epoch;
	__u64 start; /* numbers of processes come again */
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ARMINGS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct arming_key);
	__type(value, struct set);
} armings __weak SEC(".maps");

/* What the process of a task is armed with; NULL: nothing. Its own function, for the room on the
 * stack. */
static __noinline struct set *arming_of(__u64 epoch, __u64 task)
{
	struct arming_key key = {.epoch = epoch};

	key.start = task_start((struct task_struct *)task);
	key.pid = kread(struct task_struct, task, tgid);
	return bpf_map_lookup_elem(&armings, &key);
}

#endif
