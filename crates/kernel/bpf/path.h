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

/* Components of a path; a deeper one is cut at its front. */
#define PATH_STEPS 100
/* Mounts on one and the same directory, one over the other; what is deeper is named by mistake. */
#define MOUNTS_STACKED 16
/* Longest name of a component; one less than a power of two, so a mask bounds it. */
#define NAME_BYTES 255
/* Space behind the used part that the copy of a name may touch, as the verifier sees it. */
#define PATH_SLACK (NAME_BYTES + 1)
/* Set in the result of path_length() when the walk did not reach the root. */
#define PATH_IS_PARTIAL (1U << 31)

struct walk {
	__u64 dentry;
	__u64 mount;
	__u64 named; /* the dentry of the name that the last step gave */
};

static __always_inline struct mount *real_mount(__u64 mnt)
{
	return (struct mount *)(mnt - bpf_core_field_offset(struct mount, mnt));
}

/* The two things that climb() tells. */
enum climbed { CLIMBED_MOUNT, CLIMBED_DENTRY };

/*
 * Where `dentry` is the root of `mount`: the mount that this one is on, and the dentry there; else
 * both as they are. 0 at the root of the namespace. Global, so that the verifier looks at it once
 * and takes any number as its result; kernels before 5.12 want plain numbers as its arguments.
 */
__weak __noinline __u64 climb(__u64 dentry, __u64 mount, __u32 wanted)
{
	for (int i = 0; i < MOUNTS_STACKED; i++) {
		const struct mount *at = (const struct mount *)mount;
		__u64 above;

		if ((__u64)BPF_CORE_READ(at, mnt.mnt_root) != dentry)
			break;
		above = (__u64)BPF_CORE_READ(at, mnt_parent);
		if (above == mount)
			return 0;
		dentry = (__u64)BPF_CORE_READ(at, mnt_mountpoint);
		mount = above;
	}
	return wanted == CLIMBED_MOUNT ? mount : dentry;
}

/*
 * One step up: the name of this component in `name`. False at the root. What cannot be read is
 * followed as zeroes, until the steps are used up. One way only leads through a step, and leaves
 * nothing known to the verifier: else it would follow very many. (CO-RE relocates every member
 * access in its argument: only kernel pointers may stand there, never a member of our structs.)
 */
static __always_inline bool walk_up(struct walk *at, struct qstr *name)
{
	__u64 mount = climb(at->dentry, at->mount, CLIMBED_MOUNT);
	const struct dentry *dentry;

	if (!mount)
		return false;
	at->named = climb(at->dentry, at->mount, CLIMBED_DENTRY);
	at->mount = mount;
	dentry = (const struct dentry *)at->named;
	bpf_core_read(name, sizeof(*name), &dentry->d_name);
	at->dentry = (__u64)BPF_CORE_READ(dentry, d_parent);
	return true;
}

/* The number of a pointer that the verifier knows the type of: it lets none pass for a number. */
static __always_inline __u64 as_number(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* Bytes of the path, at most PATH_MAX_BYTES; PATH_IS_PARTIAL may be set. Global as above. */
__weak __noinline __u32 path_length(__u64 dentry, __u64 mnt)
{
	struct walk at = {.dentry = dentry, .mount = (__u64)real_mount(mnt)};
	struct qstr name; /* not set to zero: that would be one more thing to tell rounds apart */
	/* Counted from a number that the verifier does not know: so each round looks the same. */
	__u32 base = mnt, total = base;

	barrier_var(base);
	for (int i = 0; i < PATH_STEPS; i++) {
		if (!walk_up(&at, &name)) {
			total -= base;
			return total ? total : 1;
		}
		total += name.len + 1;
		barrier_var(total);
		if (total - base > PATH_MAX_BYTES) {
			total -= name.len + 1;
			break;
		}
		if (at.dentry == at.named) /* an anonymous file is its own parent */
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
	struct qstr name;
	__u32 begin = span->off, all = span->len, room;

	for (int i = 0; i < PATH_STEPS; i++) {
		__u32 len, to;

		if (!walk_up(&at, &name))
			break;
		len = name.len;
		room = span->len;
		if (len >= room)
			break;
		room -= len + 1;
		span->len = room;
		to = within(begin + room, cap);
		rec[to] = '/';
		bpf_probe_read_kernel(rec + to + 1, within(len, NAME_BYTES + 1), name.name);
		if (at.dentry == at.named)
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
