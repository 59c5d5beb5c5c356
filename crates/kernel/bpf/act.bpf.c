// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Signals between processes, and io_uring instances. */
#include "act.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Reasons of signals that a process sent by its own will (siginfo.h). */
#define BY_KILL 0
#define BY_QUEUE -1
#define BY_TKILL -6

/* `info` may also be one of two small numbers: 0 sent by a process, 1 by the kernel. */
static __always_inline bool sent_by_process(struct kernel_siginfo *info, int *code)
{
	*code = BY_KILL;
	if ((__u64)info <= 1)
		return !info;
	*code = kread(struct kernel_siginfo, info, si_code);
	return *code == BY_KILL || *code == BY_QUEUE || *code == BY_TKILL;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(tp_signal, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	int code;

	if (!sent_by_process(info, &code) ||
	    kread(struct task_struct, task, tgid) == (int)current_tgid())
		return 0;
	return act_on(KIND_SIGNAL, PROVIDER_TRACEPOINT, task, sig, code);
}

SEC("tp_btf/io_uring_create")
int BPF_PROG(tp_io_uring, int fd, void *ring, __u32 sq, __u32 cq, __u32 flags)
{
	struct rec_act *r;

	if (!is_wanted(KIND_IO_URING, PROVIDER_TRACEPOINT, current_tgid()))
		return 0;
	r = reserve(RING_REST, sizeof(*r));
	if (!r)
		return 0;
	fill_act(r, KIND_IO_URING, PROVIDER_TRACEPOINT);
	r->op = flags;
	submit(RING_REST, r);
	return 0;
}
