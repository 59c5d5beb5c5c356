/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records about sockets. */
#ifndef AEGIS_NET_H
#define AEGIS_NET_H

#include "owner.h"
#include <bpf/bpf_endian.h>

/* What a cgroup hook returns. */
#define ALLOW 1
#define RESULT_UNKNOWN 1
#define SOCK_NONE 0
#define IPPROTO_TCP_NUMBER 6
#define IPPROTO_UDP_NUMBER 17

static __always_inline void fill_sock(struct rec_net *r, const struct sock *sk)
{
	r->family = kread(struct sock, sk, __sk_common.skc_family);
	r->sport = kread(struct sock, sk, __sk_common.skc_num);
	if (!r->sport) /* given back already when a connection ends */
		r->sport = bpf_ntohs(kread(struct inet_sock, sk, inet_sport));
	r->dport = bpf_ntohs(kread(struct sock, sk, __sk_common.skc_dport));
	r->protocol = kread(struct sock, sk, sk_protocol);
	r->sock_type = kread(struct sock, sk, sk_type);
	r->cookie = kread(struct sock, sk, __sk_common.skc_cookie.counter);
	if (r->family == AF_INET6) {
		bpf_core_read(r->saddr, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(r->daddr, 16, &sk->__sk_common.skc_v6_daddr);
		return;
	}
	bpf_core_read(r->saddr, 4, &sk->__sk_common.skc_rcv_saddr);
	bpf_core_read(r->daddr, 4, &sk->__sk_common.skc_daddr);
}

/* What `task` does with a socket. */
static __always_inline int net_emit(const struct sock *sk, struct task_struct *task, __u32 kind,
                                    __u32 provider, int result)
{
	struct rec_net *r = reserve(RING_REST, sizeof(*r));

	if (!r)
		return 0;
	zero_words(r, sizeof(*r));
	fill_header(&r->h, task, kind, provider, sizeof(*r));
	fill_sock(r, sk);
	r->result = result;
	submit(RING_REST, r);
	return 0;
}

/* What happens to a socket whose process was written down. */
static __always_inline int net_emit_owned(const struct sock *sk, const struct owner *o, __u32 kind)
{
	struct rec_net *r = reserve(RING_REST, sizeof(*r));

	if (!r)
		return 0;
	zero_words(r, sizeof(*r));
	fill_owner(&r->h, o, kind, PROVIDER_TRACEPOINT, sizeof(*r));
	fill_sock(r, sk);
	submit(RING_REST, r);
	return 0;
}

#endif
