/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The tables of one policy generation, as programs read them: one value of an array map behind an
 * array of maps, replaced whole and never written in place. Sections are named by their offset in
 * words of 32 bits, so programs know one access only: word `at` of the value, masked to its size.
 * The size is chosen when programs are loaded; user space has checked every offset and index, and
 * the mask keeps what it missed inside the value.
 */
#ifndef AEGIS_BLOB_H
#define AEGIS_BLOB_H

#include "compat.h"
#include "policy.h"

/* Bytes of a generation; the loader sets the size, a power of two. */
const volatile __u32 blob_bytes = 1 << 20;

struct generation_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, 1 << 20);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct generation_map);
} generation __weak SEC(".maps");

/* The generation in force; none: nothing is enforced. */
static __always_inline struct policy_head *policy_in_force(void)
{
	__u32 zero = 0;
	void *inner = bpf_map_lookup_elem(&generation, &zero);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* The compiler must neither drop the mask nor look through it. */
#define MASKED(x, mask)                                  \
	({                                               \
		__u64 masked = (x);                      \
		asm volatile("%0 &= %1"                  \
		             : "+r"(masked)              \
		             : "r"((__u64)(mask)));      \
		masked;                                  \
	})

static __always_inline __u32 word(const struct policy_head *head, __u32 at)
{
	return ((const __u32 *)head)[MASKED(at, blob_bytes / 4 - 1)];
}

/* `at` counts words of 32 bits and is even. */
static __always_inline __u64 double_word(const struct policy_head *head, __u32 at)
{
	return ((const __u64 *)head)[MASKED(at / 2, blob_bytes / 8 - 1)];
}

#endif
