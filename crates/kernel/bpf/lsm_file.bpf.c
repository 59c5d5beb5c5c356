// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Changes of the directory tree and of attributes, by the LSM's path hooks. They report only and
 * always return 0. A hook comes before the operation: one that then fails was reported as well.
 */
#include "file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define S_IFDIR 0040000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IALLUGO 07777
#define UNCHANGED ~0U

static __always_inline bool file_wanted(__u32 kind)
{
	return is_wanted(kind, PROVIDER_LSM, current_tgid());
}

static __always_inline int entry_event(__u32 kind, const struct path *dir, struct dentry *entry,
                                       __u32 mode)
{
	struct file_plan plan = {.kind = kind, .provider = PROVIDER_LSM, .mode = mode};

	if (!file_wanted(kind))
		return 0;
	measure_entry(&plan.path, dir, entry);
	plan.inode = BPF_CORE_READ(entry, d_inode);
	return file_emit(&plan);
}

SEC("lsm/path_mknod")
int BPF_PROG(lsm_mknod, const struct path *dir, struct dentry *entry, umode_t mode)
{
	return entry_event(KIND_CREATE, dir, entry, mode & S_IFMT ? mode : mode | S_IFREG);
}

SEC("lsm/path_mkdir")
int BPF_PROG(lsm_mkdir, const struct path *dir, struct dentry *entry, umode_t mode)
{
	return entry_event(KIND_CREATE, dir, entry, (mode & S_IALLUGO) | S_IFDIR);
}

SEC("lsm/path_symlink")
int BPF_PROG(lsm_symlink, const struct path *dir, struct dentry *entry)
{
	return entry_event(KIND_CREATE, dir, entry, 0777 | S_IFLNK);
}

SEC("lsm/path_unlink")
int BPF_PROG(lsm_unlink, const struct path *dir, struct dentry *entry)
{
	return entry_event(KIND_UNLINK, dir, entry, 0);
}

SEC("lsm/path_rmdir")
int BPF_PROG(lsm_rmdir, const struct path *dir, struct dentry *entry)
{
	return entry_event(KIND_UNLINK, dir, entry, 0);
}

static __always_inline int two_entries(__u32 kind, const struct path *old_dir, struct dentry *old,
                                       const struct path *new_dir, struct dentry *new)
{
	struct file_plan plan = {.kind = kind, .provider = PROVIDER_LSM};

	if (!file_wanted(kind))
		return 0;
	measure_entry(&plan.path, new_dir, new);
	measure_entry(&plan.old, old_dir, old);
	plan.inode = BPF_CORE_READ(old, d_inode);
	return file_emit(&plan);
}

SEC("lsm/path_rename")
int BPF_PROG(lsm_rename, const struct path *old_dir, struct dentry *old, const struct path *new_dir,
             struct dentry *new)
{
	return two_entries(KIND_RENAME, old_dir, old, new_dir, new);
}

/* The old name is on the same mount, or the link would be refused. */
SEC("lsm/path_link")
int BPF_PROG(lsm_link, struct dentry *old, const struct path *dir, struct dentry *new)
{
	return two_entries(KIND_LINK, dir, old, dir, new);
}

SEC("lsm/path_chmod")
int BPF_PROG(lsm_chmod, const struct path *path, umode_t mode)
{
	struct file_plan plan = {.kind = KIND_ATTR, .provider = PROVIDER_LSM, .changed = ATTR_MODE};
	struct inode *inode;

	if (!file_wanted(KIND_ATTR))
		return 0;
	measure_path(&plan.path, path);
	inode = BPF_CORE_READ(path, dentry, d_inode);
	plan.inode = inode;
	plan.mode = (BPF_CORE_READ(inode, i_mode) & S_IFMT) | (mode & S_IALLUGO);
	return file_emit(&plan);
}

/* -1 leaves an id as it is. */
SEC("lsm/path_chown")
int BPF_PROG(lsm_chown, const struct path *path, unsigned long long uid, unsigned long long gid)
{
	struct file_plan plan = {
	        .kind = KIND_ATTR, .provider = PROVIDER_LSM, .changed = ATTR_OWNER, .has_owner = 1};
	struct inode *inode = BPF_CORE_READ(path, dentry, d_inode);

	if (!file_wanted(KIND_ATTR))
		return 0;
	measure_path(&plan.path, path);
	plan.inode = inode;
	plan.uid = (__u32)uid == UNCHANGED ? BPF_CORE_READ(inode, i_uid.val) : (__u32)uid;
	plan.gid = (__u32)gid == UNCHANGED ? BPF_CORE_READ(inode, i_gid.val) : (__u32)gid;
	return file_emit(&plan);
}

/* Times have no hook of the LSM that knows the path. */
SEC("fentry/vfs_utimes")
int BPF_PROG(fentry_times, const struct path *path)
{
	struct file_plan plan = {
	        .kind = KIND_ATTR, .provider = PROVIDER_FENTRY, .changed = ATTR_TIMES};

	if (!file_wanted(KIND_ATTR))
		return 0;
	measure_path(&plan.path, path);
	plan.inode = BPF_CORE_READ(path, dentry, d_inode);
	return file_emit(&plan);
}
