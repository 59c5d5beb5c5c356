// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Mounts: what is mounted over a directory hides all that is below. */
#include "entry.h"

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
