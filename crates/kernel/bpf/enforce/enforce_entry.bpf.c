// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The directory tree: the hooks that decide about names, and what makes kept labels wrong. */
#include "entry.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/path_mknod")
int BPF_PROG(enforce_mknod, const struct path *dir, struct dentry *entry)
{
	return refuse_name(entry, DO_CREATE, 0);
}

SEC("lsm/path_mkdir")
int BPF_PROG(enforce_mkdir, const struct path *dir, struct dentry *entry)
{
	return refuse_name(entry, DO_CREATE, 0);
}

SEC("lsm/path_symlink")
int BPF_PROG(enforce_symlink, const struct path *dir, struct dentry *entry)
{
	return refuse_name(entry, DO_CREATE, 0);
}

SEC("lsm/path_unlink")
int BPF_PROG(enforce_unlink, const struct path *dir, struct dentry *entry)
{
	return refuse_name(entry, DO_DELETE, 0);
}

SEC("lsm/path_rmdir")
int BPF_PROG(enforce_rmdir, const struct path *dir, struct dentry *entry)
{
	return refuse_name(entry, DO_DELETE, 0);
}

/*
 * A file that gets another name keeps the labels of this one, whoever gives it: so they are found
 * now, if nobody asked for them before.
 */
static __always_inline void remember(struct dentry *entry)
{
	__u64 epoch = current_epoch();
	struct labels labels;

	if (epoch && !how_moved(entry))
		file_labels(entry->d_inode, as_number(entry), &labels, epoch);
}

SEC("lsm/path_link")
int BPF_PROG(enforce_link, struct dentry *old, const struct path *dir, struct dentry *new)
{
	struct asker asker;
	int error;

	remember(old);
	if (!is_asked(&asker, BIT(DO_LINK) | BIT(DO_CREATE)))
		return 0;
	error = refuse_entry(&asker, old, DO_LINK, 0);
	if (error)
		return error;
	return refuse_entry(&asker, new, DO_CREATE, 0);
}

/* Both names may exist: then one replaces the other, or they change places. */
SEC("lsm/path_rename")
int BPF_PROG(enforce_rename, const struct path *old_dir, struct dentry *old,
             const struct path *new_dir, struct dentry *new)
{
	struct asker asker;
	int error;

	remember(old);
	if (!is_asked(&asker, BIT(DO_RENAME) | BIT(DO_CREATE)))
		return 0;
	error = refuse_entry(&asker, old, DO_RENAME, how_moved(old));
	if (error)
		return error;
	error = refuse_entry(&asker, new, DO_RENAME, how_moved(new));
	if (error)
		return error;
	return refuse_entry(&asker, new, DO_CREATE, 0);
}

/* After a directory moved, no path below it is what it was. */
static __always_inline int moved(struct dentry *dentry)
{
	if (how_moved(dentry))
		__sync_fetch_and_add(&now.moves, 1);
	return 0;
}

SEC("fexit/d_move")
int BPF_PROG(enforce_moved, struct dentry *dentry)
{
	return moved(dentry);
}

SEC("fexit/d_exchange")
int BPF_PROG(enforce_exchanged, struct dentry *one, struct dentry *other)
{
	moved(other);
	return moved(one);
}
