/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Records are written in place, in memory reserved from the ring: no scratch buffer that a
 * preempting program could overwrite. A reservation has a constant size; header.len tells how
 * much of it is used.
 */
#ifndef AEGIS_EMIT_H
#define AEGIS_EMIT_H

#include "maps.h"

/* The reader polls every few milliseconds; it is woken early when this share of a ring is
 * filled, so that ordinary load costs no wake-up and a flood none too many. */
#define WAKE_SHARE 8

static __always_inline void *ring_of(__u32 ring)
{
	if (ring == RING_ALARM)
		return &ring_alarm;
	return ring == RING_LIFE ? (void *)&ring_life : (void *)&ring_rest;
}

/* `ring` must be a constant at each use: the verifier wants one map a call. */
#define reserve(ring, size)                                                                        \
	({                                                                                         \
		void *reserved_ = bpf_ringbuf_reserve(ring_of(ring), (size), 0);                   \
		if (!reserved_)                                                                    \
			count_lost((ring), LOSS_RING_FULL);                                        \
		reserved_;                                                                         \
	})

static __always_inline __u64 wake_flags(__u32 ring)
{
	void *map = ring_of(ring);

	if (ring == RING_ALARM)
		return BPF_RB_FORCE_WAKEUP;
	if (bpf_ringbuf_query(map, BPF_RB_AVAIL_DATA) >
	    bpf_ringbuf_query(map, BPF_RB_RING_SIZE) / WAKE_SHARE)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

#define submit(ring, record)                                                                       \
	({                                                                                         \
		count_in(&sent, ((struct rec_header *)(record))->kind &(KIND_MAX - 1), 1);         \
		bpf_ringbuf_submit((record), wake_flags(ring));                                    \
	})

/* Keeps `value` below `size`, a power of two. For values that are below it anyway, which the
 * verifier does not know: it follows one way only, and not two as with a comparison. */
#define within(value, size)                                                                        \
	({                                                                                         \
		__u64 masked_ = (value);                                                           \
		__u64 mask_ = (__u64)(size) - 1;                                                   \
		asm volatile("%0 &= %1" : "+r"(masked_) : "r"(mask_));                             \
		masked_;                                                                           \
	})

/* Makes the verifier forget what it knows of an object on the stack, by a copy onto itself. Else
 * it follows each combination of known values through all that comes behind (until 6.2 always). */
#define forget(object) bpf_probe_read_kernel((object), sizeof(*(object)), (object))

/* The number of a pointer that the verifier knows the type of: it lets none pass for a number. */
static __always_inline __u64 as_number(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* Keeps `value` at most `max` in a way that neither the compiler nor the verifier loses. */
#define at_most(value, max)                                                                        \
	({                                                                                         \
		__u64 bounded_ = (value);                                                          \
		__u64 max_ = (max);                                                                \
		asm volatile("if %0 <= %1 goto +1\n\t%0 = %1" : "+r"(bounded_) : "r"(max_));       \
		bounded_;                                                                          \
	})

#endif
