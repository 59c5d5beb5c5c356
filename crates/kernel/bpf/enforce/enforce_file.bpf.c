// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Files: the hooks that decide about them when they are opened and used. */
#include "ask.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_TRUNC 01000
#define BIT(operation) (1U << (operation))

static __always_inline int refuse_file(const struct asker *asker, struct file *file,
                                       const struct labels *labels, __u32 operation)
{
	struct inode *inode = file->f_inode;

	return refuse(asker, labels, operation, inode->i_sb->s_dev, inode->i_ino);
}

SEC("lsm/file_open")
int BPF_PROG(enforce_open, struct file *file)
{
	struct asker asker;
	struct labels labels;
	__u32 mode;
	int error;

	if (!is_asked(&asker, BIT(DO_READ) | BIT(DO_WRITE)))
		return 0;
	file_labels(file->f_inode, peek_member(struct file, file, f_path.dentry), &labels, asker.epoch);
	mode = file->f_mode;
	if (mode & FMODE_READ) {
		error = refuse_file(&asker, file, &labels, DO_READ);
		if (error)
			return error;
	}
	if (mode & FMODE_WRITE || file->f_flags & O_TRUNC)
		return refuse_file(&asker, file, &labels, DO_WRITE);
	return 0;
}
