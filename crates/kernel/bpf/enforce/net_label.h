/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The labels of a peer, as policy::network finds them: one binary search for the class of its
 * address, and one in each of its classes for the label of its port.
 */
#ifndef AEGIS_NET_LABEL_H
#define AEGIS_NET_LABEL_H

#include "net_endpoint.h"
#include "text.h"

/* The class of all rules that name no network. */
#define EVERY_PEER 1
/* Halves of the longest list that a load can have (RANGES_MAX, and two steps a network). */
#define HALVES 24
/* Protocols that rules tell apart. */
#define PROTOCOLS_MAX 15
/* Words of one item of a list. */
#define STEP_V4 2
#define STEP_V6 6
#define RANGE 3

/* A search between `low` and `high`, which ends with both behind the items that are too small. */
struct halving {
	const struct policy_head *head;
	__u64 key, key_low;
	__u32 list, low, high, unused;
};

/* Where a search begins: a number of which the verifier knows nothing (row 0 is empty). */
static __always_inline __u32 zero_of(const struct policy_head *head)
{
	return word(head, head->rows);
}

static __always_inline void go_on(struct halving *of, __u32 middle, bool behind)
{
	if (behind)
		of->low = middle + 1;
	else
		of->high = middle;
}

static long halve_v4(__u32 round, struct halving *of)
{
	__u32 middle = of->low / 2 + of->high / 2 + (of->low & of->high & 1);

	if (of->low >= of->high)
		return 1;
	go_on(of, middle, word(of->head, of->list + middle * STEP_V4) <= of->key);
	return 0;
}

static long halve_v6(__u32 round, struct halving *of)
{
	__u32 middle = of->low / 2 + of->high / 2 + (of->low & of->high & 1);
	__u32 at = of->list + middle * STEP_V6;
	__u64 first = double_word(of->head, at), low = double_word(of->head, at + 2);

	if (of->low >= of->high)
		return 1;
	go_on(of, middle, first < of->key || (first == of->key && low <= of->key_low));
	return 0;
}

static long halve_ranges(__u32 round, struct halving *of)
{
	__u32 middle = of->low / 2 + of->high / 2 + (of->low & of->high & 1);

	if (of->low >= of->high)
		return 1;
	go_on(of, middle, word(of->head, of->list + middle * RANGE + 1) < of->key);
	return 0;
}

/* The class of the longest network around an address. */
static __always_inline __u32 class_of(const struct policy_head *head, const struct endpoint *peer)
{
	struct halving of = {.head = head, .low = zero_of(head)};

	if (peer->family == AF_INET) {
		of.key = bpf_ntohl(peer->address[0]);
		of.list = section(head, SECTION_STEPS_V4);
		of.high = head->sections[SECTION_STEPS_V4].len / STEP_V4;
		bpf_loop(HALVES, halve_v4, &of, 0);
		return word(head, of.list + (of.low - 1) * STEP_V4 + 1);
	}
	of.key = (__u64)bpf_ntohl(peer->address[0]) << 32 | bpf_ntohl(peer->address[1]);
	of.key_low = (__u64)bpf_ntohl(peer->address[2]) << 32 | bpf_ntohl(peer->address[3]);
	of.list = section(head, SECTION_STEPS_V6);
	of.high = head->sections[SECTION_STEPS_V6].len / STEP_V6;
	bpf_loop(HALVES, halve_v6, &of, 0);
	return word(head, of.list + (of.low - 1) * STEP_V6 + 4);
}

/* The label of a port and protocol in a class; 0: none. */
static __always_inline __u32 label_in(const struct policy_head *head, __u32 class, __u32 key)
{
	__u32 classes = section(head, SECTION_CLASSES) + class, end = word(head, classes + 1), at;
	struct halving of = {.head = head, .key = key, .list = section(head, SECTION_RANGES)};

	of.low = word(head, classes);
	of.high = end;
	bpf_loop(HALVES, halve_ranges, &of, 0);
	at = of.list + of.low * RANGE;
	if (of.low >= end || word(head, at) > key)
		return 0;
	return word(head, at + 2);
}

/* Protocol and port as one number. */
static __always_inline __u32 key_of(const struct policy_head *head, const struct endpoint *peer)
{
	__u32 protocol = peer->protocol == PROTOCOL_MPTCP ? PROTOCOL_TCP : peer->protocol;
	__u32 count = head->sections[SECTION_PROTOCOLS].len, place = 0;

	for (__u32 i = 0; i < PROTOCOLS_MAX; i++)
		if (i < count && word(head, section(head, SECTION_PROTOCOLS) + i) == protocol)
			place = i + 1;
	return place << 16 | peer->port;
}

/* Finds the labels of an endpoint. A function of its own to the verifier. */
__weak __noinline int label_peer(const struct endpoint *peer, struct labels *labels, __u64 epoch)
{
	struct policy_head *head = policy_of(epoch);
	__u32 key;

	if (!peer || !labels)
		return 0;
	labels->count = 0;
	labels->unresolved = !head;
	if (!head) {
		count(COUNT_NO_POLICY);
		return 0;
	}
	key = key_of(head, peer);
	add_label(head, labels, label_in(head, EVERY_PEER, key));
	add_label(head, labels, label_in(head, class_of(head, peer), key));
	return 0;
}

#endif
