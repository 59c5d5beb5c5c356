// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Questions to name servers, read from the datagrams that leave. The process is the one that
 * connected the socket or sent from it, written down at that moment.
 */
#include "net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define DNS_PORT 53
#define UDP_HEADER 8
#define DNS_HEADER 12
#define IPV6_HEADER 40
#define ETH_P_IP 0x0800
/* Longest name on the wire (RFC 1035), and the question type behind it. */
#define NAME_WIRE 255
#define QUESTION (NAME_WIRE + 5)

struct question {
	struct rec_net net;
	unsigned char name[QUESTION + 3];
	unsigned char unused;
};

static __always_inline int note_owner(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (sk && ctx->protocol == IPPROTO_UDP_NUMBER && ctx->user_port == bpf_htons(DNS_PORT))
		own_socket(sk, current_task());
	return ALLOW;
}

SEC("cgroup/connect4")
int dns_connect4(struct bpf_sock_addr *ctx)
{
	return note_owner(ctx);
}

SEC("cgroup/connect6")
int dns_connect6(struct bpf_sock_addr *ctx)
{
	return note_owner(ctx);
}

SEC("cgroup/sendmsg4")
int dns_sendmsg4(struct bpf_sock_addr *ctx)
{
	return note_owner(ctx);
}

SEC("cgroup/sendmsg6")
int dns_sendmsg6(struct bpf_sock_addr *ctx)
{
	return note_owner(ctx);
}

/*
 * Turns the labels of the name into dotted text in place; returns false when it is malformed.
 * Where the next label begins is kept in the record: what is read from there is unknown to the
 * verifier, so that all rounds look the same to it.
 */
static __always_inline bool dotted(struct question *q)
{
	volatile __u32 *next = &q->net.dns_type;

	*next = 0;
	for (__u32 i = 0; i < NAME_WIRE; i++) {
		unsigned char byte = q->name[i];

		if (i == *next) {
			if (!byte) {
				q->net.name.len = i ? i - 1 : 0;
				q->net.dns_type = q->name[i + 1] << 8 | q->name[i + 2];
				return i > 0;
			}
			if (byte > 63)
				return false;
			*next = i + byte + 1;
			q->name[i] = '.';
		} else if (byte >= 'A' && byte <= 'Z') {
			q->name[i] = byte + 'a' - 'A';
		}
	}
	return false;
}

static __always_inline bool load_question(struct question *q, struct __sk_buff *skb, __u32 udp)
{
	__u32 at = udp + UDP_HEADER + DNS_HEADER;
	__u64 len;
	__u8 flags;

	if (at >= skb->len || bpf_skb_load_bytes(skb, udp + UDP_HEADER + 2, &flags, 1))
		return false;
	/* The highest bit tells an answer. */
	if (flags & 0x80)
		return false;
	len = at_most(skb->len - at, QUESTION);
	/* Never 0, as checked above; before 6.2 the verifier wants to see it in 64 bits. */
	asm volatile("if %0 > 0 goto +1\n\t%0 = 1" : "+r"(len));
	return !bpf_skb_load_bytes(skb, at, q->name, len) && dotted(q);
}

static __always_inline void fill_packet(struct rec_net *r, struct __sk_buff *skb, __u32 udp)
{
	__be16 ports[2] = {};
	bool four = skb->protocol == bpf_htons(ETH_P_IP);

	r->family = four ? AF_INET : AF_INET6;
	r->protocol = IPPROTO_UDP_NUMBER;
	r->sock_type = 2;
	bpf_skb_load_bytes(skb, udp, ports, sizeof(ports));
	r->sport = bpf_ntohs(ports[0]);
	r->dport = bpf_ntohs(ports[1]);
	if (four) {
		bpf_skb_load_bytes(skb, 12, r->saddr, 4);
		bpf_skb_load_bytes(skb, 16, r->daddr, 4);
		return;
	}
	bpf_skb_load_bytes(skb, 8, r->saddr, 16);
	bpf_skb_load_bytes(skb, 24, r->daddr, 16);
}

/*
 * Most packets are not UDP: told from their first bytes, which are in reach for all that a socket
 * makes itself. False also when it cannot be told.
 */
static __always_inline bool is_no_datagram(struct __sk_buff *skb)
{
	const unsigned char *first = (void *)(long)skb->data;
	__u32 at = skb->protocol == bpf_htons(ETH_P_IP) ? 9 : 6;

	if (first + 10 > (unsigned char *)(long)skb->data_end)
		return false;
	return first[at] != IPPROTO_UDP_NUMBER;
}

/* Offset of the UDP header of a datagram to a name server; 0: it is none. */
static __always_inline __u32 to_name_server(struct __sk_buff *skb)
{
	bool four = skb->protocol == bpf_htons(ETH_P_IP);
	__u8 first = 0, protocol = 0;
	__be16 port = 0;
	__u32 udp = IPV6_HEADER;

	bpf_skb_load_bytes(skb, four ? 9 : 6, &protocol, 1);
	if (protocol != IPPROTO_UDP_NUMBER)
		return 0;
	if (four) {
		bpf_skb_load_bytes(skb, 0, &first, 1);
		udp = (first & 0xf) * 4;
	}
	bpf_skb_load_bytes(skb, udp + 2, &port, sizeof(port));
	return port == bpf_htons(DNS_PORT) ? udp : 0;
}

SEC("cgroup_skb/egress")
int dns_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk;
	struct question *q;
	struct owner *o;
	__u32 udp;

	if (is_no_datagram(skb))
		return ALLOW;
	udp = to_name_server(skb);
	sk = skb->sk;
	if (!udp || !sk)
		return ALLOW;
	sk = bpf_sk_fullsock(sk);
	o = sk ? bpf_sk_storage_get(&owners, sk, 0, 0) : NULL;
	if (!o) {
		count_lost(RING_REST, LOSS_NO_PROCESS);
		return ALLOW;
	}
	if (!is_wanted(KIND_DNS, PROVIDER_CGROUP, o->pid))
		return ALLOW;
	q = reserve(RING_REST, sizeof(*q));
	if (!q)
		return ALLOW;
	zero_words(q, sizeof(*q));
	fill_owner(&q->net.h, o, KIND_DNS, PROVIDER_CGROUP, sizeof(*q));
	fill_packet(&q->net, skb, udp);
	q->net.name.off = sizeof(q->net) + 1;
	if (load_question(q, skb, udp))
		submit(RING_REST, q);
	else
		bpf_ringbuf_discard(q, BPF_RB_NO_WAKEUP);
	return ALLOW;
}
