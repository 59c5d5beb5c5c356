/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The labels of a file: found by its path once, then kept with its inode.
 *
 * What is kept is right only for the name it was found by, and as long as no directory above was
 * renamed; both are part of the key. Within a generation labels only grow: a file that was renamed
 * or linked keeps what it had.
 */
#ifndef AEGIS_FILE_LABELS_H
#define AEGIS_FILE_LABELS_H

#include "counters.h"
#include "text.h"

/* What is kept with an inode. */
struct kept {
	__u64 generation;
	__u64 parent; /* inode of the directory */
	__u64 name;   /* hash and length of the name */
	__u64 moves;  /* directories renamed before the path was read */
	struct labels labels;
};

struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kept);
} kept_labels __weak SEC(".maps");

/* Where the automata begin for the paths of a filesystem: after the path of its mount point. */
struct mount_state {
	__u32 path;
	__u32 needle;
	struct labels labels; /* that the path of the mount point already has */
};

struct mount_key {
	__u64 generation;
	__u32 device;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct mount_key);
	__type(value, struct mount_state);
} mounts __weak SEC(".maps");

/* Directories that were renamed since the programs were loaded. */
__u64 moves __weak = 0;

/* Reads the path of a dentry and adds its labels. False if it could not be read. */
static __noinline bool label_path(const struct policy_head *head, const struct dentry *dentry,
                                  struct reading *reading)
{
	struct mount_key key = {.generation = head->generation};
	struct mount_state *start;
	__u32 from;

	key.device = BPF_CORE_READ(dentry, d_sb, s_dev);
	start = bpf_map_lookup_elem(&mounts, &key);
	from = read_path(dentry, &reading->text);
	if (from > TEXT_END) {
		count(COUNT_NO_PATH);
		return false;
	}
	if (start) {
		for (__u32 i = 0; i < LABELS_MAX; i++)
			if (i < start->labels.count)
				add_label(&reading->labels, start->labels.label[i]);
	} else {
		count(COUNT_NO_MOUNT);
	}
	run_automata(head, reading, from, TEXT_END, start ? start->path : STATE_START,
	             start ? start->needle : STATE_START);
	return true;
}

/* Hash and length of a name, as the kernel keeps them beside it. */
static __always_inline __u64 name_key(const struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_name.hash_len);
}

static __always_inline bool is_kept(const struct kept *kept, const struct policy_head *head,
                                    __u64 parent, __u64 name)
{
	return kept->generation == head->generation && kept->parent == parent &&
	       kept->name == name && kept->moves == *(volatile __u64 *)&moves;
}

/*
 * The labels of an existing file under the name it is reached by. False if they cannot be found:
 * who asks must refuse whom any rule is about.
 */
static __always_inline bool file_labels(const struct policy_head *head, struct inode *inode,
                                        const struct dentry *dentry, struct labels *labels)
{
	__u64 parent = BPF_CORE_READ(dentry, d_parent, d_inode, i_ino), name = name_key(dentry);
	struct kept *kept = bpf_inode_storage_get(&kept_labels, inode, 0, 0);
	__u64 now = *(volatile __u64 *)&moves;
	struct reading *reading;

	if (kept && is_kept(kept, head, parent, name)) {
		*labels = kept->labels;
		return true;
	}
	reading = claim_reading();
	if (!reading) {
		count(COUNT_NO_TEXT);
		return false;
	}
	if (kept && kept->generation == head->generation)
		reading->labels = kept->labels;
	if (!label_path(head, dentry, reading)) {
		release(reading);
		return false;
	}
	*labels = reading->labels;
	release(reading);
	if (!kept)
		kept = bpf_inode_storage_get(&kept_labels, inode, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!kept) {
		count(COUNT_NOT_KEPT);
		return true;
	}
	kept->labels = *labels;
	kept->parent = parent;
	kept->name = name;
	kept->moves = now;
	kept->generation = head->generation;
	return true;
}

#endif
