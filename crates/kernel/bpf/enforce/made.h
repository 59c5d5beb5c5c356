/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who made a file, as far as rules ask for that.
 *
 * A subject goes by its id here, which is the same in each generation that names it: so a file
 * stays known when its maker's bit changes. A file goes by what it is, not by where it is in
 * memory: the kernel may forget an inode and read it again.
 */
#ifndef AEGIS_MADE_H
#define AEGIS_MADE_H

#include "blob.h"

/* Subjects that one file is known to be made by, since several may fit one process. */
#define MAKERS_MAX 4
/* Files that are remembered at the same time: some 32 MiB. The loader may say another number. */
#define MADE_MAX 262144

/* Words of an item: the bit of a subject, and whether it is in force; the label of files that it
 * makes; its id. */
#define MADE_WIDTH 4
#define MADE_IN_FORCE (1U << 8)

struct made_key {
	__u64 device;
	__u64 inode;
	__u64 generation;
};

struct makers {
	__u64 ids[MAKERS_MAX]; /* 0: free */
	__u64 count;
	__u64 unknown; /* there were more, or nothing was known of who made it */
};

/* The first key, all zeros, is no file: its `count` is how many files there are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MADE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct made_key);
	__type(value, struct makers);
} made __weak SEC(".maps");

static __always_inline void take_made_key(__u64 inode, struct made_key *key)
{
	__u64 sb = peek_member(struct inode, inode, i_sb);

	key->device = kread(struct super_block, sb, s_dev);
	key->inode = peek_member(struct inode, inode, i_ino);
	key->generation = kread(struct inode, inode, i_generation);
}

#endif
