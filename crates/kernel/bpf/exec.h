/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The record of an exec: measured first, then written into a reservation of the fitting class. */
#ifndef AEGIS_EXEC_H
#define AEGIS_EXEC_H

#include "exe.h"

/* Classes of reservation. Nearly all execs fit the first; the last holds the longest. */
#define EXEC_SMALL 1024
#define EXEC_MIDDLE 4096
#define EXEC_LARGE 65536
/* What is copied at a time in a class, a power of two; four times that is enough for each string.
 * The reservation has that much behind the used part, where the verifier sees a copy end. */
#define CHUNK(cap) ((cap) >= EXEC_LARGE ? ENV_MAX_BYTES : (cap) / CHUNKS)
#define CHUNKS 4
#define STRING_CHUNK 256

struct exec_plan {
	struct task_struct *task;
	struct linux_binprm *bprm;
	struct task_paths paths;
	const char *script;
	__u64 args_start, env_start;
	__u32 args_len, env_len; /* what is copied */
	__u32 args_all;
	__u32 script_len;
	__u32 flags;
};

/* Length of a kernel string, at most PATH_MAX_BYTES. Global: see path_length(). */
__weak __noinline __u32 string_length(__u64 string)
{
	char chunk[STRING_CHUNK];
	__u32 total = 0;

	for (int i = 0; i < PATH_MAX_BYTES / (STRING_CHUNK - 1); i++) {
		long len =
		        bpf_probe_read_kernel_str(chunk, sizeof(chunk), (void *)(string + total));

		if (len <= 0)
			break;
		total += len - 1;
		if (len < STRING_CHUNK)
			break;
	}
	return total;
}

/*
 * Appends `len` bytes to the record, in chunks, since they go to an offset that the verifier does
 * not know; `span` tells how many could be read. How far it came is kept in the record, of which
 * the verifier knows nothing: so each round looks the same to it.
 */
static __noinline int append_bytes(struct rec_header *rec, __u32 cap, volatile struct span *span,
                                   __u64 from, __u64 len_user)
{
	__u32 len = len_user, off = rec->len, chunk = CHUNK(cap);
	bool user = len_user >> 32;

	span->off = off;
	span->len = 0;
	for (int i = 0; i < CHUNKS; i++) {
		__u32 done = span->len, part = len - done;
		char *to = (char *)rec + within(off + done, cap);

		if (done >= len)
			break;
		if (part >= chunk)
			part = chunk - 1;
		part = within(part, chunk);
		if (user ? bpf_probe_read_user(to, part, (void *)(from + done))
		         : bpf_probe_read_kernel(to, part, (void *)(from + done)))
			break;
		span->len = done + part;
	}
	rec->len = off + span->len;
	return 0;
}

#define FROM_USER (1ULL << 32)

static __always_inline __u32 exec_measure(struct exec_plan *p, const struct config *conf)
{
	struct task_struct *task = p->task;
	struct linux_binprm *bprm = p->bprm;
	struct mm_struct *mm = kread(struct task_struct, task, mm);
	struct file *exe = kread(struct mm_struct, mm, exe_file);
	__u64 env;

	measure_paths(&p->paths, task, exe);
	p->args_start = kread(struct mm_struct, mm, arg_start);
	p->args_all = kread(struct mm_struct, mm, arg_end) - p->args_start;
	p->args_len = p->args_all;
	if (p->args_len > ARGS_MAX_BYTES) {
		p->args_len = ARGS_MAX_BYTES;
		p->flags |= FLAG_CUT_ARGS;
	}
	if (conf->env) {
		p->env_start = kread(struct mm_struct, mm, env_start);
		env = kread(struct mm_struct, mm, env_end) - p->env_start;
		p->env_len = at_most(env, ENV_MAX_BYTES);
		if (env > ENV_MAX_BYTES)
			p->flags |= FLAG_CUT_ENV;
	}
	p->script = (const char *)peek_member(struct linux_binprm, bprm, filename);
	p->script_len = string_length((__u64)p->script);
	forget(p);
	return TASK_FIXED + p->args_len + p->env_len + p->script_len + p->paths.exe.len +
	       p->paths.cwd.len;
}

/* Directly behind the fixed part, where one read can take them. Nonzero when it cannot. */
static __always_inline long append_args(struct rec_task *r, __u32 cap, const struct exec_plan *p)
{
	struct linux_binprm *bprm = p->bprm;
	__u32 len = within(p->args_len, cap >= EXEC_LARGE ? 2 * ARGS_MAX_BYTES : cap);

	r->argc = kread(struct linux_binprm, bprm, argc);
	r->args_bytes = p->args_all;
	r->args.off = TASK_FIXED;
	r->args.len = len;
	r->h.len = TASK_FIXED + len;
	return bpf_probe_read_user((char *)r + TASK_FIXED, len, (void *)p->args_start);
}

static __always_inline void append_env(struct rec_task *r, __u32 cap, const struct exec_plan *p)
{
	if (!p->env_len)
		return;
	append_bytes(&r->h, cap, &r->env, p->env_start, p->env_len | FROM_USER);
	if (r->env.len < p->env_len) {
		count_lost(RING_LIFE, LOSS_ARGS);
		r->h.flags |= FLAG_CUT_ENV;
	}
}

/* `task` comes with its type; what the plan holds is plain numbers to the verifier by now. */
static __noinline int exec_fill(struct rec_task *r, __u32 cap, const struct exec_plan *p,
                                struct task_struct *task)
{
	struct linux_binprm *bprm = p->bprm;
	long unread;

	fill_task(r, task, KIND_EXEC, PROVIDER_TRACEPOINT);
	fill_comm(r, task);
	fill_exe(r, task->mm->exe_file);
	fill_stdio(r, task);
	r->h.flags |= p->flags;
	if (kread(struct linux_binprm, bprm, interp) != p->script)
		r->task_flags |= TASK_SCRIPT;
	if (BPF_CORE_READ_BITFIELD_PROBED(bprm, secureexec))
		r->task_flags |= TASK_SECURE;
	unread = append_args(r, cap, p);
	append_paths(r, cap, &p->paths);
	append_bytes(&r->h, cap, &r->script, (__u64)p->script, p->script_len);
	append_env(r, cap, p);
	/* Last: the verifier would follow both ways through all that comes behind. */
	if (unread) {
		count_lost(RING_LIFE, LOSS_ARGS);
		r->h.flags |= FLAG_CUT_ARGS;
		r->args.len = 0;
	}
	return 0;
}

#define exec_emit(plan, size, task)                                                                \
	({                                                                                         \
		struct rec_task *r_ = reserve(RING_LIFE, (size) + CHUNK(size));                    \
		if (r_) {                                                                          \
			exec_fill(r_, (size), (plan), (task));                                     \
			submit(RING_LIFE, r_);                                                     \
		}                                                                                  \
		0;                                                                                 \
	})

#endif
