// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Sessions and capabilities, from what the kernel holds when the system call is done. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int ids_now(__u32 kind, __u32 provider)
{
	const struct cred *cred = kread(struct task_struct, current_task(), cred);

	return ids_emit(kind, provider, cred, cred);
}

SEC("fexit/ksys_setsid")
int BPF_PROG(fexit_setsid, int ret)
{
	return ret < 0 ? 0 : ids_now(KIND_SETSID, PROVIDER_FENTRY);
}

/* Every system call pays for it: only where LSM programs cannot be attached. */
SEC("raw_tp/sys_exit")
int raw_capset(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

	if (compat_syscall(regs) != NR_CAPSET || ctx->args[1])
		return 0;
	return ids_now(KIND_CAPSET, PROVIDER_SYSCALL);
}
