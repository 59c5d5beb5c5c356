/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Where a request goes: addresses in the one form in which they are looked up. */
#ifndef AEGIS_NET_ENDPOINT_H
#define AEGIS_NET_ENDPOINT_H

#include "compat.h"
#include <bpf/bpf_endian.h>

#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_MPTCP 262

/* One side of a connection or datagram. */
struct endpoint {
	__u32 address[4]; /* as on the wire; version 4 in the first */
	__u16 family;
	__u16 port; /* host order */
	__u16 protocol;
	__u16 type; /* of the socket */
};

/* What is in front of an address of version 4 as sockets of version 6 write it, and as a translator
 * takes it (RFC 6052). */
static __always_inline bool holds_v4(const __u32 *address)
{
	if (address[0] == 0 && address[1] == 0)
		return address[2] == bpf_htonl(0xffff);
	return address[0] == bpf_htonl(0x64ff9b) && address[1] == 0 && address[2] == 0;
}

/* policy::network::plain */
static __always_inline void make_plain(struct endpoint *peer)
{
	if (peer->family != AF_INET6 || !holds_v4(peer->address))
		return;
	peer->family = AF_INET;
	peer->address[0] = peer->address[3];
	peer->address[1] = peer->address[2] = peer->address[3] = 0;
}

/*
 * policy::network::destination: where a request to this address really goes. To no address of
 * version 4 means to the address that the socket is bound to (`source`), if any, else to this host;
 * to none of version 6 means to this host, as version 4 if that is what the socket is bound to.
 */
static __always_inline void make_destination(struct endpoint *peer, const struct endpoint *source)
{
	bool four;

	make_plain(peer);
	if (peer->address[0] | peer->address[1] | peer->address[2] | peer->address[3])
		return;
	four = source->family == AF_INET;
	if (peer->family == AF_INET) {
		peer->address[0] =
		        four && source->address[0] ? source->address[0] : bpf_htonl(0x7f000001);
	} else if (four) {
		peer->family = AF_INET;
		peer->address[0] = bpf_htonl(0x7f000001);
	} else {
		peer->address[3] = bpf_htonl(1);
	}
}

#endif
