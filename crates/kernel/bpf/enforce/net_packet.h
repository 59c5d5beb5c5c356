/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Packets come when any process runs: who a socket belongs to is kept with it. */
#ifndef AEGIS_NET_PACKET_H
#define AEGIS_NET_PACKET_H

#include "evidence.h"

/* The first selector holds for every process. */
#define EVERYBODY 1
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define PROTOCOL_DCCP 33
#define PROTOCOL_SCTP 132
#define PROTOCOL_UDPLITE 136
/* Of the flags of TCP. */
#define TCP_FLAGS 13
#define TCP_SYN 0x02
#define TCP_ACK 0x10

/* Whose a socket is, and who that was to the rules. */
struct made {
	struct maker maker;
	struct subject subject;
};

struct packet {
	struct endpoint from;
	struct endpoint to;
	__u32 transport; /* offset of what comes behind the header of IP */
	__u32 unused;
};

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

static __always_inline bool has_ports(__u16 protocol)
{
	return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP || protocol == PROTOCOL_SCTP ||
	       protocol == PROTOCOL_DCCP || protocol == PROTOCOL_UDPLITE;
}

/* A connection that the other side asks for. */
static __always_inline bool is_first(__u8 flags)
{
	return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/*
 * Who the maker of a socket is in this epoch, if nobody tells better: what it was then, as far as
 * that still has a name. Of subjects that are new nothing is known.
 */
static __always_inline void carry_maker(struct subject *subject, const struct made *made,
                                        __u64 epoch)
{
	*subject = made->subject;
	if (subject->epoch == epoch)
		return;
	subject->past = made->subject.epoch;
	subject->inherited = made->subject.bits;
	bring_past(subject, epoch);
	subject->bits = subject->inherited;
	subject->bits.words[0] |= EVERYBODY;
	subject->fits = subject->bits;
}

#endif
