// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* File systems mounted and unmounted, with the kernel's copies of the arguments. */
#include "file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool mount_wanted(__u32 kind)
{
	return is_wanted(kind, PROVIDER_LSM, current_tgid());
}

SEC("lsm/sb_mount")
int BPF_PROG(lsm_mount, const char *source, const struct path *path, const char *type,
             unsigned long flags)
{
	struct file_plan plan = {.kind = KIND_MOUNT, .provider = PROVIDER_LSM};

	if (!mount_wanted(KIND_MOUNT))
		return 0;
	measure_path(&plan.path, path);
	plan.name = type;
	plan.old_string = source;
	plan.open_flags = flags;
	return file_emit(&plan);
}

/* mount(2) in its new form: what fsmount(2) or open_tree(2) made is put into the tree. */
SEC("lsm/move_mount")
int BPF_PROG(lsm_move_mount, const struct path *from, const struct path *to)
{
	struct file_plan plan = {.kind = KIND_MOUNT, .provider = PROVIDER_LSM};

	if (!mount_wanted(KIND_MOUNT))
		return 0;
	measure_path(&plan.path, to);
	plan.name = BPF_CORE_READ(from, mnt, mnt_sb, s_type, name);
	return file_emit(&plan);
}

SEC("lsm/sb_umount")
int BPF_PROG(lsm_umount, struct vfsmount *mnt, int flags)
{
	struct file_plan plan = {.kind = KIND_UMOUNT, .provider = PROVIDER_LSM};

	if (!mount_wanted(KIND_UMOUNT))
		return 0;
	plan.path.dentry = (__u64)BPF_CORE_READ(mnt, mnt_root);
	plan.path.mnt = as_number(mnt);
	plan.path.len = path_length(plan.path.dentry, plan.path.mnt);
	plan.path.partial = plan.path.len & PATH_IS_PARTIAL;
	plan.path.len &= ~PATH_IS_PARTIAL;
	plan.name = BPF_CORE_READ(mnt, mnt_sb, s_type, name);
	plan.open_flags = flags;
	return file_emit(&plan);
}
