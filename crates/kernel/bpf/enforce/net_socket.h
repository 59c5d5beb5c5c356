/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Packets come and go when any process runs: who made the socket is kept with it. A socket that a
 * listener accepts is its listener's.
 */
#ifndef AEGIS_NET_SOCKET_H
#define AEGIS_NET_SOCKET_H

#include "net_ask.h"

struct made {
	struct maker maker;
	struct subject subject;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct made);
} makers __weak SEC(".maps");

static __always_inline void fill_maker(struct maker *maker)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const struct cred *cred = kread(struct task_struct, task, cred);

	maker->start = task_start(task);
	maker->cgroup = task_cgroup(task);
	maker->pid = kread(struct task_struct, task, tgid);
	maker->tid = kread(struct task_struct, task, pid);
	maker->uid = kread(struct cred, cred, euid.val);
	maker->gid = kread(struct cred, cred, egid.val);
}

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

/* The first selector holds for every process. */
#define EVERYBODY 1
#define IPV6_HEADER 40
#define ETH_P_IP 0x0800
#define PROTOCOL_DCCP 33
#define PROTOCOL_SCTP 132
#define PROTOCOL_UDPLITE 136
#define SOCK_RAW_TYPE 3
/* Of the flags of TCP. */
#define TCP_FLAGS 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10

struct packet {
	struct endpoint from;
	struct endpoint to;
	__u32 transport; /* offset of what comes behind the header of IP */
	__u32 unused;
};

static __always_inline bool has_ports(__u16 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP ||
	       protocol == PROTOCOL_DCCP || protocol == PROTOCOL_UDPLITE;
}

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

/*
 * Who the maker of a socket is in this epoch. If the socket was made in another one and its process
 * has asked for nothing since, it is what it was then, as far as that still has a name: of subjects
 * that are new nothing is known.
 */
static __always_inline void take_maker(struct asking *asking, const struct made *made, __u64 epoch)
{
	__u32 pid = made->maker.pid;
	struct subject *subject = &asking->process.subject;
	struct process *kept = bpf_map_lookup_elem(&processes, &pid);

	if (made->subject.epoch == epoch) {
		*subject = made->subject;
	} else if (kept && kept->identity.start == made->maker.start &&
	           kept->subject.epoch == epoch) {
		*subject = kept->subject;
	} else {
		*subject = made->subject;
		subject->past = made->subject.epoch;
		subject->inherited = made->subject.bits;
		bring_past(subject, epoch);
		subject->bits = subject->inherited;
		subject->bits.words[0] |= EVERYBODY;
		subject->fits = subject->bits;
	}
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
