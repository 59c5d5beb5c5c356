// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/*
 * Network requests, as LSM hooks see them: whoever asks for them now, whoever made the socket. To
 * connect and to name the peer of a datagram is to ask for both, connecting and sending, as where
 * cgroups decide.
 */
#include "net_user.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MSG_FASTOPEN 0x20000000

/*
 * Begins a request of the current process for one of these operations. NULL: there is nothing to
 * ask; then `error` is what the hook returns.
 */
static __always_inline struct peer_request *begin(struct asker *asker, __u32 operations, int *error)
{
	struct peer_request *request = NULL;

	*error = 0;
	if (is_asked(asker, operations)) {
		request = claim_request(asker->epoch);
		if (!request)
			*error = -EPERM;
	}
	return request;
}

/* MPTCP connects to what the other side tells it, by itself: who is limited at all may not use it.
 */
static __always_inline int finish_unknown(const struct asker *asker, struct peer_request *request,
                                          __u32 operations)
{
	int answer = 0;

	request->labels.unresolved = operations != BIT(DO_RAW_SOCKET);
	for (__u32 operation = DO_CONNECT; operation <= DO_RAW_SOCKET; operation++) {
		if (!(operations >> operation & 1))
			continue;
		answer = ask(asker, request, operation);
		if (answer)
			break;
	}
	return release_request(request, answer);
}

SEC("lsm/socket_create")
int BPF_PROG(enforce_socket, int family, int type, int protocol, int kern)
{
	bool inet = family == AF_INET || family == AF_INET6;
	struct peer_request *request;
	struct asker asker;
	__u32 operations = 0;
	int error;

	if (family == AF_PACKET || (inet && type == SOCK_RAW_TYPE))
		operations = BIT(DO_RAW_SOCKET);
	else if (inet && protocol == PROTOCOL_MPTCP)
		operations = ON_PEERS;
	if (kern || !operations)
		return 0;
	request = begin(&asker, operations, &error);
	if (!request)
		return error ? -EPERM : 0;
	request->question.peer.family = family;
	request->question.peer.protocol = protocol;
	request->question.peer.type = type;
	return finish_unknown(&asker, request, operations);
}

SEC("lsm/socket_connect")
int BPF_PROG(enforce_connect, struct socket *socket, void *address, int length)
{
	struct sock *sk = socket->sk;
	struct peer_request *request;
	struct asker asker;
	int error;

	/* Without a family: to be connected no more. */
	if (!sk || !kread(struct sockaddr, as_number(address), sa_family))
		return 0;
	request = begin(&asker, BIT(DO_CONNECT) | BIT(DO_SEND), &error);
	if (!request)
		return error ? -EPERM : 0;
	if (!read_address(sk, as_number(address), &request->question.peer))
		return release_request(request, 0);
	read_local(sk, &request->source);
	make_destination(&request->question.peer, &request->source);
	return finish(&asker, request, DO_CONNECT, DO_SEND);
}

SEC("lsm/socket_bind")
int BPF_PROG(enforce_bind, struct socket *socket, void *address, int length)
{
	struct sock *sk = socket->sk;
	struct peer_request *request;
	struct asker asker;
	int error;

	request = begin(&asker, BIT(DO_BIND), &error);
	if (!request)
		return error ? -EPERM : 0;
	if (!sk || !read_address(sk, as_number(address), &request->question.peer))
		return release_request(request, 0);
	make_plain(&request->question.peer);
	return finish(&asker, request, DO_BIND, DO_BIND);
}

SEC("lsm/socket_listen")
int BPF_PROG(enforce_listen, struct socket *socket, int backlog)
{
	struct sock *sk = socket->sk;
	struct peer_request *request;
	struct asker asker;
	int error;

	request = begin(&asker, BIT(DO_LISTEN), &error);
	if (!request)
		return error ? -EPERM : 0;
	if (!sk || !read_local(sk, &request->question.peer))
		return release_request(request, 0);
	keep_user(&asker, sk);
	return finish(&asker, request, DO_LISTEN, DO_LISTEN);
}

/* Let in by a listener of whom nothing was known: then it is refused when it is used. */
static __always_inline bool was_accepted(struct sock *sk)
{
	struct user *user = bpf_sk_storage_get(&users, sk, 0, 0);

	return user && user->accepted;
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(enforce_send, struct socket *socket, struct msghdr *message, int size)
{
	__u64 name = as_number(message->msg_name);
	struct sock *sk = socket->sk;
	struct peer_request *request;
	struct asker asker;
	int error;

	request = begin(&asker, BIT(DO_CONNECT) | BIT(DO_SEND) | BIT(DO_ACCEPT), &error);
	if (!request)
		return error ? -EPERM : 0;
	if (!sk)
		return release_request(request, 0);
	/* A stream is given a name only to connect by the way. */
	if (sk->sk_type == SOCK_STREAM_TYPE && !(message->msg_flags & MSG_FASTOPEN))
		name = 0;
	if (name && read_address(sk, name, &request->question.peer)) {
		read_local(sk, &request->source);
		make_destination(&request->question.peer, &request->source);
		return finish(&asker, request, DO_CONNECT, DO_SEND);
	}
	if (!read_remote(sk, &request->question.peer))
		return release_request(request, 0);
	return finish(&asker, request, DO_SEND, was_accepted(sk) ? DO_ACCEPT : DO_SEND);
}

SEC("lsm/socket_recvmsg")
int BPF_PROG(enforce_receive, struct socket *socket, struct msghdr *message, int size, int flags)
{
	struct sock *sk = socket->sk;
	struct peer_request *request;
	struct asker asker;
	int error;

	request = begin(&asker, BIT(DO_RECEIVE) | BIT(DO_ACCEPT), &error);
	if (!request)
		return error ? -EPERM : 0;
	if (sk && read_remote(sk, &request->question.peer))
		return finish(&asker, request, DO_RECEIVE,
		              was_accepted(sk) ? DO_ACCEPT : DO_RECEIVE);
	if (sk)
		keep_user(&asker, sk);
	return release_request(request, 0);
}

/* Several addresses at once, by an option of the socket. */
SEC("lsm/sctp_bind_connect")
int BPF_PROG(enforce_sctp, struct sock *sk, int option, struct sockaddr *address, int length)
{
	struct peer_request *request;
	struct asker asker;
	int error;

	request = begin(&asker, ON_PEERS, &error);
	if (!request)
		return error ? -EPERM : 0;
	read_local(sk, &request->question.peer);
	return finish_unknown(&asker, request, ON_PEERS);
}
