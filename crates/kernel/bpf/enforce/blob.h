/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The tables of policy generations, as programs read them: each is one value of an array map in a
 * slot of an array of maps, replaced whole and never written in place. Which one is in force is one
 * number, the epoch, which counts loads; its lowest bits are the slot. So a program that read the
 * epoch once finds one and the same generation however often it looks: user space replaces a slot
 * only after all programs that could have read its number have ended.
 *
 * Sections are named by their offset in words of 32 bits, so programs know one access only: word
 * `at` of the value, masked to its size. The size is chosen when programs are loaded; user space
 * has checked every offset and index, and the mask keeps what it missed inside the value.
 */
#ifndef AEGIS_BLOB_H
#define AEGIS_BLOB_H

#include "compat.h"
#include "policy.h"

/* Bytes of a generation; the loader sets the size of the maps and of this, a power of two. */
const volatile __u32 blob_bytes __weak SEC(".rodata.blob") = 1 << 20;

/* Generations that the kernel can hold: the one in force, those before it until their last reader
 * has ended, and the next one. */
#define SLOTS 4

struct generation_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__uint(value_size, 1 << 20);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__array(values, struct generation_map);
} generations __weak SEC(".maps");

/* What user space changes at once: it maps this into its memory and writes whole numbers. A look at
 * it costs a load, where a look-up in a map would cost twenty instructions. */
struct now {
	__u64 epoch;   /* in force; 0: nothing is enforced */
	__u64 moves;   /* directories renamed since the programs were loaded first */
	__u64 hashing; /* whether files are hashed when they are executed */
	__u64 missed;  /* written by programs: whether `missed` of subjects.h was ever needed */
};

volatile struct now now __weak SEC(".data.now");

static __always_inline __u64 current_epoch(void)
{
	return now.epoch;
}

/* The tables of an epoch; always there, but the verifier cannot know that. */
static __always_inline struct policy_head *policy_of(__u64 epoch)
{
	__u32 zero = 0, slot = epoch % SLOTS;
	void *inner = bpf_map_lookup_elem(&generations, &slot);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

/* The compiler must neither drop the mask nor look through it. */
#define MASKED(x, mask)                                                                            \
	({                                                                                         \
		__u64 masked = (x);                                                                \
		asm volatile("%0 &= %1" : "+r"(masked) : "r"((__u64)(mask)));                      \
		masked;                                                                            \
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

static __always_inline __u32 section(const struct policy_head *head, __u32 which)
{
	return head->sections[which].at;
}

/* A set of subjects. */
struct set {
	__u64 words[SUBJECT_WORDS];
};

/* Adds the set at a place. */
static __always_inline void add_set(const struct policy_head *head, __u32 at, struct set *to)
{
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		to->words[i] |= double_word(head, at + i * 2);
}

/* Whether the set at a place has one in common with another. */
static __always_inline __u64 meets(const struct policy_head *head, __u32 at, const struct set *set)
{
	__u64 any = 0;

	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		any |= double_word(head, at + i * 2) & set->words[i];
	return any;
}

static __always_inline void clear_set(struct set *set)
{
	for (__u32 i = 0; i < SUBJECT_WORDS; i++)
		set->words[i] = 0;
}

/* Words of a set in the tables. */
#define SET (2 * SUBJECT_WORDS)
/* Where the sets of all operations are in the head, in words. */
#define LIMITED(operation) (offsetof(struct policy_head, limited) / 4 + (operation) * SET)
#define CONCERNED(operation) (offsetof(struct policy_head, concerned) / 4 + (operation) * SET)

#endif
