// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* TCP connections by the one tracepoint through which every change of state goes. */
#include "net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* An outgoing connection starts, a socket starts to listen: in the context of the process. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tp_connect, struct sock *sk, int from, int to)
{
	__u32 kind = to == TCP_SYN_SENT ? KIND_CONNECT : KIND_LISTEN;

	if (to != TCP_SYN_SENT && to != TCP_LISTEN)
		return 0;
	if (!is_wanted(kind, PROVIDER_TRACEPOINT, current_tgid()))
		return 0;
	return net_emit(sk, current_task(), kind, PROVIDER_TRACEPOINT,
	                to == TCP_SYN_SENT ? RESULT_UNKNOWN : 0);
}

/* Writes down who connects and listens; tells of accepted and of ended connections. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(tp_connection, struct sock *sk, int from, int to)
{
	struct owner *o;

	if (to == TCP_SYN_SENT || to == TCP_LISTEN) {
		own_socket(sk, current_task());
		return 0;
	}
	if (to != TCP_ESTABLISHED && to != TCP_CLOSE)
		return 0;
	o = bpf_sk_storage_get(&owners, sk, 0, 0);
	if (!o)
		return 0;
	if (to == TCP_ESTABLISHED) {
		o->established = 1;
		o->accepted = from == TCP_SYN_RECV;
		if (o->accepted && is_wanted(KIND_ACCEPT, PROVIDER_TRACEPOINT, o->pid))
			return net_emit_owned(sk, o, KIND_ACCEPT);
		return 0;
	}
	if (from != TCP_LISTEN && o->established &&
	    is_wanted(KIND_CLOSE, PROVIDER_TRACEPOINT, o->pid))
		return net_emit_owned(sk, o, KIND_CLOSE);
	return 0;
}

/*
 * accept(2) looks up the address of the peer for all callers that ask for it, as most servers do:
 * here the one that takes a connection is known. Told where it is not the one that listens.
 */
static __always_inline int taken(struct bpf_sock_addr *ctx)
{
	struct task_struct *task = current_task();
	struct bpf_sock *sk = ctx->sk;
	__u32 tgid = current_tgid();
	struct owner *o;

	if (!sk || ctx->protocol != IPPROTO_TCP_NUMBER)
		return ALLOW;
	o = bpf_sk_storage_get(&owners, sk, 0, 0);
	if (!o || !o->accepted || o->pid == tgid)
		return ALLOW;
	owner_of_task(o, task);
	o->established = 1;
	if (is_wanted(KIND_ACCEPT, PROVIDER_TRACEPOINT, tgid))
		net_emit_owned((struct sock *)as_number(sk), o, KIND_ACCEPT);
	return ALLOW;
}

SEC("cgroup/getpeername4")
int cg_taken4(struct bpf_sock_addr *ctx)
{
	return taken(ctx);
}

SEC("cgroup/getpeername6")
int cg_taken6(struct bpf_sock_addr *ctx)
{
	return taken(ctx);
}

/* Sockets that listen already when the agent starts. */
SEC("iter/task_file")
int iter_listeners(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct sock *sk;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (sk && sk->__sk_common.skc_state == TCP_LISTEN && !bpf_sk_storage_get(&owners, sk, 0, 0))
		own_socket(sk, task);
	return 0;
}
