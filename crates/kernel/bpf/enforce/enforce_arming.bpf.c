// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Run by user space over the process that it has armed, or armed no more. */
#include "subject.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task")
int enforce_find_anew(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct subject *subject;

	if (!task)
		return 0;
	subject = bpf_task_storage_get(&subjects, task, 0, 0);
	if (subject)
		outdate(subject);
	return 0;
}
