// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Cgroup hooks: what a process asks of a socket, with the kernel's own copy of the address. They
 * always allow. Connections over TCP come from net.bpf.c, so here connect is about datagrams.
 */
#include "net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Addresses that were asked for; for bind the local, else the remote one. */
static __always_inline void fill_asked(struct rec_net *r, struct bpf_sock_addr *ctx, bool local,
                                       __u32 family)
{
	unsigned char *addr = local ? r->saddr : r->daddr;
	__u32 *words = (__u32 *)addr;

	r->family = family;
	r->protocol = ctx->protocol;
	r->sock_type = ctx->type;
	if (local)
		r->sport = bpf_ntohs(ctx->user_port);
	else
		r->dport = bpf_ntohs(ctx->user_port);
	if (family == AF_INET) {
		words[0] = ctx->user_ip4;
		return;
	}
	words[0] = ctx->user_ip6[0];
	words[1] = ctx->user_ip6[1];
	words[2] = ctx->user_ip6[2];
	words[3] = ctx->user_ip6[3];
}

static __always_inline int asked(struct bpf_sock_addr *ctx, __u32 kind, bool local, __u32 family)
{
	struct task_struct *task = current_task();
	struct rec_net *r;

	if (!is_wanted(kind, PROVIDER_CGROUP, kread(struct task_struct, task, tgid)))
		return ALLOW;
	r = reserve(RING_REST, sizeof(*r));
	if (!r)
		return ALLOW;
	zero_words(r, sizeof(*r));
	fill_header(&r->h, task, kind, PROVIDER_CGROUP, sizeof(*r));
	fill_asked(r, ctx, local, family);
	r->result = RESULT_UNKNOWN;
	r->cookie = bpf_get_socket_cookie(ctx);
	submit(RING_REST, r);
	return ALLOW;
}

SEC("cgroup/bind4")
int cg_bind4(struct bpf_sock_addr *ctx)
{
	return asked(ctx, KIND_BIND, true, AF_INET);
}

SEC("cgroup/bind6")
int cg_bind6(struct bpf_sock_addr *ctx)
{
	return asked(ctx, KIND_BIND, true, AF_INET6);
}

/* The wanted kind is checked under the provider of TCP: the record is one of the same kind. */
static __always_inline int connect_datagram(struct bpf_sock_addr *ctx, __u32 family)
{
	struct task_struct *task = current_task();
	struct rec_net *r;

	if (ctx->protocol == IPPROTO_TCP_NUMBER ||
	    !is_wanted(KIND_CONNECT, PROVIDER_TRACEPOINT, kread(struct task_struct, task, tgid)))
		return ALLOW;
	r = reserve(RING_REST, sizeof(*r));
	if (!r)
		return ALLOW;
	zero_words(r, sizeof(*r));
	fill_header(&r->h, task, KIND_CONNECT, PROVIDER_CGROUP, sizeof(*r));
	fill_asked(r, ctx, false, family);
	r->result = RESULT_UNKNOWN;
	r->cookie = bpf_get_socket_cookie(ctx);
	submit(RING_REST, r);
	return ALLOW;
}

SEC("cgroup/connect4")
int cg_connect4(struct bpf_sock_addr *ctx)
{
	return connect_datagram(ctx, AF_INET);
}

SEC("cgroup/connect6")
int cg_connect6(struct bpf_sock_addr *ctx)
{
	return connect_datagram(ctx, AF_INET6);
}

SEC("cgroup/sendmsg4")
int cg_sendmsg4(struct bpf_sock_addr *ctx)
{
	return asked(ctx, KIND_SEND, false, AF_INET);
}

SEC("cgroup/sendmsg6")
int cg_sendmsg6(struct bpf_sock_addr *ctx)
{
	return asked(ctx, KIND_SEND, false, AF_INET6);
}
