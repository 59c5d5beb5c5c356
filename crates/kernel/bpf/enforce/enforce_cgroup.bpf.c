// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Network requests where no LSM program loads: the hooks of cgroups, attached to the root cgroup
 * (its descendants run them too). They see every request before the kernel does, with the kernel's
 * own copy of the address, whichever system call or ring it came by.
 */
#include "net_socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void fill_asked(struct bpf_sock_addr *ctx, __u32 family,
                                       struct endpoint *peer)
{
	peer->family = family;
	peer->port = bpf_ntohs(ctx->user_port);
	peer->protocol = ctx->protocol;
	peer->type = ctx->type;
	if (family == AF_INET) {
		peer->address[0] = ctx->user_ip4;
		return;
	}
	peer->address[0] = ctx->user_ip6[0];
	peer->address[1] = ctx->user_ip6[1];
	peer->address[2] = ctx->user_ip6[2];
	peer->address[3] = ctx->user_ip6[3];
}

/* What the socket is bound to. */
static __always_inline void fill_source(struct bpf_sock_addr *ctx, struct endpoint *source)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return;
	source->family = sk->family;
	if (sk->family == AF_INET) {
		source->address[0] = sk->src_ip4;
		return;
	}
	source->address[0] = sk->src_ip6[0];
	source->address[1] = sk->src_ip6[1];
	source->address[2] = sk->src_ip6[2];
	source->address[3] = sk->src_ip6[3];
	make_plain(source);
}

/*
 * To connect or to name the peer of a datagram is to ask for both, connecting and sending: what is
 * sent over a connected socket asks no hook of a cgroup.
 */
static __always_inline int reach(struct bpf_sock_addr *ctx, __u32 family)
{
	struct endpoint source = {}, *peer;
	struct asking *asking;
	int answer = begin_asking(&asking, BIT(DO_CONNECT) | BIT(DO_SEND));

	if (answer != ASK)
		return answer;
	peer = &asking->question.peer;
	fill_asked(ctx, family, peer);
	fill_source(ctx, &source);
	make_destination(peer, &source);
	label_peer(peer, &asking->labels, asking->question.epoch);
	answer = ask(asking, DO_CONNECT);
	if (!answer)
		answer = ask(asking, DO_SEND);
	return end_asking(asking, answer);
}

SEC("cgroup/connect4")
int fallback_connect4(struct bpf_sock_addr *ctx)
{
	return reach(ctx, AF_INET);
}

SEC("cgroup/connect6")
int fallback_connect6(struct bpf_sock_addr *ctx)
{
	return reach(ctx, AF_INET6);
}

SEC("cgroup/sendmsg4")
int fallback_sendmsg4(struct bpf_sock_addr *ctx)
{
	return reach(ctx, AF_INET);
}

SEC("cgroup/sendmsg6")
int fallback_sendmsg6(struct bpf_sock_addr *ctx)
{
	return reach(ctx, AF_INET6);
}

static __always_inline int bind_to(struct bpf_sock_addr *ctx, __u32 family)
{
	struct asking *asking;
	int answer = begin_asking(&asking, BIT(DO_BIND));

	if (answer != ASK)
		return answer;
	fill_asked(ctx, family, &asking->question.peer);
	make_plain(&asking->question.peer);
	label_peer(&asking->question.peer, &asking->labels, asking->question.epoch);
	return end_asking(asking, ask(asking, DO_BIND));
}

SEC("cgroup/bind4")
int fallback_bind4(struct bpf_sock_addr *ctx)
{
	return bind_to(ctx, AF_INET);
}

SEC("cgroup/bind6")
int fallback_bind6(struct bpf_sock_addr *ctx)
{
	return bind_to(ctx, AF_INET6);
}
