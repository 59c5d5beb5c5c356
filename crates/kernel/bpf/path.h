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

/* Components of a path, and mounts on the way up; a deeper one is cut at its front. */
#define PATH_STEPS 100
/* Longest name of a component; one less than a power of two, so a mask bounds it. */
#define NAME_BYTES 255
/* Space behind the used part that the copy of a name may touch, as the verifier sees it. */
#define PATH_SLACK (NAME_BYTES + 1)
/* Set in the result of path_length() when the walk did not reach the root. */
#define PATH_IS_PARTIAL (1U << 31)

struct walk {
	__u64 dentry;
	__u64 mount;
};

struct path_name {
	__u64 of; /* the dentry */
	__u64 text;
	__u32 len;
	__u32 bytes; /* with the slash before it; 0: a step without a name */
};

static __always_inline struct mount *real_mount(__u64 mnt)
{
	return (struct mount *)(mnt - bpf_core_field_offset(struct mount, mnt));
}

/* A mask, made so that the compiler sees no choice in it, and no jump. */
static __always_inline __u64 ones_unless_zero(__u64 value)
{
	__u64 mask = -value;

	barrier_var(mask);
	mask = -((value | mask) >> 63);
	barrier_var(mask);
	return mask;
}

/*
 * One step up: the name of this component; or, from the root of a mount, without a name to where it
 * is mounted. False at the root of the mount namespace. What cannot be read is followed as zeroes,
 * until the steps are used up. One way only leads through a step, chosen by masks and not by jumps,
 * and leaves nothing known to the verifier: else it would follow very many.
 */
static __always_inline bool walk_up(struct walk *at, struct path_name *name)
{
	__u64 mount = at->mount, dentry = at->dentry;
	__u64 parent = peek_member(struct mount, mount, mnt_parent);
	__u64 below = peek_member(struct mount, mount, mnt.mnt_root) ^ dentry;
	__u64 inside = ones_unless_zero(below), len;

	if (!(inside | (parent ^ mount)))
		return false;
	len = peek_member(struct dentry, dentry, d_name.hash_len) >> 32;
	name->len = len & inside;
	name->bytes = (len + 1) & inside;
	name->text = peek_member(struct dentry, dentry, d_name.name);
	name->of = dentry;
	at->dentry = (peek_member(struct dentry, dentry, d_parent) & inside) |
	             (peek_member(struct mount, mount, mnt_mountpoint) & ~inside);
	at->mount = (mount & inside) | (parent & ~inside);
	return true;
}

/* Bytes of the path, at most PATH_MAX_BYTES; PATH_IS_PARTIAL may be set. Global as above. */
__weak __noinline __u32 path_length(__u64 dentry, __u64 mnt)
{
	struct walk at = {.dentry = dentry, .mount = (__u64)real_mount(mnt)};
	struct path_name
	        name; /* not set to zero: that would be one more thing to tell rounds apart */
	/* Counted from a number that the verifier does not know: so each round looks the same. */
	__u32 base = mnt, total = base;

	barrier_var(base);
	for (int i = 0; i < PATH_STEPS; i++) {
		if (!walk_up(&at, &name)) {
			total -= base;
			return total ? total : 1;
		}
		total += name.bytes;
		barrier_var(total);
		if (total - base > PATH_MAX_BYTES) {
			total -= name.bytes;
			break;
		}
		if (at.dentry == name.of) /* an anonymous file is its own parent */
			return total - base;
	}
	return (total - base) | PATH_IS_PARTIAL;
}

/*
 * Writes the path into the bytes of `rec` that `span` names, from their end, and narrows `span`
 * to what it wrote. The tree may change between the two walks: what no longer fits is left away
 * at the front. `cap` is a power of two, the size of `rec` without its PATH_SLACK: offsets are
 * bounded by a mask, which unlike a comparison gives the verifier no second way to follow. For
 * the same reason the room left is kept in the record, of which it knows nothing.
 */
static __noinline int path_write(char *rec, __u32 cap, volatile struct span *span, __u64 dentry,
                                 __u64 mnt)
{
	struct walk at = {.dentry = dentry, .mount = (__u64)real_mount(mnt)};
	struct path_name name;
	__u32 begin = span->off, all = span->len, room;

	for (int i = 0; i < PATH_STEPS; i++) {
		__u32 to;

		if (!walk_up(&at, &name))
			break;
		room = span->len;
		if (name.bytes > room)
			break;
		room -= name.bytes;
		span->len = room;
		to = within(begin + room, cap);
		/* Without a name: once more the slash of the last, or one behind the end. */
		rec[to] = '/';
		bpf_probe_read_kernel(rec + to + 1, within(name.len, NAME_BYTES + 1),
		                      (void *)name.text);
		if (at.dentry == name.of)
			break;
	}
	room = span->len;
	if (room == all && all) {
		room = all - 1;
		rec[within(begin + room, cap)] = '/';
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
	m->dentry = peek_member(struct path, path, dentry);
	m->mnt = peek_member(struct path, path, mnt);
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
	span->off = rec->len;
	span->len = m->len;
	rec->len += m->len;
	path_write((char *)rec, cap, span, m->dentry, m->mnt);
	/* Counted last: the verifier would follow both ways through all that comes behind. */
	rec->flags |= (m->partial / PATH_IS_PARTIAL) * FLAG_PATH_PARTIAL;
	if (m->partial)
		count_lost(ring, LOSS_PATH);
}

#endif
