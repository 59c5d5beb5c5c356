// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Anonymous memory files, from what the kernel holds when memfd_create(2) is done: the file of
 * the new descriptor. By the exit of the system call's function, or, where that cannot be
 * attached, by the tracepoint of all system calls, which every process pays for.
 */
#include "exe.h"
#include "file.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline struct file *current_file(__u32 number)
{
	struct task_struct *task = current_task();
	struct fdtable *table = kread(struct task_struct, task, files, fdt);
	struct file **slots = kread(struct fdtable, table, fd), *file = NULL;

	if (number < kread(struct fdtable, table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), slots + number);
	return file;
}

static __always_inline int memfd_made(long fd, __u32 provider)
{
	struct file_plan plan = {.kind = KIND_MEMFD, .provider = provider};
	struct dentry *dentry;
	struct inode *inode;
	struct file *file;

	if (fd < 0 || !is_wanted(KIND_MEMFD, provider, current_tgid()))
		return 0;
	file = current_file(fd);
	if (!file) {
		count_lost(RING_REST, LOSS_PATH);
		return 0;
	}
	dentry = kread(struct file, file, f_path.dentry);
	inode = kread(struct file, file, f_inode);
	plan.inode = inode;
	plan.name = (const char *)kread(struct dentry, dentry, d_name.name);
	if (is_memfd(dentry, kread(struct inode, inode, i_sb, s_magic)))
		plan.name += sizeof(MEMFD_PREFIX) - 1;
	return file_emit(&plan);
}

SEC("raw_tp/sys_exit")
int raw_memfd(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

	if (compat_syscall(regs) != NR_MEMFD_CREATE)
		return 0;
	return memfd_made(ctx->args[1], PROVIDER_SYSCALL);
}

SEC("fexit/" SYSCALL_PREFIX "memfd_create")
int BPF_PROG(fexit_memfd, const struct pt_regs *regs, long ret)
{
	return memfd_made(ret, PROVIDER_FENTRY);
}
