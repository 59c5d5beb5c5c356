// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Opens and writes of watched files. A file is watched by itself, as any child of its directory,
 * or as a child of its directory with a certain name (so that one that is made anew or replaced
 * is watched from its first open). Any other file costs two look-ups by number.
 */
#include "file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define S_IFDIR 0040000
#define MAY_WRITE 2
#define FMODE_WRITE 2
#define PROT_WRITE 2
#define MAP_SHARED 1
/* The kernel's own mark of an open in order to execute; not a flag of open(2). */
#define FMODE_EXEC 0x20

/* Bits of what is watched; src/source/fanotify/targets.rs fills the maps. */
#define WATCH_OPEN 1
#define WATCH_WRITE 2
#define WATCH_BY_NAME 4 /* some children are watched by name */
#define WATCH_NAME_BYTES 64
#define WATCHED_MAX 32768
/* Files open for writing of which nothing was written yet. */
#define WRITERS_MAX 4096

struct inode_key {
	__u64 dev;
	__u64 ino;
};

struct child_key {
	struct inode_key dir;
	char name[WATCH_NAME_BYTES]; /* cut, with a NUL at the end */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WATCHED_MAX);
	__type(key, struct inode_key);
	__type(value, __u32);
} watched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WATCHED_MAX);
	__type(key, struct child_key);
	__type(value, __u32);
} watched_names SEC(".maps");

/* By the address of the open file. A new file at the same address replaces or removes it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WRITERS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} writers SEC(".maps");

static __always_inline void inode_key(struct inode_key *key, struct inode *inode)
{
	key->dev = kread(struct inode, inode, i_sb, s_dev);
	key->ino = kread(struct inode, inode, i_ino);
}

static __always_inline __u32 watched_by_name(const struct inode_key *dir, struct dentry *dentry)
{
	struct child_key key = {.dir = *dir};
	__u32 *bits;

	bpf_probe_read_kernel_str(key.name, sizeof(key.name),
	                          kread(struct dentry, dentry, d_name.name));
	bits = bpf_map_lookup_elem(&watched_names, &key);
	return bits ? *bits : 0;
}

static __always_inline __u32 watched_as(struct dentry *dentry)
{
	struct inode_key key;
	__u32 *bits, all = 0;

	inode_key(&key, kread(struct dentry, dentry, d_inode));
	bits = bpf_map_lookup_elem(&watched, &key);
	if (bits)
		all = *bits;
	inode_key(&key, kread(struct dentry, dentry, d_parent, d_inode));
	bits = bpf_map_lookup_elem(&watched, &key);
	if (!bits)
		return all;
	all |= *bits;
	return *bits & WATCH_BY_NAME ? all | watched_by_name(&key, dentry) : all;
}

static __always_inline int use_event(__u32 kind, const struct path *path, __u32 flags)
{
	struct file_plan plan = {.kind = kind, .provider = PROVIDER_LSM, .open_flags = flags};

	measure_path(&plan.path, path);
	plan.inode = kread(struct path, path, dentry, d_inode);
	return file_emit(&plan);
}

static __always_inline bool use_wanted(__u32 kind)
{
	return is_wanted(kind, PROVIDER_LSM, current_tgid());
}

/* An open that is allowed; what only names a file (O_PATH) does not come here. */
SEC("lsm/file_open")
int BPF_PROG(lsm_open, struct file *file)
{
	struct dentry *dentry = kread(struct file, file, f_path.dentry);
	__u32 flags = kread(struct file, file, f_flags) & ~FMODE_EXEC;
	bool opens = use_wanted(KIND_OPEN), writes = use_wanted(KIND_WRITE);
	__u64 address = as_number(file);
	__u32 bits;

	if ((!opens && !writes) ||
	    (kread(struct dentry, dentry, d_inode, i_mode) & S_IFMT) == S_IFDIR)
		return 0;
	bits = watched_as(dentry);
	writes = writes && (__u32)kread(struct file, file, f_mode) & FMODE_WRITE;
	if (writes && bits & WATCH_WRITE)
		bpf_map_update_elem(&writers, &address, &flags, BPF_ANY);
	else if (writes)
		bpf_map_delete_elem(&writers, &address);
	if (opens && bits & WATCH_OPEN)
		use_event(KIND_OPEN, __builtin_preserve_access_index(&file->f_path), flags);
	return 0;
}

/* The first write to an open file. */
static __always_inline int written(struct file *file)
{
	__u64 address = as_number(file);
	__u32 *flags, open_flags;

	if (!use_wanted(KIND_WRITE))
		return 0;
	flags = bpf_map_lookup_elem(&writers, &address);
	if (!flags)
		return 0;
	open_flags = *flags;
	bpf_map_delete_elem(&writers, &address);
	return use_event(KIND_WRITE, __builtin_preserve_access_index(&file->f_path), open_flags);
}

SEC("lsm/file_permission")
int BPF_PROG(lsm_write, struct file *file, int mask)
{
	return mask & MAY_WRITE ? written(file) : 0;
}

/* What is written to a shared mapping does not come by: the mapping itself counts. */
SEC("lsm/mmap_file")
int BPF_PROG(lsm_map, struct file *file, unsigned long asked, unsigned long prot,
             unsigned long flags)
{
	/* MAP_SHARED and MAP_SHARED_VALIDATE have its bit, MAP_PRIVATE has not. */
	if (!file || !(prot & PROT_WRITE) || !(flags & MAP_SHARED))
		return 0;
	return written(file);
}

/* truncate(2); before 6.2 also ftruncate(2) and open(2) with O_TRUNC. */
SEC("lsm/path_truncate")
int BPF_PROG(lsm_truncate, const struct path *path)
{
	if (!use_wanted(KIND_WRITE) || !(watched_as(BPF_CORE_READ(path, dentry)) & WATCH_WRITE))
		return 0;
	return use_event(KIND_WRITE, path, 0);
}

/* Since 6.2: ftruncate(2) and open(2) with O_TRUNC. */
SEC("lsm/file_truncate")
int BPF_PROG(lsm_file_truncate, struct file *file)
{
	return written(file);
}
