/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records about files, measured first, then written into a reservation of the fitting class. */
#ifndef AEGIS_FILE_H
#define AEGIS_FILE_H

#include "path.h"
#include "task.h"

/* Nearly all paths fit the first class; the last holds the two longest. */
#define FILE_SMALL 512
#define FILE_LARGE 16384
/* Bytes kept of a file system type, a mount source, a name of an anonymous file; at most
 * PATH_SLACK. */
#define FILE_NAME_BYTES 256

struct file_plan {
	struct measured path, old;
	struct inode *inode;
	const char *name;       /* file system type, name of an anonymous file */
	const char *old_string; /* source of a mount */
	__u32 kind, provider;
	__u32 mode, uid, gid, open_flags, changed;
	__u32 has_owner; /* uid and gid are given, not those of the inode */
};

static __always_inline void fill_inode(struct rec_file *r, struct inode *inode)
{
	r->ino = kread(struct inode, inode, i_ino);
	r->dev = kread(struct inode, inode, i_sb, s_dev);
	r->size = kread(struct inode, inode, i_size);
	r->mode = kread(struct inode, inode, i_mode);
	r->uid = kread(struct inode, inode, i_uid.val);
	r->gid = kread(struct inode, inode, i_gid.val);
	r->magic = kread(struct inode, inode, i_sb, s_magic);
}

static __always_inline void append_name(struct rec_header *h, __u32 cap, struct span *span,
                                        const char *from)
{
	__u32 off = h->len;
	long len;

	if (!from)
		return;
	len = bpf_probe_read_kernel_str((char *)h + within(off, cap), FILE_NAME_BYTES, from);
	if (len <= 1)
		return;
	span->off = off;
	span->len = len - 1;
	h->len = off + len - 1;
}

static __noinline int file_fill(struct rec_file *r, __u32 cap, const struct file_plan *p)
{
	zero_words(r, sizeof(*r));
	fill_header(&r->h, current_task(), p->kind, p->provider, sizeof(*r));
	if (p->inode)
		fill_inode(r, p->inode);
	if (p->mode)
		r->mode = p->mode;
	if (p->has_owner) {
		r->uid = p->uid;
		r->gid = p->gid;
	}
	r->open_flags = p->open_flags;
	r->changed = p->changed;
	append_path(&r->h, cap, &r->path, &p->path, RING_REST);
	append_path(&r->h, cap, &r->old_path, &p->old, RING_REST);
	append_name(&r->h, cap, &r->name, p->name);
	append_name(&r->h, cap, &r->old_path, p->old_string);
	return 0;
}

#define file_emit_class(plan, size)                                                                \
	({                                                                                         \
		struct rec_file *r_ = reserve(RING_REST, (size) + PATH_SLACK);                     \
		if (r_) {                                                                          \
			file_fill(r_, (size), (plan));                                             \
			submit(RING_REST, r_);                                                     \
		}                                                                                  \
		0;                                                                                 \
	})

static __always_inline int file_emit(struct file_plan *p)
{
	__u32 need;

	forget(p);
	need = sizeof(struct rec_file) + p->path.len + p->old.len;

	if (p->name)
		need += FILE_NAME_BYTES;
	if (p->old_string)
		need += FILE_NAME_BYTES;
	if (need <= FILE_SMALL)
		return file_emit_class(p, FILE_SMALL);
	return file_emit_class(p, FILE_LARGE);
}

/* An entry of a directory: hooks give the directory's path and the entry. */
static __always_inline void measure_entry(struct measured *m, const struct path *dir,
                                          struct dentry *entry)
{
	__u32 len;

	m->dentry = as_number(entry);
	m->mnt = peek_member(struct path, dir, mnt);
	len = path_length(m->dentry, m->mnt);
	m->len = len & ~PATH_IS_PARTIAL;
	m->partial = len & PATH_IS_PARTIAL;
}

#endif
