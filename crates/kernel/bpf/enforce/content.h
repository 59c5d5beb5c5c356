/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a file holds, and what the tables say of it. */
#ifndef AEGIS_CONTENT_H
#define AEGIS_CONTENT_H

#include "blob.h"

/* Halves of the longest list of hashes. */
#define HASH_HALVES 24
/* Words of an item: a hash and its label; a hash and its set. */
#define HASH_LABEL 9
#define HASH_SET 16

struct digest {
	__u32 words[8];
};

/* What can be told of a file: nobody looked; its hash; nothing. */
enum content_state { CONTENT_NONE, CONTENT_KNOWN, CONTENT_UNKNOWN };

struct content {
	__u64 state;
	struct digest digest;
};

/* A search between `low` and `high`, which ends with both behind the hashes that are smaller. */
struct seeking {
	const struct policy_head *head;
	const struct digest *digest;
	__u32 list, width, low, high;
};

/* As of bytes: less than 0, 0, more than 0. */
static __always_inline __s64 compare(const struct seeking *of, __u32 item)
{
	__u32 at = of->list + item * of->width;
	__s64 order = 0;

	for (__u32 i = 0; i < 8; i++)
		if (!order)
			order = (__s64)__builtin_bswap32(word(of->head, at + i)) -
			        (__s64)__builtin_bswap32(of->digest->words[i]);
	return order;
}

static long halve_hashes(__u32 round, struct seeking *of)
{
	__u32 middle = of->low / 2 + of->high / 2 + (of->low & of->high & 1);

	if (of->low >= of->high)
		return 1;
	if (compare(of, middle) < 0)
		of->low = middle + 1;
	else
		of->high = middle;
	return 0;
}

/* Where the item of a hash is in a section; 0 if it is not listed. The first item stands for all
 * that cannot be hashed. */
static __always_inline __u32 find_hash(const struct policy_head *head, const struct content *of,
                                       __u32 which, __u32 width)
{
	struct seeking seeking = {.head = head, .width = width};
	__u32 items = head->sections[which].len / width;

	seeking.list = section(head, which);
	if (!of || of->state != CONTENT_KNOWN)
		return seeking.list;
	seeking.digest = &of->digest;
	/* A number of which the verifier knows nothing: row 0 is empty. */
	seeking.low = word(head, head->rows) + 1;
	seeking.high = items;
	bpf_loop(HASH_HALVES, halve_hashes, &seeking, 0);
	if (seeking.low >= items || compare(&seeking, seeking.low))
		return 0;
	return seeking.list + seeking.low * width;
}

#endif
