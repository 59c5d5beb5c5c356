// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Puts records made in user space (fanotify, netlink, perf) into the rings, so that there is one
 * order, one loss account and one decoder. Run through BPF_PROG_TEST_RUN, since 5.14.
 */
#include "task.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define INJECT_SMALL 512
#define INJECT_MIDDLE 2048
#define INJECT_LARGE 16384

struct injection {
	__u32 ring;
	__u32 count; /* 0: a record follows; else: so many losses by `cause` are to be counted */
	__u32 cause;
	__u32 unused;
	struct rec_header record;
};

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct *p) __ksym __weak;

static __always_inline void stamp(struct rec_header *h, bool find)
{
	struct task_struct *task;

	if (!h->time) {
		h->time = bpf_ktime_get_boot_ns();
		h->cpu = bpf_get_smp_processor_id();
	}
	if (!find || !(h->flags & FLAG_NO_START) || !bpf_task_from_pid)
		return;
	task = bpf_task_from_pid(h->pid);
	if (!task)
		return;
	h->start = task_start(task);
	h->cgroup = task_cgroup(task);
	h->flags &= ~FLAG_NO_START;
	if (h->flags & FLAG_NO_CREDS) {
		h->uid = kread(struct task_struct, task, cred, euid.val);
		h->gid = kread(struct task_struct, task, cred, egid.val);
		h->flags &= ~FLAG_NO_CREDS;
	}
	bpf_task_release(task);
}

#define put(ring, size, ctx, bytes, find)                                                          \
	({                                                                                         \
		struct rec_header *h_ = reserve(ring, size);                                       \
		if (h_) {                                                                          \
			bpf_probe_read_kernel(h_, at_most(bytes, size), &(ctx)->record);           \
			stamp(h_, find);                                                           \
			submit(ring, h_);                                                          \
		}                                                                                  \
		h_ ? 0 : -1;                                                                       \
	})

static __always_inline int put_sized(__u32 ring, struct injection *ctx, __u32 bytes, bool find)
{
	if (bytes <= INJECT_SMALL)
		return put(ring, INJECT_SMALL, ctx, bytes, find);
	if (bytes <= INJECT_MIDDLE)
		return put(ring, INJECT_MIDDLE, ctx, bytes, find);
	if (bytes <= INJECT_LARGE)
		return put(ring, INJECT_LARGE, ctx, bytes, find);
	count_lost(ring, LOSS_TOO_LONG);
	return -1;
}

static __always_inline int inject_any(struct injection *ctx, bool find)
{
	__u32 bytes = ctx->record.len, ring = ctx->ring;

	if (ctx->count) {
		if (ring < RING_COUNT && ctx->cause < LOSS_COUNT)
			count_in(&lost, ctx->cause * RING_COUNT + ring, ctx->count);
		return 0;
	}
	if (ring == RING_ALARM)
		return put_sized(RING_ALARM, ctx, bytes, find);
	if (ring == RING_LIFE)
		return put_sized(RING_LIFE, ctx, bytes, find);
	return put_sized(RING_REST, ctx, bytes, find);
}

/* Since 6.2 the task can be found by its pid, since 6.10 or so also from here. */
SEC("syscall")
int inject_find(struct injection *ctx)
{
	return inject_any(ctx, true);
}

SEC("syscall")
int inject_plain(struct injection *ctx)
{
	return inject_any(ctx, false);
}

/* What the throughput benchmark asks for: so many records of one kind into one ring. */
struct production {
	__u32 ring;
	__u32 kind;
	__u32 count;
	__u32 made; /* out: how many found room */
};

#define PRODUCE_BYTES 256

static __always_inline int produce_one(__u32 ring, __u32 kind, __u64 number)
{
	struct rec_task *r = reserve(ring, PRODUCE_BYTES);

	if (!r)
		return 0;
	zero_words(r, PRODUCE_BYTES);
	r->h.time = bpf_ktime_get_boot_ns();
	r->h.start = 1 + number;
	r->h.pid = r->h.tid = 1 + (number & 0xffff);
	r->ppid = 1;
	r->h.len = kind < KIND_SETUID ? sizeof(*r) : sizeof(struct rec_file);
	r->h.kind = kind;
	r->h.provider = PROVIDER_TEST;
	r->h.cpu = bpf_get_smp_processor_id();
	submit(ring, r);
	return 1;
}

static long produce_step(__u32 index, struct production *p)
{
	if (p->ring == RING_LIFE)
		p->made += produce_one(RING_LIFE, p->kind, index);
	else
		p->made += produce_one(RING_REST, p->kind, index);
	return 0;
}

SEC("syscall")
int produce(struct production *ctx)
{
	struct production p = {.ring = ctx->ring, .kind = ctx->kind, .count = ctx->count};

	bpf_loop(p.count, produce_step, &p, 0);
	return p.made;
}
