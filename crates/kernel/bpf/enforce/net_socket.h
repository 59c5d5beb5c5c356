/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Packets come and go when any process runs: who made the socket is kept with it. A socket that a
 * listener accepts is its listener's.
 */
#ifndef AEGIS_NET_SOCKET_H
#define AEGIS_NET_SOCKET_H

#include "net_ask.h"
#include "net_packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct made);
} makers __weak SEC(".maps");

/* Writes the current process down in a socket. A macro: program types differ in the pointer. */
#define keep_maker(asking, sk)                                                                     \
	({                                                                                         \
		struct made *made_ =                                                               \
		        bpf_sk_storage_get(&makers, (sk), 0, BPF_SK_STORAGE_GET_F_CREATE);         \
		if (made_) {                                                                       \
			fill_maker(&made_->maker);                                                 \
			made_->subject = (asking)->process.subject;                                \
		} else {                                                                           \
			count(COUNT_NOT_KEPT);                                                     \
		}                                                                                  \
	})

#define IPV6_HEADER 40
#define SOCK_RAW_TYPE 3

/* Reads both ends of a packet. */
static __always_inline void read_packet(struct __sk_buff *skb, struct packet *packet)
{
	bool four = skb->protocol == bpf_htons(ETH_P_IP);
	__u8 first = 0, protocol = 0;
	__be16 ports[2] = {};

	bpf_skb_load_bytes(skb, four ? 9 : 6, &protocol, 1);
	packet->transport = IPV6_HEADER;
	if (four) {
		bpf_skb_load_bytes(skb, 0, &first, 1);
		packet->transport = (first & 0xf) * 4;
		bpf_skb_load_bytes(skb, 12, packet->from.address, 4);
		bpf_skb_load_bytes(skb, 16, packet->to.address, 4);
	} else {
		bpf_skb_load_bytes(skb, 8, packet->from.address, 16);
		bpf_skb_load_bytes(skb, 24, packet->to.address, 16);
	}
	packet->from.family = packet->to.family = four ? AF_INET : AF_INET6;
	packet->from.protocol = packet->to.protocol = protocol;
	make_plain(&packet->from);
	make_plain(&packet->to);
	if (!has_ports(protocol))
		return;
	bpf_skb_load_bytes(skb, packet->transport, ports, sizeof(ports));
	packet->from.port = bpf_ntohs(ports[0]);
	packet->to.port = bpf_ntohs(ports[1]);
}

/* The maker of a socket as it is now; if it has asked for nothing in this epoch, as it was. */
static __always_inline void take_maker(struct asking *asking, const struct made *made, __u64 epoch)
{
	__u32 pid = made->maker.pid;
	struct process *kept = bpf_map_lookup_elem(&processes, &pid);

	if (made->subject.epoch != epoch && kept && kept->identity.start == made->maker.start &&
	    kept->subject.epoch == epoch)
		asking->process.subject = kept->subject;
	else
		carry_maker(&asking->process.subject, made, epoch);
}

/* Whether the maker of a socket is refused an operation with this end of a packet. */
static __always_inline bool stop_packet(const struct made *made, const struct endpoint *end,
                                        __u32 operation, __u64 epoch)
{
	struct asking *asking;
	int answer;

	if (made->subject.epoch == epoch && !(made->subject.concern >> operation & 1))
		return false;
	asking = claim_asking();
	if (!asking)
		return true;
	take_maker(asking, made, epoch);
	__builtin_memset(&asking->question, 0, sizeof(asking->question));
	asking->question.epoch = epoch;
	asking->question.operation = operation;
	asking->question.peer = *end;
	asking->question.maker = made->maker;
	label_peer(&asking->question.peer, &asking->labels, epoch);
	answer = conclude(&asking->question, &asking->process.subject, &asking->labels);
	release_asking(asking);
	return answer;
}

#endif
