// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Answers of name servers that this host really got, for rules about domains. A datagram counts as
 * one if a socket of this network namespace asked a name server that the host is told to use, and
 * that server answers it under the number of the question; each question has one answer. That is
 * what a resolver itself checks. Nothing is held up, and nothing is understood here.
 */
#include "compat.h"
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ALLOW 1
#define ETH_P_IP 0x0800
#define PROTOCOL_UDP 17
#define DNS_PORT 53
#define IPV6_HEADER 40
#define UDP_HEADER 8
#define DNS_HEADER 12
/* In the third byte of the header: this is an answer. */
#define IS_ANSWER 0x80
/* A resolver waits some seconds, and tries again under another number. */
#define WAITS_NS (30ULL * 1000 * 1000 * 1000)
/* The kernel's `struct sock_common` up to its namespace is shorter on every kernel. */
#define SOCKET_WORDS 12
/* More than servers send by UDP nowadays (1,232); what is longer is counted. */
#define ANSWER_MAX 2040
/* Most answers are this short: so more of them have room. */
#define SHORT_MAX 504

struct server {
	__u8 address[16]; /* of version 4: as a mapped one */
};

struct question {
	__u64 socket;
	struct server server;
	__u16 number;
	__u8 unused[6];
};

/* In the order of `Counters` in answers.rs. */
enum count { TAKEN, NO_ROOM, TOO_LONG, UNASKED, COUNTS };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, struct server);
	__type(value, __u32);
} servers SEC(".maps");

/* Questions without an answer: enough for a busy forwarder; of more the oldest are forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct question);
	__type(value, __u64);
} questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} answer_counts SEC(".maps");

/* The namespace whose resolver the agent asks, too. */
const volatile __u32 namespace = 0;

struct datagram {
	struct question question;
	__u32 dns; /* offset of the message */
	__u8 flags;
	__u8 unused[3];
};

static __always_inline void count(__u32 what)
{
	__u64 *value = bpf_map_lookup_elem(&answer_counts, &what);

	if (value)
		__sync_fetch_and_add(value, 1);
}

/* Most packets are not UDP; false also when it cannot be told from what is in reach. */
static __always_inline bool is_no_datagram(struct __sk_buff *skb)
{
	const unsigned char *first = (void *)(long)skb->data;
	__u32 at = skb->protocol == bpf_htons(ETH_P_IP) ? 9 : 6;

	if (first + 10 > (unsigned char *)(long)skb->data_end)
		return false;
	return first[at] != PROTOCOL_UDP;
}

/*
 * Reads a datagram to a name server, or from one: the server's address is the destination's or the
 * source's. False if it is none.
 */
static __always_inline bool read_datagram(struct __sk_buff *skb, bool is_to, struct datagram *d)
{
	bool four = skb->protocol == bpf_htons(ETH_P_IP);
	struct server *server = &d->question.server;
	__u8 first = 0, protocol = 0;
	__u32 udp = IPV6_HEADER;
	__be16 port = 0, number = 0;

	bpf_skb_load_bytes(skb, four ? 9 : 6, &protocol, 1);
	if (protocol != PROTOCOL_UDP)
		return false;
	if (four) {
		bpf_skb_load_bytes(skb, 0, &first, 1);
		udp = (first & 0xf) * 4;
	}
	if (bpf_skb_load_bytes(skb, is_to ? udp + 2 : udp, &port, sizeof(port)) ||
	    port != bpf_htons(DNS_PORT))
		return false;
	if (four) {
		server->address[10] = server->address[11] = 0xff;
		bpf_skb_load_bytes(skb, is_to ? 16 : 12, server->address + 12, 4);
	} else {
		bpf_skb_load_bytes(skb, is_to ? 24 : 8, server->address, 16);
	}
	if (!bpf_map_lookup_elem(&servers, server))
		return false;
	d->dns = udp + UDP_HEADER;
	if (d->dns + DNS_HEADER > skb->len || bpf_skb_load_bytes(skb, d->dns, &number, 2) ||
	    bpf_skb_load_bytes(skb, d->dns + 2, &d->flags, 1))
		return false;
	d->question.number = number;
	d->question.socket = bpf_get_socket_cookie(skb);
	return true;
}

/* Who has a namespace of its own is the name server there, so nothing is learned from it. */
static __always_inline bool is_of_here(struct bpf_sock *sk)
{
	__u64 head[SOCKET_WORDS] = {};
	const struct net *net;

	/* Read as a whole: no offset may be added to this pointer. */
	if (bpf_probe_read_kernel(head, sizeof(head), sk))
		return false;
	net = (void *)head[bpf_core_field_offset(struct sock_common, skc_net) / sizeof(__u64)];
	return BPF_CORE_READ(net, ns.inum) == namespace;
}

SEC("cgroup_skb/egress")
int answers_asked(struct __sk_buff *skb)
{
	struct datagram d = {};
	struct bpf_sock *sk;
	__u64 now;

	if (is_no_datagram(skb) || !read_datagram(skb, true, &d) || d.flags & IS_ANSWER)
		return ALLOW;
	sk = skb->sk;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || !is_of_here(sk))
		return ALLOW;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&questions, &d.question, &now, BPF_ANY);
	return ALLOW;
}

/* Whether somebody waits for it; from now on nobody does. */
static __always_inline bool is_awaited(const struct question *question)
{
	__u64 *since = bpf_map_lookup_elem(&questions, question);
	bool waits = since && bpf_ktime_get_ns() - *since < WAITS_NS;

	/* Of two programs that see the same, one takes it away. */
	return since && !bpf_map_delete_elem(&questions, question) && waits;
}

/* Copies a message of at most `room` bytes, behind its length. */
static __always_inline void copy(struct __sk_buff *skb, __u32 at, __u64 len, const __u32 room)
{
	__u64 *answer = bpf_ringbuf_reserve(&answers, sizeof(len) + room, 0);

	if (!answer) {
		count(NO_ROOM);
		return;
	}
	/* As it is; before 6.2 the verifier wants to see it in 64 bits. */
	asm volatile("if %0 > 0 goto +1\n\t%0 = 1" : "+r"(len));
	if (len > room || bpf_skb_load_bytes(skb, at, answer + 1, len)) {
		bpf_ringbuf_discard(answer, BPF_RB_NO_WAKEUP);
		return;
	}
	*answer = len;
	bpf_ringbuf_submit(answer, 0);
	count(TAKEN);
}

SEC("cgroup_skb/ingress")
int answers_got(struct __sk_buff *skb)
{
	struct datagram d = {};
	__u32 len;

	if (is_no_datagram(skb) || !read_datagram(skb, false, &d) || !(d.flags & IS_ANSWER))
		return ALLOW;
	if (!is_awaited(&d.question)) {
		count(UNASKED);
		return ALLOW;
	}
	len = skb->len - d.dns;
	if (len > ANSWER_MAX)
		count(TOO_LONG);
	else if (len > SHORT_MAX)
		copy(skb, d.dns, len, ANSWER_MAX);
	else
		copy(skb, d.dns, len, SHORT_MAX);
	return ALLOW;
}
