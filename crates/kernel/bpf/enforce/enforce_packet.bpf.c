// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Who is let in, and datagrams to sockets that are connected to nobody: decided when the packet
 * comes, for whom the socket belongs to. What is connected is asked about when it is used.
 */
#include "net_user.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define IPV4_PROTOCOL 9
#define IPV4_FROM 12
#define IPV4_TO 16
#define IPV6_PROTOCOL 6
#define IPV6_FROM 8
#define IPV6_TO 24

/* Reads both ends of a packet. */
static __always_inline void read_packet(const struct sk_buff *skb, bool four, struct packet *packet)
{
	void *head = (void *)peek_member(struct sk_buff, skb, head);
	void *network = head + kread(struct sk_buff, skb, network_header);
	__u32 size = four ? 4 : 16;
	__u8 protocol = 0;
	__be16 ports[2] = {};

	packet->transport = kread(struct sk_buff, skb, transport_header);
	bpf_probe_read_kernel(&protocol, 1, network + (four ? IPV4_PROTOCOL : IPV6_PROTOCOL));
	bpf_probe_read_kernel(packet->from.address, size, network + (four ? IPV4_FROM : IPV6_FROM));
	bpf_probe_read_kernel(packet->to.address, size, network + (four ? IPV4_TO : IPV6_TO));
	packet->from.family = packet->to.family = four ? AF_INET : AF_INET6;
	packet->from.protocol = packet->to.protocol = protocol;
	make_plain(&packet->from);
	make_plain(&packet->to);
	if (!has_ports(protocol))
		return;
	bpf_probe_read_kernel(ports, sizeof(ports), head + packet->transport);
	packet->from.port = bpf_ntohs(ports[0]);
	packet->to.port = bpf_ntohs(ports[1]);
}

static __always_inline __u8 tcp_flags(const struct sk_buff *skb, const struct packet *packet)
{
	void *head = (void *)peek_member(struct sk_buff, skb, head);
	__u8 flags = 0;

	bpf_probe_read_kernel(&flags, 1, head + packet->transport + TCP_FLAGS);
	return flags;
}

SEC("lsm/socket_sock_rcv_skb")
int BPF_PROG(enforce_packet, struct sock *sk, struct sk_buff *skb)
{
	struct user *user = bpf_sk_storage_get(&users, sk, 0, 0);
	__u16 protocol = kread(struct sk_buff, skb, protocol);
	bool four = protocol == bpf_htons(ETH_P_IP);
	__u64 epoch = user ? current_epoch() : 0;
	struct packet packet = {};
	struct endpoint peer = {};
	struct made *made;
	int error;

	if (!epoch || (!four && protocol != bpf_htons(ETH_P_IPV6)))
		return 0;
	made = &user->of[user->which & 1];
	read_packet(skb, four, &packet);
	packet.from.type = packet.to.type = kread(struct sock, sk, sk_type);
	if (packet.from.protocol == PROTOCOL_TCP) {
		if (!is_first(tcp_flags(skb, &packet)))
			return 0;
		error = refuse_packet(made, &packet.to, DO_LISTEN, epoch);
		return error ? error : refuse_packet(made, &packet.from, DO_ACCEPT, epoch);
	}
	if (read_remote(sk, &peer))
		return 0;
	return refuse_packet(made, &packet.from, DO_RECEIVE, epoch);
}

static __always_inline int use(struct socket *socket)
{
	struct sock *sk = socket->sk;
	struct asker asker;

	if (sk && is_asked(&asker, ON_PACKETS))
		keep_user(&asker, sk);
	return 0;
}

SEC("lsm/socket_post_create")
int BPF_PROG(enforce_created, struct socket *socket, int family, int type, int protocol, int kern)
{
	return kern ? 0 : use(socket);
}

SEC("lsm/socket_accept")
int BPF_PROG(enforce_accept, struct socket *socket, struct socket *accepted)
{
	return use(socket);
}

/* Who let it in is known now, also of a listener that was not known before. */
SEC("lsm/sock_graft")
int BPF_PROG(enforce_accepted, struct sock *sk, struct socket *socket)
{
	struct asker asker;
	struct user *user;

	if (!sk || !is_asked(&asker, BIT(DO_ACCEPT)))
		return 0;
	user = keep_user(&asker, sk);
	if (user)
		user->accepted = 1;
	return 0;
}
