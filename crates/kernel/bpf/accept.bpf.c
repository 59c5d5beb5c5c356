// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Accepted connections with the process that accepts them, and not the one that listens (servers
 * with several workers). Reports under its own provider, in place of tp_connection.
 */
#include "net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int accepted(struct sock *sk)
{
	if (!sk || !is_wanted(KIND_ACCEPT, PROVIDER_FENTRY, current_tgid()))
		return 0;
	return net_emit(sk, current_task(), KIND_ACCEPT, PROVIDER_FENTRY, 0);
}

/* Since 5.17 the result can be had without knowing how many arguments there are (6.10 changed
 * them). */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept, struct sock *listener)
{
	__u64 result = 0;

	bpf_get_func_ret(ctx, &result);
	return accepted((struct sock *)result);
}

/* Before 5.17: four arguments. */
SEC("fexit/inet_csk_accept")
int BPF_PROG(fexit_accept_old, struct sock *listener, int flags, int *error, bool kern,
             struct sock *result)
{
	return accepted(result);
}
