// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Mounts: what is mounted over a directory hides all that is below. */
#include "entry.h"
#include "syscall.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Flags of mounts that change how a mount behaves, and hide nothing. */
#define MS_REMOUNT (1UL << 5)
#define MS_UNBINDABLE (1UL << 17)
#define MS_PRIVATE (1UL << 18)
#define MS_SLAVE (1UL << 19)
#define MS_SHARED (1UL << 20)
#define MS_HIDES_NOTHING (MS_REMOUNT | MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED)

SEC("lsm/sb_mount")
int BPF_PROG(enforce_mount, const char *source, const struct path *path, const char *type,
             unsigned long flags)
{
	return refuse_name(path->dentry, DO_MOUNT, flags & MS_HIDES_NOTHING ? 0 : HOW_MOVED);
}

SEC("lsm/move_mount")
int BPF_PROG(enforce_move_mount, const struct path *from, const struct path *to)
{
	int error = refuse_name(from->dentry, DO_MOUNT, HOW_MOVED);

	return error ? error : refuse_name(to->dentry, DO_MOUNT, HOW_MOVED);
}

SEC("lsm/sb_umount")
int BPF_PROG(enforce_umount, struct vfsmount *mount)
{
	return refuse_name(mount->mnt_root, DO_MOUNT, HOW_MOVED);
}

/*
 * mount(2) was asked about by its own hook. What fsconfig(2) makes is not in the tree yet, but
 * files can be opened through its descriptor.
 */
SEC("lsm/sb_kern_mount")
int BPF_PROG(enforce_new_mount, const struct super_block *sb)
{
	if (current_call() != NR_FSCONFIG)
		return 0;
	return refuse_plain(DO_MOUNT, 0);
}

SEC("lsm/sb_remount")
int BPF_PROG(enforce_remount, struct super_block *sb)
{
	if (current_call() != NR_FSCONFIG)
		return 0;
	return refuse_name(sb->s_root, DO_MOUNT, 0);
}

/* Files keep their paths inside their filesystems, so nothing is hidden. */
SEC("lsm/sb_pivotroot")
int BPF_PROG(enforce_pivot, const struct path *old, const struct path *new)
{
	return refuse_name(new->dentry, DO_MOUNT, 0);
}
