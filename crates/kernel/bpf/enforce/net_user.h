/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Who uses a socket, for packets that come before anybody asks for them. A socket that a listener
 * accepts begins as its listener's.
 */
#ifndef AEGIS_NET_USER_H
#define AEGIS_NET_USER_H

#include "net_lsm.h"
#include "net_packet.h"

/* Operations that packets are for. */
#define ON_PACKETS (BIT(DO_LISTEN) | BIT(DO_ACCEPT) | BIT(DO_RECEIVE))

struct user {
	__u32 which;    /* of the two that is right; the other one is being written */
	__u32 accepted; /* made by a listener */
	struct made of[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct user);
} users __weak SEC(".maps");

/* Writes down that the current process uses a socket. Its descriptor may have been passed on. */
static __always_inline struct user *keep_user(const struct asker *asker, struct sock *sk)
{
	__u32 next, family = kread(struct sock, sk, __sk_common.skc_family);
	const struct subject *subject = asker->subject;
	struct made *made;
	struct user *user;

	if (!subject || (family != AF_INET && family != AF_INET6))
		return NULL;
	user = bpf_sk_storage_get(&users, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!user) {
		count(COUNT_NOT_KEPT);
		return NULL;
	}
	made = &user->of[user->which & 1];
	if (made->subject.epoch && made->subject.epoch == subject->epoch &&
	    made->maker.pid == bpf_get_current_pid_tgid() >> 32)
		return user;
	next = !(user->which & 1);
	fill_maker(&user->of[next].maker);
	user->of[next].subject = *subject;
	__sync_lock_test_and_set(&user->which, next);
	return user;
}

/* Whether whose socket it is is refused an operation with one end of a packet. */
static __always_inline int refuse_packet(const struct made *made, const struct endpoint *end,
                                         __u32 operation, __u64 epoch)
{
	struct peer_request *request;
	int answer;

	if (made->subject.epoch == epoch && !(made->subject.concern >> operation & 1))
		return 0;
	request = claim_request(epoch);
	if (!request)
		return -EPERM;
	carry_maker(&request->subject, made, epoch);
	request->question.operation = operation;
	request->question.peer = *end;
	request->question.maker = made->maker;
	label_peer(&request->question.peer, &request->labels, epoch);
	answer = conclude(&request->question, &request->subject, &request->labels);
	return release_request(request, answer);
}

#endif
