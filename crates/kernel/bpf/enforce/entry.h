/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Names of directories: what exists under them, and what is to. */
#ifndef AEGIS_ENTRY_H
#define AEGIS_ENTRY_H

#include "ask.h"

#define S_IFDIR 0040000

/*
 * An operation on a name. With HOW_MOVED the rules about all that is below count as well: moved or
 * hidden, it would not be found by its path any more. What does not exist has only its path.
 */
static __always_inline int refuse_entry(const struct asker *asker, struct dentry *entry,
                                        __u32 operation, __u64 how)
{
	struct inode *inode = entry->d_inode;
	__u64 dentry = as_number(entry), dev, ino;
	struct labels labels;

	dev = entry->d_sb->s_dev;
	ino = peek_member(struct inode, as_number(inode), i_ino);
	if (!as_number(inode) || operation == DO_CREATE)
		label_path(dentry | HOW_NEW, NULL, NULL, &labels, asker->epoch);
	else if (how)
		label_path(dentry | how, bpf_inode_storage_get(&kept_labels, inode, 0, 0),
		           bpf_inode_storage_get(&pins, inode, 0, 0), &labels, asker->epoch);
	else
		file_labels(inode, dentry, &labels, asker->epoch);
	return refuse(asker, &labels, operation, dev, ino);
}

/* One operation on one name, from the beginning. */
static __always_inline int refuse_name(struct dentry *entry, __u32 operation, __u64 how)
{
	struct asker asker;

	if (!is_asked(&asker, BIT(operation)))
		return 0;
	return refuse_entry(&asker, entry, operation, how);
}

/* How a directory, or a file, is moved. */
static __always_inline __u64 how_moved(struct dentry *entry)
{
	__u64 inode = peek_member(struct dentry, as_number(entry), d_inode);
	__u32 mode = inode ? kread(struct inode, inode, i_mode) : 0;

	return (mode & S_IFMT) == S_IFDIR ? HOW_MOVED : 0;
}

#endif
