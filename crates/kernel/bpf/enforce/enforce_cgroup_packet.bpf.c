// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Sockets as they are made, and packets: what the hooks that name an address do not see. Raw
 * sockets and protocols that have no such hooks are decided packet by packet, as is who is let in.
 */
#include "net_socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Whether the kind of a socket is refused. MPTCP connects to what the other side tells it, by
 * itself: who is limited at all may not use it, as if nothing were known of its peers.
 */
static __always_inline int refuse_kind(struct asking *asking)
{
	const struct endpoint *what = &asking->question.peer;
	bool raw = what->type == SOCK_RAW_TYPE;
	__u32 operations = raw ? BIT(DO_RAW_SOCKET) : ON_PEERS;
	int answer = 0;

	if (!raw && what->protocol != PROTOCOL_MPTCP)
		return 0;
	asking->labels.count = 0;
	asking->labels.unresolved = !raw;
	for (__u32 operation = DO_CONNECT; operation <= DO_RAW_SOCKET; operation++) {
		if (!(operations >> operation & 1))
			continue;
		answer = ask(asking, operation);
		if (answer)
			break;
	}
	return answer;
}

SEC("cgroup/sock_create")
int fallback_socket(struct bpf_sock *sk)
{
	struct asking *asking;
	int answer = begin_asking(&asking, ON_PEERS | BIT(DO_RAW_SOCKET));

	if (answer != ASK)
		return answer;
	asking->question.peer.family = sk->family;
	asking->question.peer.protocol = sk->protocol;
	asking->question.peer.type = sk->type;
	answer = refuse_kind(asking);
	if (!answer)
		keep_maker(asking, sk);
	return end_asking(asking, answer);
}

/* Who made the socket of a packet; NULL: the kernel, or nobody whom a rule is about. */
static __always_inline struct made *maker_of(struct bpf_sock *sk)
{
	return bpf_sk_storage_get(&makers, sk, 0, 0);
}

SEC("cgroup_skb/egress")
int fallback_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 epoch = current_epoch();
	struct packet packet = {};
	struct made *made;

	sk = sk && epoch ? bpf_sk_fullsock(sk) : NULL;
	if (!sk)
		return GO;
	/* These were asked about when they named their peer. */
	if (sk->type != SOCK_RAW_TYPE &&
	    (sk->protocol == PROTOCOL_TCP || sk->protocol == PROTOCOL_UDP))
		return GO;
	made = maker_of(sk);
	if (!made)
		return GO;
	read_packet(skb, &packet);
	packet.to.type = sk->type;
	return !stop_packet(made, &packet.to, DO_CONNECT, epoch) &&
	       !stop_packet(made, &packet.to, DO_SEND, epoch);
}

SEC("cgroup_skb/ingress")
int fallback_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	__u64 epoch = current_epoch();
	struct packet packet = {};
	struct made *made;
	__u8 flags = 0;

	sk = sk && epoch ? bpf_sk_fullsock(sk) : NULL;
	made = sk ? maker_of(sk) : NULL;
	if (!made)
		return GO;
	read_packet(skb, &packet);
	packet.from.type = packet.to.type = sk->type;
	if (packet.from.protocol == PROTOCOL_TCP)
		bpf_skb_load_bytes(skb, packet.transport + TCP_FLAGS, &flags, 1);
	if (is_first(flags))
		return !stop_packet(made, &packet.to, DO_LISTEN, epoch) &&
		       !stop_packet(made, &packet.from, DO_ACCEPT, epoch);
	return !stop_packet(made, &packet.from, DO_RECEIVE, epoch);
}
