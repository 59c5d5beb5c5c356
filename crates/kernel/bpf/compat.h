/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that differs between kernels, in one place. Each shim says which kernels need it
 * and why; CO-RE decides at load time, so one object serves all.
 */
#ifndef AEGIS_COMPAT_H
#define AEGIS_COMPAT_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* Macros of uapi headers; vmlinux.h holds types only. */
#define AF_INET 2
#define AF_INET6 10
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#define MINOR_BITS 20
#define TMPFS_MAGIC 0x01021994
#define PF_KTHREAD 0x00200000
#define BPF_OBJ_NAME_LEN 16
#define SIGNAL_GROUP_EXIT 0x00000004

/* Names and numbers of system calls differ between architectures. */
#if defined(__TARGET_ARCH_x86)
#define SYSCALL_PREFIX "__x64_sys_"
#define NR_MEMFD_CREATE 319
#define NR_CAPSET 126
#define compat_syscall(regs) BPF_CORE_READ(regs, orig_ax)
#else
#define SYSCALL_PREFIX "__arm64_sys_"
#define NR_MEMFD_CREATE 279
#define NR_CAPSET 91
#define compat_syscall(regs) BPF_CORE_READ(regs, syscallno)
#endif

/*
 * Reads a member, through pointers, of what `src` points to: kread(struct task_struct, task,
 * signal, tty). Since 6.2 (a35b9af4ec2c) a plain load each, which yields 0 where nothing can be
 * read; before, a call of a helper each, some twenty times as long.
 */
#define kread(type, src, ...)                                                                      \
	({                                                                                         \
		___type(((type *)0), __VA_ARGS__) value_;                                          \
		if (bpf_ksym_exists(bpf_rdonly_cast))                                              \
			value_ = ___arrow(bpf_core_cast((void *)(src), type), __VA_ARGS__);        \
		else                                                                               \
			value_ = BPF_CORE_READ((type *)(src), __VA_ARGS__);                        \
		value_;                                                                            \
	})

/* Reads a number at an address, and leaves nothing known of it: also of a pointer that is there. */
static __always_inline __u64 peek(__u64 address)
{
	__u64 value = 0;

	/* Any type that begins with such a number would do. */
	if (bpf_ksym_exists(bpf_rdonly_cast))
		return bpf_core_cast((void *)address, struct timespec64)->tv_sec;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* The number of the pointer that a member is. */
#define peek_member(type, address, member)                                                         \
	peek((__u64)(address) + bpf_core_field_offset(type, member))

/* Before 6.3 (f122a08b197d) kernel_cap_t was two __u32; read as 64 bits both look the same on
 * little-endian machines. */
static __always_inline __u64 compat_cap(const void *cap)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), cap);
	return value;
}

/* Kernels built without CONFIG_AUDIT have no login uid. */
static __always_inline __u32 compat_loginuid(struct task_struct *task)
{
	if (bpf_core_field_exists(task->loginuid))
		return BPF_CORE_READ(task, loginuid.val);
	return ~0U;
}

static __always_inline __u32 compat_audit_session(struct task_struct *task)
{
	if (bpf_core_field_exists(task->sessionid))
		return BPF_CORE_READ(task, sessionid);
	return ~0U;
}

#endif
