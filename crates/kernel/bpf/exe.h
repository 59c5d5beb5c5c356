/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a record tells about the executable of a process and its standard descriptors. */
#ifndef AEGIS_EXE_H
#define AEGIS_EXE_H

#include "path.h"
#include "task.h"

/* Majors of character devices that are terminals. */
#define MAJOR_TTY 4
#define MAJOR_CONSOLE 5
#define MAJOR_PTS_FIRST 136
#define MAJOR_PTS_LAST 143
/* A name of an anonymous memory file begins so. */
#define MEMFD_PREFIX "memfd:"

static __always_inline bool is_memfd(struct dentry *dentry, __u32 magic)
{
	char name[sizeof(MEMFD_PREFIX)] = {};

	if (magic != TMPFS_MAGIC)
		return false;
	bpf_probe_read_kernel(name, sizeof(name) - 1, kread(struct dentry, dentry, d_name.name));
	return !__builtin_memcmp(name, MEMFD_PREFIX, sizeof(MEMFD_PREFIX) - 1);
}

static __always_inline void fill_exe(struct rec_task *r, struct file *exe)
{
	struct dentry *dentry = exe->f_path.dentry;
	struct inode *inode = exe->f_inode;

	r->exe_ino = inode->i_ino;
	r->exe_dev = inode->i_sb->s_dev;
	r->exe_size = inode->i_size;
	r->exe_mode = inode->i_mode;
	r->exe_uid = inode->i_uid.val;
	r->exe_gid = inode->i_gid.val;
	if (is_memfd(dentry, inode->i_sb->s_magic))
		r->task_flags |= TASK_MEMFD;
	else if (!inode->i_nlink || !dentry->d_hash.pprev)
		r->task_flags |= TASK_DELETED;
}

static __always_inline bool is_terminal(__u32 device)
{
	__u32 major = device >> MINOR_BITS;

	return major == MAJOR_TTY || major == MAJOR_CONSOLE ||
	       (major >= MAJOR_PTS_FIRST && major <= MAJOR_PTS_LAST);
}

static __always_inline struct inode *descriptor_inode(struct task_struct *task, __u32 number)
{
	struct fdtable *table = kread(struct task_struct, task, files, fdt);
	struct file **slots = kread(struct fdtable, table, fd), *file = NULL;

	if (number >= kread(struct fdtable, table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), slots + number);
	return file ? kread(struct file, file, f_inode) : NULL;
}

static __always_inline void fill_stdio(struct rec_task *r, struct task_struct *task)
{
	struct inode *in = descriptor_inode(task, 0), *out = descriptor_inode(task, 1);
	__u32 mode = in ? kread(struct inode, in, i_mode) & S_IFMT : 0;

	if (mode == S_IFSOCK)
		r->task_flags |= TASK_STDIN_SOCKET;
	if (mode == S_IFIFO)
		r->task_flags |= TASK_STDIN_PIPE;
	if (mode == S_IFCHR && is_terminal(kread(struct inode, in, i_rdev)))
		r->task_flags |= TASK_STDIN_TTY;
	if (out && (kread(struct inode, out, i_mode) & S_IFMT) == S_IFSOCK)
		r->task_flags |= TASK_STDOUT_SOCKET;
}

/* Paths of a task record, measured before the record is reserved. */
struct task_paths {
	struct measured exe, cwd;
};

static __always_inline void measure_paths(struct task_paths *p, struct task_struct *task,
                                          struct file *exe)
{
	struct fs_struct *fs = kread(struct task_struct, task, fs);

	if (exe)
		measure_path(&p->exe, __builtin_preserve_access_index(&exe->f_path));
	if (fs)
		measure_path(&p->cwd, __builtin_preserve_access_index(&fs->pwd));
}

static __always_inline void append_paths(struct rec_task *r, __u32 cap, const struct task_paths *p)
{
	append_path(&r->h, cap, &r->exe, &p->exe, RING_LIFE);
	append_path(&r->h, cap, &r->cwd, &p->cwd, RING_LIFE);
}

#endif
