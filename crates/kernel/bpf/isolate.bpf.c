// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Cuts the processes of a cgroup off the network, until a time that the kernel itself looks at: it
 * ends also when nobody is left to end it. What may pass: the loopback interface, named peers, and
 * what finds neighbours by IPv6. What cannot be understood does not pass.
 */
#include "compat.h"
#include <bpf/bpf_endian.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define DROP 0
#define PASS 1
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD
/* The same in every namespace. */
#define LOOPBACK 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
#define PROTOCOL_SCTP 132
#define IPV6_HEADER 40
/* Neighbour discovery: it is no router's to pass on, and says so. */
#define ND_FIRST 133
#define ND_LAST 137
#define ND_HOPS 255
/* Where a fragment is in its packet, without the flags. */
#define FRAGMENT_OFFSET 0x1fff
/* Bits of the fields before the address. */
#define BEFORE_ADDRESS 32
#define WHOLE (BEFORE_ADDRESS + 128)

/* A peer: with a port, or 0 for all of them; an address of version 4 is a mapped one. */
struct peer {
	__u32 prefix; /* bits, with those before the address */
	__u16 unused;
	__be16 port;
	__u8 address[16];
};

/* In the order of `Dropped` in isolate.rs. */
enum dropped { EGRESS, INGRESS, DROPPED };

/* As many as `PEERS_MAX` in isolate.rs. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct peer);
	__type(value, __u32);
} isolate_peers SEC(".maps");

/* Nanoseconds since boot, sleep included; before it is set, and after that time, all passes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} isolate_until SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROPPED);
	__type(key, __u32);
	__type(value, __u64);
} isolate_dropped SEC(".maps");

static __always_inline bool is_over(void)
{
	__u32 first = 0;
	__u64 *until = bpf_map_lookup_elem(&isolate_until, &first);

	return !until || bpf_ktime_get_boot_ns() >= *until;
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP;
}

/* The other end of a packet of version 4; ports are in the first fragment only. */
static __always_inline bool read_four(struct __sk_buff *skb, bool out, struct peer *peer)
{
	__u8 length = 0, protocol = 0;
	__be16 fragment = 0;

	if (bpf_skb_load_bytes(skb, 0, &length, 1) || bpf_skb_load_bytes(skb, 6, &fragment, 2) ||
	    bpf_skb_load_bytes(skb, 9, &protocol, 1) ||
	    bpf_skb_load_bytes(skb, out ? 16 : 12, peer->address + 12, 4))
		return false;
	peer->address[10] = peer->address[11] = 0xff;
	if (has_ports(protocol) && !(fragment & bpf_htons(FRAGMENT_OFFSET)))
		bpf_skb_load_bytes(skb, (length & 0xf) * 4 + (out ? 2 : 0), &peer->port, 2);
	return true;
}

/* The same of version 6; behind further headers no port is looked for. */
static __always_inline bool read_six(struct __sk_buff *skb, bool out, struct peer *peer)
{
	__u8 protocol = 0;

	if (bpf_skb_load_bytes(skb, 6, &protocol, 1) ||
	    bpf_skb_load_bytes(skb, out ? 24 : 8, peer->address, 16))
		return false;
	if (has_ports(protocol))
		bpf_skb_load_bytes(skb, IPV6_HEADER + (out ? 2 : 0), &peer->port, 2);
	return true;
}

static __always_inline bool finds_neighbours(struct __sk_buff *skb)
{
	__u8 protocol = 0, hops = 0, type = 0;

	if (bpf_skb_load_bytes(skb, 6, &protocol, 1) || bpf_skb_load_bytes(skb, 7, &hops, 1) ||
	    bpf_skb_load_bytes(skb, IPV6_HEADER, &type, 1))
		return false;
	return protocol == PROTOCOL_ICMPV6 && hops == ND_HOPS && type >= ND_FIRST &&
	       type <= ND_LAST;
}

static __always_inline bool is_named(struct peer *peer)
{
	if (bpf_map_lookup_elem(&isolate_peers, peer))
		return true;
	peer->port = 0;
	return bpf_map_lookup_elem(&isolate_peers, peer);
}

static __always_inline int decide(struct __sk_buff *skb, bool out)
{
	__u32 which = out ? EGRESS : INGRESS;
	struct peer peer = {.prefix = WHOLE};
	bool six = skb->protocol == bpf_htons(ETH_P_IPV6);
	__u64 *dropped;
	bool known;

	if (skb->ifindex == LOOPBACK || is_over() || (six && finds_neighbours(skb)))
		return PASS;
	known = six ? read_six(skb, out, &peer) : read_four(skb, out, &peer);
	if (known && is_named(&peer))
		return PASS;
	dropped = bpf_map_lookup_elem(&isolate_dropped, &which);
	if (dropped)
		__sync_fetch_and_add(dropped, 1);
	return DROP;
}

SEC("cgroup_skb/egress")
int isolate_egress(struct __sk_buff *skb)
{
	return decide(skb, true);
}

SEC("cgroup_skb/ingress")
int isolate_ingress(struct __sk_buff *skb)
{
	return decide(skb, false);
}
