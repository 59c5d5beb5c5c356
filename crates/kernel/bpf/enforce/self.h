/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The agent itself: which processes it is, and what belongs to it.
 *
 * A process is the agent if it runs a program that is known as the agent's, by filesystem and
 * inode; that file is among those that nobody else changes. So its guard, its worker and the
 * commands of an operator are the same to the programs, whatever their numbers, and nobody else
 * becomes one of them. The first process may end anybody, and what the kernel does by itself nobody
 * asks for.
 */
#ifndef AEGIS_SELF_H
#define AEGIS_SELF_H

#include "evidence.h"

enum protection_mode { PROTECT_NOTHING, PROTECT_REPORT, PROTECT_DENY };

struct protection {
	__u32 mode;            /* enum protection_mode */
	__u32 mount_namespace; /* that of the agent */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct protection);
} protection __weak SEC(".maps");

enum own_file {
	OWN_PROGRAM = 1 << 0, /* an executable of the agent */
	OWN_TREE = 1 << 1,    /* a file, or a directory and all below */
	OWN_ABOVE = 1 << 2,   /* a directory above one of these */
};

struct file_id {
	__u64 device;
	__u64 inode;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct file_id);
	__type(value, __u32);
} own_files __weak SEC(".maps");

enum own_kind { OWN_MAP, OWN_BPF_PROGRAM, OWN_LINK, OWN_MOUNT, OWN_MOUNT_PEERS };

struct own_key {
	__u32 kind;
	__u32 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct own_key);
	__type(value, __u32);
} own_objects __weak SEC(".maps");

static __always_inline struct protection *protection_now(void)
{
	__u32 zero = 0;
	struct protection *now = bpf_map_lookup_elem(&protection, &zero);

	return now && now->mode ? now : NULL;
}

static __always_inline __u32 own_file(__u64 device, __u64 inode)
{
	struct file_id id = {.device = device, .inode = inode};
	__u32 *flags = bpf_map_lookup_elem(&own_files, &id);

	return flags ? *flags : 0;
}

static __always_inline bool is_agent(__u64 task)
{
	__u64 mm = (__u64)kread(struct task_struct, task, mm), file, inode;

	file = mm ? (__u64)kread(struct mm_struct, mm, exe_file) : 0;
	inode = file ? (__u64)kread(struct file, file, f_inode) : 0;
	if (!inode)
		return false;
	return own_file(kread(struct inode, inode, i_sb, s_dev),
	                kread(struct inode, inode, i_ino)) &
	       OWN_PROGRAM;
}

static __always_inline bool is_stranger(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->tgid != 1 && !(task->flags & PF_KTHREAD) && !is_agent(bpf_get_current_task());
}

/* Tells what a stranger tries; 1 if it is to be refused. */
static __noinline int tampers(__u32 operation, __u64 dev, __u64 ino)
{
	struct policy_head *head = policy_of(current_epoch());
	struct protection *now = protection_now();
	struct rec_denial *record;
	bool denied = now && now->mode == PROTECT_DENY;

	record = bpf_ringbuf_reserve(&denials, sizeof(*record), 0);
	if (record) {
		zero_words(record, sizeof(*record));
		fill_header(&record->h, current_task(), kind_of(operation), tier.provider,
		            sizeof(*record));
		record->generation = head ? head->generation : 0;
		record->dev = dev;
		record->ino = ino;
		record->rule = NO_RULE;
		record->answer = ANSWER_PERM;
		record->operation = operation;
		record->why = WHY_SELF;
		record->flags = denied ? 0 : DENIAL_WOULD;
		if (denied)
			record->h.flags = FLAG_DENIED;
		bpf_ringbuf_submit(record, 0);
	} else {
		count(COUNT_LOST);
	}
	count(denied ? COUNT_DENIED : COUNT_WOULD_DENY);
	return denied;
}

/* What a hook returns: the verifier wants to know its range, so it is no result of a calculation.
 */
static __always_inline int deny_if(int refused)
{
	if (!refused)
		return 0;
	barrier();
	return -EPERM;
}

/* A stranger acts on a process of the agent. */
static __always_inline int acts_on_agent(struct task_struct *task, __u32 operation)
{
	if (!protection_now() || !is_agent(as_number(task)) || !is_stranger())
		return 0;
	return deny_if(tampers(operation, 0, kread(struct task_struct, as_number(task), tgid)));
}

#endif
