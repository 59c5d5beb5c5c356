// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The agent's maps, programs and links, and the files that they are pinned and kept in. */
#include "self_file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Flags of mounts that change how a mount behaves, and hide nothing. */
#define MS_HIDES_NOTHING (1UL << 5 | 1UL << 17 | 1UL << 18 | 1UL << 19 | 1UL << 20)

/* What the agent takes in hand is its own from then on, and nobody else's. */
static __always_inline int takes(__u32 kind, __u32 id)
{
	struct own_key key = {.kind = kind, .id = id};
	__u32 one = 1;

	if (!protection_now())
		return 0;
	if (!bpf_map_lookup_elem(&own_objects, &key)) {
		if (is_agent(bpf_get_current_task()) &&
		    bpf_map_update_elem(&own_objects, &key, &one, BPF_ANY))
			count(COUNT_NOT_KEPT);
		return 0;
	}
	return is_stranger() ? deny_if(tampers(DO_BPF, 0, id)) : 0;
}

static __always_inline int forget_own(__u32 kind, __u32 id)
{
	struct own_key key = {.kind = kind, .id = id};

	bpf_map_delete_elem(&own_objects, &key);
	return 0;
}

SEC("lsm/bpf_map")
int BPF_PROG(self_map, struct bpf_map *map)
{
	return takes(OWN_MAP, map->id);
}

SEC("lsm/bpf_prog")
int BPF_PROG(self_program, struct bpf_prog *program)
{
	return takes(OWN_BPF_PROGRAM, program->aux->id);
}

/* Links have no hook; those of LSM and tracing programs cannot be detached but by their pins. */
SEC("lsm/bpf")
int BPF_PROG(self_link, int command, union bpf_attr *attr)
{
	if (command != BPF_LINK_GET_FD_BY_ID)
		return 0;
	return takes(OWN_LINK, attr->link_id);
}

/* Numbers come again, if after a long time. Until 6.8 these hooks had another name. */
SEC("lsm/bpf_map_free")
int BPF_PROG(self_map_gone, struct bpf_map *map)
{
	return forget_own(OWN_MAP, map->id);
}

SEC("lsm/bpf_map_free_security")
int BPF_PROG(self_map_gone_old, struct bpf_map *map)
{
	return forget_own(OWN_MAP, map->id);
}

SEC("lsm/bpf_prog_free")
int BPF_PROG(self_program_gone, struct bpf_prog *program)
{
	return forget_own(OWN_BPF_PROGRAM, program->aux->id);
}

SEC("lsm/bpf_prog_free_security")
int BPF_PROG(self_program_gone_old, struct bpf_prog_aux *aux)
{
	return forget_own(OWN_BPF_PROGRAM, aux->id);
}

SEC("lsm/path_unlink")
int BPF_PROG(self_unlink, const struct path *dir, struct dentry *entry)
{
	return deny_if(changes_entry(as_number(entry), DO_DELETE, OWN_CONTENT));
}

SEC("lsm/path_rmdir")
int BPF_PROG(self_rmdir, const struct path *dir, struct dentry *entry)
{
	return deny_if(changes_entry(as_number(entry), DO_DELETE, OWN_CONTENT));
}

SEC("lsm/path_rename")
int BPF_PROG(self_rename, const struct path *old_dir, struct dentry *old,
             const struct path *new_dir, struct dentry *new)
{
	return deny_if(changes_entry(as_number(old), DO_RENAME, OWN_ANY) ||
	               changes_entry(as_number(new), DO_RENAME, OWN_ANY));
}

SEC("lsm/path_mknod")
int BPF_PROG(self_mknod, const struct path *dir, struct dentry *entry)
{
	return deny_if(changes_entry(as_number(entry), DO_CREATE, OWN_CONTENT));
}

SEC("lsm/path_mkdir")
int BPF_PROG(self_mkdir, const struct path *dir, struct dentry *entry)
{
	return deny_if(changes_entry(as_number(entry), DO_CREATE, OWN_CONTENT));
}

