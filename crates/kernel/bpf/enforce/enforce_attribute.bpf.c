// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Attributes of files, and their size by name. */
#include "entry.h"
#include "hash.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ATTR_SIZE 8
#define ATTR_ATIME 16
#define ATTR_MTIME 32

SEC("lsm/path_chmod")
int BPF_PROG(enforce_chmod, const struct path *path)
{
	return refuse_name(path->dentry, DO_ATTRIBUTES, 0);
}

SEC("lsm/path_chown")
int BPF_PROG(enforce_chown, const struct path *path)
{
	return refuse_name(path->dentry, DO_ATTRIBUTES, 0);
}

SEC("lsm/path_truncate")
int BPF_PROG(enforce_path_truncate, const struct path *path)
{
	forget_hash(path->dentry->d_inode);
	return refuse_name(path->dentry, DO_WRITE, 0);
}

SEC("lsm/inode_setxattr")
int BPF_PROG(enforce_setxattr, void *idmap, struct dentry *entry)
{
	return refuse_name(entry, DO_ATTRIBUTES, 0);
}

SEC("lsm/inode_removexattr")
int BPF_PROG(enforce_removexattr, void *idmap, struct dentry *entry)
{
	return refuse_name(entry, DO_ATTRIBUTES, 0);
}

SEC("lsm/inode_set_acl")
int BPF_PROG(enforce_set_acl, void *idmap, struct dentry *entry)
{
	return refuse_name(entry, DO_ATTRIBUTES, 0);
}

SEC("lsm/inode_remove_acl")
int BPF_PROG(enforce_remove_acl, void *idmap, struct dentry *entry)
{
	return refuse_name(entry, DO_ATTRIBUTES, 0);
}

/* Mode and owner have hooks of their own, which come before this one. */
static __always_inline int refuse_times(struct dentry *entry, const struct iattr *change)
{
	__u32 valid = change->ia_valid;

	if (valid & ATTR_SIZE || !(valid & (ATTR_ATIME | ATTR_MTIME)))
		return 0;
	return refuse_name(entry, DO_ATTRIBUTES, 0);
}

SEC("lsm/inode_setattr")
int BPF_PROG(enforce_times, void *idmap, struct dentry *entry, struct iattr *change)
{
	return refuse_times(entry, change);
}

/* Before 6.9. */
SEC("lsm/inode_setattr")
int BPF_PROG(enforce_times_old, struct dentry *entry, struct iattr *change)
{
	return refuse_times(entry, change);
}
