// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* The processes that are there already: read from an iterator when the agent starts. */
#include "exe.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SNAPSHOT_BYTES 16384

/* One reader at a time: only the guard opens the iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, char[SNAPSHOT_BYTES + PATH_SLACK]);
} snapshot SEC(".maps");

SEC("iter/task")
int iter_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_paths paths = {};
	struct rec_task *r;
	struct file *exe;
	__u32 zero = 0, len;

	if (!task || task->pid != task->tgid)
		return 0;
	r = bpf_map_lookup_elem(&snapshot, &zero);
	if (!r)
		return 0;
	exe = task->mm->exe_file;
	measure_paths(&paths, task, exe);
	forget(&paths);
	fill_task(r, task, KIND_TASK, PROVIDER_ITER);
	fill_comm(r, task);
	if (exe)
		fill_exe(r, exe);
	fill_stdio(r, task);
	append_paths(r, SNAPSHOT_BYTES, &paths);
	len = at_most((r->h.len + 7) & ~7U, SNAPSHOT_BYTES);
	bpf_seq_write(ctx->meta->seq, r, len);
	return 0;
}
