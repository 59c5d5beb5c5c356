/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the file of an exec holds, as SHA-256. A program that may sleep hashes the file and leaves
 * the result with the thread; those that decide do not sleep and take it from there.
 *
 * While a file is executed nobody has it open for writing, and nobody can open it so. So a hash can
 * be remembered until somebody opens the file for writing, or cuts it: no clock is asked.
 */
#ifndef AEGIS_HASH_H
#define AEGIS_HASH_H

#include "content.h"
#include "counters.h"

/* The file that a thread executes. */
struct executed {
	__u64 inode;   /* where it is in memory */
	__u64 skipped; /* the same of one that was let go on until its hash is there */
	__u64 fresh;   /* nobody has decided by it yet */
	struct content content;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct executed);
} executions __weak SEC(".maps");

/* The hash of a file that nobody opened for writing since. Not pinned: it is right only as long as
 * these very programs are told of each such open. */
struct remembered {
	__u64 size;
	__u64 holds;
	struct digest digest;
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct remembered);
} remembered_hashes __weak SEC(".maps");

/* A file is about to change. */
static __always_inline void forget_hash(struct inode *inode)
{
	struct remembered *known = bpf_inode_storage_get(&remembered_hashes, inode, 0, 0);

	if (known)
		known->holds = 0;
}

#endif
