/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Maps and configuration shared by all programs. Each is defined (weak, so that every object may
 * include this header) once in the linked object.
 */
#ifndef AEGIS_MAPS_H
#define AEGIS_MAPS_H

#include "compat.h"
#include "wire.h"

#define OWN_PIDS 4

/* Written by user space; read by every hook first. */
struct config {
	/* Index: enum kind. The enum provider that is to report this kind; 0: nobody wants it. */
	__u8 by[KIND_MAX];
	__u32 own[OWN_PIDS]; /* thread groups of the agent; 0: none */
	__u32 env;           /* whether exec records carry the environment */
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} settings __weak SEC(".maps");

/* Sizes are defaults; the loader may change them before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 << 10);
} ring_alarm __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring_life __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring_rest __weak SEC(".maps");

/* Index: enum loss * RING_COUNT + enum ring. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOSS_COUNT *RING_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} lost __weak SEC(".maps");

/* Records put into a ring, by kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KIND_MAX);
	__type(key, __u32);
	__type(value, __u64);
} sent __weak SEC(".maps");

static __always_inline void count_in(void *map, __u32 index, __u64 count)
{
	__u64 *value = bpf_map_lookup_elem(map, &index);

	/* Atomic: a preempting program on this CPU may count the same cause. */
	if (value)
		__sync_fetch_and_add(value, count);
}

static __always_inline void count_lost(__u32 ring, __u32 cause)
{
	count_in(&lost, cause * RING_COUNT + ring, 1);
}

static __always_inline struct config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline bool is_own(const struct config *conf, __u32 tgid)
{
	return tgid && (tgid == conf->own[0] || tgid == conf->own[1] || tgid == conf->own[2] ||
	                tgid == conf->own[3]);
}

/* The first thing a hook asks: is this kind wanted from this provider, and from this process? */
static __always_inline bool is_wanted(__u32 kind, __u32 provider, __u32 tgid)
{
	const struct config *conf = config_get();

	return conf && conf->by[kind] == provider && !is_own(conf, tgid);
}

#endif
