// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Files: the hooks that decide about them when they are opened and used. */
#include "ask.h"
#include "hash.h"
#include "self_file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define FMODE_READ 1
#define FMODE_WRITE 2
#define O_TRUNC 01000
#define MAY_WRITE 2
#define MAY_READ 4
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_TYPE 0x0f
#define MAP_SHARED 1
#define MAP_SHARED_VALIDATE 3
#define VM_EXEC 4
#define VM_SHARED 8
#define FS_IOC_SETFLAGS 0x40086602
#define FS_IOC_FSSETXATTR 0x401c5820

/* Whether no rule is about a process and a file, found without a look at the tables. Only
 * `possible` operations, a constant, are asked about. */
static __always_inline bool is_free(const struct subject *subject, const struct kept *kept,
                                    __u64 epoch, struct file *file, __u32 operations,
                                    __u32 possible)
{
	if (!is_kept_of(kept, epoch, file))
		return false;
	if (operations & possible & BIT(DO_READ) && !is_silent(kept, USE_READ, &subject->heard))
		return false;
	if (operations & possible & BIT(DO_WRITE) && !is_silent(kept, USE_WRITE, &subject->heard))
		return false;
	if (operations & possible & BIT(DO_MAP_CODE) && !is_silent(kept, USE_CODE, &subject->heard))
		return false;
	barrier();
	return *(volatile const __u64 *)&kept->epoch == epoch;
}

/* The operations, a set of bits, on a file that is open or being opened, by its labels. One
 * question for all of them, and no unrolled loop: there is not much room on the stack. */
static __noinline int refuse_labelled(struct file *file, struct subject *subject, __u64 epoch,
                                      __u32 operations)
{
	struct question question = {.epoch = epoch, .maker = {}};
	struct inode *inode = file->f_inode;
	struct labels labels;
	int error;

	file_labels(inode, peek_member(struct file, file, f_path.dentry), &labels, epoch);
	if (subject && !labels.count && !labels.unresolved)
		operations &= subject->plain;
	question.dev = inode->i_sb->s_dev;
	question.ino = inode->i_ino;
#pragma clang loop unroll(disable)
	for (__u32 operation = 0; operation <= DO_MAP_CODE; operation++) {
		if (!(operations >> operation & 1))
			continue;
		question.operation = operation;
		error = errno_of(conclude(&question, subject, &labels));
		if (error)
			return error;
	}
	return 0;
}

/* The same, from the beginning. Most requests end here, if it is `possible` that they do; the
 * others begin anew, so that these need not keep what only those use. */
static __always_inline int refuse_file(struct file *file, __u32 operations, __u32 possible)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 epoch = current_epoch();
	struct subject *subject;
	struct asker asker;
	struct kept *kept;

	/* Where nothing is in force, is_asked() says so: not asked here, that is two instructions
	 * less. One number from here on, not what it was made of. */
	barrier_var(operations);
	subject = bpf_task_storage_get(&subjects, task->group_leader, 0, 0);
	if (subject && subject->epoch == epoch && !now.missed) {
		if (!(subject->concern & operations))
			return 0;
		if (possible && !(subject->plain & operations)) {
			kept = bpf_inode_storage_get(&kept_labels, file->f_inode, 0, 0);
			if (kept && is_free(subject, kept, epoch, file, operations, possible))
				return 0;
		}
	}
	if (!is_asked(&asker, operations))
		return 0;
	return refuse_labelled(file, asker.subject, asker.epoch, operations);
}

#define CONTENT (BIT(DO_READ) | BIT(DO_WRITE))
#define CODE (CONTENT | BIT(DO_MAP_CODE))

SEC("lsm/file_open")
int BPF_PROG(enforce_open, struct file *file)
{
	__u32 mode = file->f_mode, operations = 0;

	if (mode & FMODE_READ)
		operations |= BIT(DO_READ);
	if (mode & FMODE_WRITE || file->f_flags & O_TRUNC)
		operations |= BIT(DO_WRITE);
	if (operations & BIT(DO_WRITE)) {
		forget_hash(file->f_inode);
		if (changes_entry(as_number(file->f_path.dentry), DO_WRITE, OWN_CONTENT)) {
			barrier();
			return -EPERM;
		}
	}
	return refuse_file(file, operations, CONTENT);
}

/* Descriptors from before the rule, or from another process; also all that copies inside the
 * kernel. */
SEC("lsm/file_permission")
int BPF_PROG(enforce_use, struct file *file, int mask)
{
	__u32 operations = 0;

	if (mask & MAY_READ)
		operations |= BIT(DO_READ);
	if (mask & MAY_WRITE)
		operations |= BIT(DO_WRITE);
	if (!operations)
		return 0;
	return refuse_file(file, operations, CONTENT);
}

/* Memory that is no file's is code without a label. Its own function for the stack's sake. */
static __noinline int refuse_code(void)
{
	struct labels labels = {};
	struct asker asker;

	if (!is_asked(&asker, BIT(DO_MAP_CODE)))
		return 0;
	return refuse(&asker, &labels, DO_MAP_CODE, 0, 0);
}

SEC("lsm/mmap_file")
int BPF_PROG(enforce_map, struct file *file, unsigned long asked, unsigned long prot,
             unsigned long flags)
{
	__u32 operations = 0, type = flags & MAP_TYPE;

	/* Asked of the number, too: the verifier of some kernels thinks that there always is a
	 * file. */
	if (!file || !as_number(file)) {
		if (prot & PROT_EXEC)
			return refuse_code();
		return 0;
	}
	if (prot & PROT_READ)
		operations |= BIT(DO_READ);
	if (prot & PROT_WRITE && (type == MAP_SHARED || type == MAP_SHARED_VALIDATE))
		operations |= BIT(DO_WRITE);
	if (prot & PROT_EXEC)
		operations |= BIT(DO_MAP_CODE);
	return refuse_file(file, operations, CODE);
}

SEC("lsm/file_mprotect")
int BPF_PROG(enforce_protect, struct vm_area_struct *vma, unsigned long asked, unsigned long prot)
{
	struct file *file = vma->vm_file;
	unsigned long flags = vma->vm_flags;
	__u32 operations = 0;

	if (prot & PROT_WRITE && flags & VM_SHARED)
		operations |= BIT(DO_WRITE);
	if (prot & PROT_EXEC && !(flags & VM_EXEC))
		operations |= BIT(DO_MAP_CODE);
	if (!operations)
		return 0;
	if (!file) {
		if (operations & BIT(DO_MAP_CODE))
			return refuse_code();
		return 0;
	}
	return refuse_file(file, operations, CODE);
}

SEC("lsm/file_truncate")
int BPF_PROG(enforce_file_truncate, struct file *file)
{
	return refuse_file(file, BIT(DO_WRITE), CONTENT);
}

/* Flags such as "immutable". Clones of files ask for permission as reads and writes do. */
SEC("lsm/file_ioctl")
int BPF_PROG(enforce_ioctl, struct file *file, unsigned int command)
{
	if (command != FS_IOC_SETFLAGS && command != FS_IOC_FSSETXATTR)
		return 0;
	return refuse_file(file, BIT(DO_ATTRIBUTES), 0);
}
