/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Which system call the current thread is in: the numbers are those that it came in with. */
#ifndef AEGIS_SYSCALL_H
#define AEGIS_SYSCALL_H

#include "compat.h"

/* Since 5.0 new system calls have one number everywhere. */
#define NR_FSCONFIG 431
#define NR_NONE ~0U

#if defined(__TARGET_ARCH_x86)
#define NR_UNSHARE 272
#define NR_SETNS 308
/* For programs of 32 bits. */
#define NR_UNSHARE_OLD 310
#define NR_SETNS_OLD 346
#define TS_COMPAT 2
#define X32_BIT 0x40000000
#else
#define NR_UNSHARE 97
#define NR_SETNS 268
#define NR_UNSHARE_OLD 337
#define NR_SETNS_OLD 375
#define TIF_32BIT 22
#endif

static __always_inline bool is_old_call(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return kread(struct task_struct, task, thread_info.status) & TS_COMPAT;
#else
	return kread(struct task_struct, task, thread_info.flags) >> TIF_32BIT & 1;
#endif
}

/* Threads of the kernel are in none. */
static __always_inline __u32 current_call(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

	if (task->flags & PF_KTHREAD)
		return NR_NONE;
#if defined(__TARGET_ARCH_x86)
	return (__u32)compat_syscall(regs) & ~X32_BIT;
#else
	return (__u32)compat_syscall(regs);
#endif
}

static __always_inline bool is_about_namespaces(void)
{
	__u32 call = current_call();

	if (is_old_call((void *)bpf_get_current_task()))
		return call == NR_UNSHARE_OLD || call == NR_SETNS_OLD;
	return call == NR_UNSHARE || call == NR_SETNS;
}

#endif
