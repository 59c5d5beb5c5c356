/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What went wrong or was decided, counted per CPU. */
#ifndef AEGIS_COUNTERS_H
#define AEGIS_COUNTERS_H

#include "compat.h"

/* In the order of kernel::enforce::Counters. */
enum counter {
	COUNT_DENIED,
	COUNT_WOULD_DENY,
	COUNT_LABELLED,   /* paths that were read */
	COUNT_NO_TEXT,    /* no buffer was free */
	COUNT_NO_PATH,    /* longer than PATH_MAX, or it could not be read, or has no name */
	COUNT_NO_MOUNT,   /* a filesystem that user space has not told */
	COUNT_NOT_KEPT,   /* labels could not be stored and are found anew */
	COUNT_NO_SUBJECT, /* a process whose label could not be found or stored */
	COUNT_OVERFLOW,   /* more labels than LABELS_MAX */
	COUNT_NO_POLICY,  /* tables that were not there */
	COUNT_LOST,       /* a decision that could not be told */
	COUNT_ALIKE,      /* decisions like those just told of the same process, only counted */
	COUNT_HASHED,     /* files that were read to be hashed */
	COUNT_NO_HASH,    /* files whose hash could not be had */
	COUNT_NOT_MADE,   /* files of which nobody can tell later who made them */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters __weak SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &what);

	if (value)
		__sync_fetch_and_add(value, 1);
}

#endif