SEC("lsm/path_symlink")
int BPF_PROG(self_symlink, const struct path *dir, struct dentry *entry)
{
	return deny_if(changes_entry(as_number(entry), DO_CREATE, OWN_CONTENT));
}

/* A second name would be changed as another file. */
SEC("lsm/path_link")
int BPF_PROG(self_name, struct dentry *old, const struct path *dir, struct dentry *new)
{
	return deny_if(changes_entry(as_number(old), DO_LINK, OWN_CONTENT) ||
	               changes_entry(as_number(new), DO_CREATE, OWN_CONTENT));
}

SEC("lsm/path_truncate")
int BPF_PROG(self_truncate, const struct path *path)
{
	return deny_if(changes_entry(as_number(path->dentry), DO_WRITE, OWN_CONTENT));
}

SEC("lsm/path_chmod")
int BPF_PROG(self_chmod, const struct path *path)
{
	return deny_if(changes_entry(as_number(path->dentry), DO_ATTRIBUTES, OWN_CONTENT));
}

SEC("lsm/path_chown")
int BPF_PROG(self_chown, const struct path *path)
{
	return deny_if(changes_entry(as_number(path->dentry), DO_ATTRIBUTES, OWN_CONTENT));
}

/* Who is traced does what its tracer wants: nobody becomes the agent so. */
SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(self_exec, struct linux_binprm *bprm)
{
	struct inode *inode = bprm->file->f_inode;
	struct task_struct *task = bpf_get_current_task_btf();

	if (!task->ptrace || !protection_now() ||
	    !(own_file(inode->i_sb->s_dev, inode->i_ino) & OWN_PROGRAM) ||
	    is_agent((__u64)kread(struct task_struct, (__u64)bpf_get_current_task(), parent)))
		return 0;
	return deny_if(tampers(DO_PTRACE, inode->i_sb->s_dev, inode->i_ino));
}

/* The mount that a path is of: one that the agent sees, or whose changes it would come to see. */
static __always_inline bool is_seen(const struct protection *now, __u64 vfsmount)
{
	__u64 mount = vfsmount - bpf_core_field_offset(struct mount, mnt);

	return kread(struct mount, mount, mnt_group_id) ||
	       kread(struct mount, mount, mnt_ns, ns.inum) == now->mount_namespace;
}

static __always_inline int hides(const struct path *path)
{
	struct protection *now = protection_now();

	if (!now || !is_seen(now, as_number(path->mnt)))
		return 0;
	return deny_if(changes_entry(as_number(path->dentry), DO_MOUNT, OWN_ANY));
}

/* The mount itself goes away, or elsewhere. */
static __always_inline int takes_away(__u64 vfsmount)
{
	__u64 mount = vfsmount - bpf_core_field_offset(struct mount, mnt);
	struct own_key key = {.kind = OWN_MOUNT, .id = kread(struct mount, mount, mnt_id)};
	struct own_key peers = {.kind = OWN_MOUNT_PEERS,
	                        .id = kread(struct mount, mount, mnt_group_id)};

	if (!protection_now() || (!bpf_map_lookup_elem(&own_objects, &key) &&
	                          !bpf_map_lookup_elem(&own_objects, &peers)))
		return 0;
	return is_stranger() ? deny_if(tampers(DO_MOUNT, 0, key.id)) : 0;
}

SEC("lsm/sb_mount")
int BPF_PROG(self_mount, const char *source, const struct path *path, const char *type,
             unsigned long flags)
{
	return flags & MS_HIDES_NOTHING ? 0 : hides(path);
}

SEC("lsm/move_mount")
int BPF_PROG(self_move_mount, const struct path *from, const struct path *to)
{
	if (takes_away(as_number(from->mnt))) {
		barrier();
		return -EPERM;
	}
	return hides(to);
}

SEC("lsm/sb_umount")
int BPF_PROG(self_umount, struct vfsmount *mount)
{
	return takes_away(as_number(mount));
}
