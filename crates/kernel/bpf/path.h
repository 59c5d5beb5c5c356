/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Paths by walking dentries up to the root of the mount namespace, through mount points. What
 * comes out is the path that the process itself would name without chroot: in a container with
 * its own mount namespace, the path inside it. Measured first, then written from its end: so a
 * record is reserved in the right size and nothing is copied twice.
 */
#ifndef AEGIS_PATH_H
#define AEGIS_PATH_H

#include "emit.h"

/* Components of a path (mount crossings included); a deeper one is cut at its front. */
#define PATH_STEPS 40
#define NAME_BYTES 255
/* Set in the result of path_length() when the walk did not reach the root. */
#define PATH_IS_PARTIAL (1U << 31)

struct walk {
	struct dentry *dentry;
	struct mount *mount;
};

static __always_inline struct mount *real_mount(__u64 mnt)
{
	return (struct mount *)(mnt - bpf_core_field_offset(struct mount, mnt));
}

/*
 * One step up: the name of this component in `name` (empty when the step crosses a mount point).
 * False at the root. Both ways of a step leave the same values known to the verifier, or it
 * would follow two to the power of PATH_STEPS ways. (CO-RE relocates every member access in its
 * argument: only kernel pointers may stand there, never a member of our own structs.)
 */
static __always_inline bool walk_up(struct walk *at, struct qstr *name)
{
	struct dentry *dentry = at->dentry, *root = NULL, *next = NULL;
	struct mount *mount = at->mount;
	const void *name_at = &dentry->d_name, *next_at = &dentry->d_parent;

	bpf_core_read(&root, sizeof(root), &mount->mnt.mnt_root);
	if (dentry == root) {
		at->mount = BPF_CORE_READ(mount, mnt_parent);
		if (at->mount == mount)
			return false;
		next_at = &mount->mnt_mountpoint;
		name_at = NULL; /* reading from there yields zeroes */
	}
	barrier_var(next_at);
	barrier_var(name_at);
	bpf_probe_read_kernel(name, sizeof(*name), name_at);
	if (bpf_probe_read_kernel(&next, sizeof(next), next_at))
		return false;
	at->dentry = next;
	return true;
}

/* The number of a pointer that the verifier knows the type of: it lets none pass for a number. */
static __always_inline __u64 as_number(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/*
 * Bytes of the path, at most PATH_MAX_BYTES; PATH_IS_PARTIAL may be set. Global, so that the
 * verifier looks at it once; kernels before 5.13 want plain numbers as its arguments.
 */
__weak __noinline __u32 path_length(__u64 dentry, __u64 mnt)
{
	struct walk at = {.dentry = (void *)dentry, .mount = real_mount(mnt)};
	struct qstr name = {};
	/* Counted from a number that the verifier does not know: so each round looks the same. */
	__u32 base = mnt, total = base;

	barrier_var(base);
	for (int i = 0; i < PATH_STEPS; i++) {
		struct dentry *before = at.dentry;

		if (!walk_up(&at, &name)) {
			total -= base;
			return total ? total : 1;
		}
		if (name.len)
			total += name.len + 1;
		barrier_var(total);
		if (total - base > PATH_MAX_BYTES) {
			total -= name.len + 1;
			break;
		}
		if (at.dentry == before)
			return total - base;
	}
	return (total - base) | PATH_IS_PARTIAL;
}

/*
 * Writes the path into the bytes of `rec` that `span` names, from their end, and narrows `span`
 * to what it wrote. The tree may change between the two walks: what no longer fits is left away
 * at the front. Needs NAME_BYTES behind the span. The room left is kept in the record, and not in
 * a variable, so that the verifier knows the same of it in every round.
 */
static __noinline int path_write(char *rec, __u32 cap, volatile struct span *span, __u64 dentry,
				 __u64 mnt)
{
	struct walk at = {.dentry = (void *)dentry, .mount = real_mount(mnt)};
	struct qstr name = {};
	__u32 begin = span->off, all = span->len, room;

	for (int i = 0; i < PATH_STEPS; i++) {
		struct dentry *before = at.dentry;
		__u32 len, to;

		if (!walk_up(&at, &name))
			break;
		len = name.len;
		if (!len)
			continue;
		room = span->len;
		if (len >= room)
			break;
		room -= len + 1;
		span->len = room;
		to = at_most(begin + room, cap - NAME_BYTES - 1);
		rec[to] = '/';
		bpf_probe_read_kernel(rec + to + 1, at_most(len, NAME_BYTES), name.name);
		if (at.dentry == before) /* an anonymous file is its own parent */
			break;
	}
	room = span->len;
	if (room == all && all) {
		room = all - 1;
		rec[at_most(begin + room, cap - 1)] = '/';
	}
	span->off = begin + room;
	span->len = all - room;
	return 0;
}

/* A path whose length was measured. */
struct measured {
	__u64 dentry;
	__u64 mnt;
	__u32 len;
	__u32 partial;
};

static __always_inline void measure_path(struct measured *m, const struct path *path)
{
	m->dentry = (__u64)BPF_CORE_READ(path, dentry);
	m->mnt = (__u64)BPF_CORE_READ(path, mnt);
	if (m->dentry) {
		__u32 len = path_length(m->dentry, m->mnt);

		m->len = len & ~PATH_IS_PARTIAL;
		m->partial = len & PATH_IS_PARTIAL;
	}
}

/* Appends the path to the record and names it in `span`. */
static __always_inline void append_path(struct rec_header *rec, __u32 cap, struct span *span,
					const struct measured *m, __u32 ring)
{
	if (m->partial) {
		rec->flags |= FLAG_PATH_PARTIAL;
		count_lost(ring, LOSS_PATH);
	}
	if (!m->len)
		return;
	span->off = rec->len;
	span->len = m->len;
	rec->len += m->len;
	path_write((char *)rec, cap, span, m->dentry, m->mnt);
}

#endif
