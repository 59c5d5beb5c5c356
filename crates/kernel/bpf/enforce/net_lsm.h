/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Endpoints as LSM hooks have them: addresses of system calls, both ends of sockets, packets. */
#ifndef AEGIS_NET_LSM_H
#define AEGIS_NET_LSM_H

#include "ask.h"
#include "net_label.h"

/* Operations that an endpoint decides. */
#define ON_PEERS                                                                                   \
	(BIT(DO_CONNECT) | BIT(DO_BIND) | BIT(DO_LISTEN) | BIT(DO_ACCEPT) | BIT(DO_SEND) |         \
	 BIT(DO_RECEIVE))
#define AF_UNSPEC 0
#define AF_PACKET 17
#define SOCK_STREAM_TYPE 1
#define SOCK_RAW_TYPE 3

/* An address as system calls take it. */
union any_address {
	struct sockaddr_in four;
	struct sockaddr_in6 six;
};

/*
 * Reads an address that the kernel has copied already. An address without a family is one of
 * version 4 to sockets of that version. False: it is no address of a network.
 */
static __always_inline bool read_address(const struct sock *sk, __u64 from, struct endpoint *peer)
{
	union any_address address = {};
	__u16 family;

	bpf_probe_read_kernel(&address, sizeof(address), (void *)from);
	family = address.four.sin_family;
	if (family == AF_UNSPEC && kread(struct sock, sk, __sk_common.skc_family) == AF_INET)
		family = AF_INET;
	if (family != AF_INET && family != AF_INET6)
		return false;
	peer->family = family;
	peer->port = bpf_ntohs(address.four.sin_port);
	peer->protocol = kread(struct sock, sk, sk_protocol);
	peer->type = kread(struct sock, sk, sk_type);
	if (family == AF_INET) {
		peer->address[0] = address.four.sin_addr.s_addr;
		return true;
	}
	for (__u32 i = 0; i < 4; i++)
		peer->address[i] = address.six.sin6_addr.in6_u.u6_addr32[i];
	return true;
}

/* What a socket is bound to. False: it is none of a network. */
static __always_inline bool read_local(const struct sock *sk, struct endpoint *local)
{
	local->family = kread(struct sock, sk, __sk_common.skc_family);
	local->port = kread(struct sock, sk, __sk_common.skc_num);
	local->protocol = kread(struct sock, sk, sk_protocol);
	local->type = kread(struct sock, sk, sk_type);
	if (local->family == AF_INET)
		local->address[0] = kread(struct sock, sk, __sk_common.skc_rcv_saddr);
	else if (local->family == AF_INET6)
		bpf_core_read(local->address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	else
		return false;
	make_plain(local);
	return true;
}

/* What a socket is connected to. False: to nothing. */
static __always_inline bool read_remote(const struct sock *sk, struct endpoint *peer)
{
	peer->family = kread(struct sock, sk, __sk_common.skc_family);
	peer->port = bpf_ntohs(kread(struct sock, sk, __sk_common.skc_dport));
	peer->protocol = kread(struct sock, sk, sk_protocol);
	peer->type = kread(struct sock, sk, sk_type);
	if (peer->family == AF_INET)
		peer->address[0] = kread(struct sock, sk, __sk_common.skc_daddr);
	else if (peer->family == AF_INET6)
		bpf_core_read(peer->address, 16, &sk->__sk_common.skc_v6_daddr);
	else
		return false;
	make_plain(peer);
	return peer->address[0] | peer->address[1] | peer->address[2] | peer->address[3];
}

/* A request while it is decided: too much for the stack. */
struct peer_request {
	__u64 owner;            /* 0: free */
	struct subject subject; /* of a packet: whose socket it is for */
	struct question question;
	struct endpoint source;
	struct labels labels;
};

/* Requests that are decided at the same moment, and how many places are tried for one. */
#define REQUESTS 256
#define REQUEST_TRIES 32

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REQUESTS);
	__type(key, __u32);
	__type(value, struct peer_request);
} peer_requests __weak SEC(".maps");

static long try_request(__u32 round, struct claim *claim)
{
	__u32 at = (claim->first + round) % REQUESTS;
	struct peer_request *request = bpf_map_lookup_elem(&peer_requests, &at);

	if (!request || __sync_val_compare_and_swap(&request->owner, 0, 1))
		return 0;
	claim->found = at + 1;
	return 1;
}

/* An empty request; NULL when too many programs were preempted while they had one. */
static __always_inline struct peer_request *claim_request(__u64 epoch)
{
	struct claim claim = {.first = bpf_get_smp_processor_id() * 4};
	struct peer_request *request;

	bpf_loop(REQUEST_TRIES, try_request, &claim, 0);
	claim.first = claim.found - 1;
	request = claim.found ? bpf_map_lookup_elem(&peer_requests, &claim.first) : NULL;
	if (!request) {
		count(COUNT_NO_SUBJECT);
		return NULL;
	}
	__builtin_memset(&request->question, 0, sizeof(request->question));
	__builtin_memset(&request->source, 0, sizeof(request->source));
	request->question.epoch = epoch;
	request->labels.count = 0;
	request->labels.unresolved = 0;
	return request;
}

/* Ends a request: what the hook returns. */
static __always_inline int release_request(struct peer_request *request, int answer)
{
	__sync_lock_test_and_set(&request->owner, 0);
	return errno_of(answer);
}

/* 0, or one more than the answer. */
static __always_inline int ask(const struct asker *asker, struct peer_request *request,
                               __u32 operation)
{
	const struct labels *labels = &request->labels;
	struct subject *subject = asker->subject;

	if (subject && !labels->count && !labels->unresolved && !(subject->plain >> operation & 1))
		return 0;
	request->question.operation = operation;
	return conclude(&request->question, subject, labels);
}

/* Ends a request with the first refusal of two operations on its peer. */
static __always_inline int finish(const struct asker *asker, struct peer_request *request,
                                  __u32 first, __u32 second)
{
	int answer;

	label_peer(&request->question.peer, &request->labels, asker->epoch);
	answer = ask(asker, request, first);
	if (!answer && second != first)
		answer = ask(asker, request, second);
	return release_request(request, answer);
}

#endif
