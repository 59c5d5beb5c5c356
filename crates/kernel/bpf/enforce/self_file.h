/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Files of the agent, found by their inode or that of a directory above. */
#ifndef AEGIS_SELF_FILE_H
#define AEGIS_SELF_FILE_H

#include "self.h"

/* Directories above a file that are looked at. */
#define OWN_DEPTH 12
/* Not what only leads there. */
#define OWN_CONTENT (OWN_PROGRAM | OWN_TREE)
#define OWN_ANY (OWN_CONTENT | OWN_ABOVE)

/* What a dentry is to the agent: itself, or as something below a directory of the agent. */
struct own_search {
	__u64 dentry;
	__u64 device;
	__u32 flags;
	__u32 unused;
};

static long search_own(__u32 round, struct own_search *of)
{
	__u64 parent = peek_member(struct dentry, of->dentry, d_parent);
	__u64 inode = peek_member(struct dentry, of->dentry, d_inode);
	__u32 flags = inode ? own_file(of->device, peek_member(struct inode, inode, i_ino)) : 0;

	of->flags |= round ? flags & OWN_TREE : flags;
	if (of->flags || parent == of->dentry)
		return 1;
	of->dentry = parent;
	return 0;
}

static __always_inline __u32 own_entry(__u64 dentry)
{
	struct own_search of = {.dentry = dentry};
	__u64 sb = peek_member(struct dentry, dentry, d_sb);

	of.device = kread(struct super_block, sb, s_dev);
	bpf_loop(OWN_DEPTH, search_own, &of, 0);
	return of.flags;
}

/* 1 if a stranger changes what has this name and is one of `which` (enum own_file), and is to be
 * refused. */
static __noinline int changes_entry(__u64 dentry, __u32 operation, __u32 which)
{
	__u64 sb, inode;

	if (!protection_now() || !(own_entry(dentry) & which) || !is_stranger())
		return 0;
	sb = peek_member(struct dentry, dentry, d_sb);
	inode = peek_member(struct dentry, dentry, d_inode);
	return tampers(operation, kread(struct super_block, sb, s_dev),
	               inode ? peek_member(struct inode, inode, i_ino) : 0);
}

#endif
