// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Processes begin, change their program and end. */
#include "exec.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tp_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	struct exec_plan plan = {.task = task, .bprm = bprm};
	const struct config *conf = config_get();
	__u32 need;

	if (!conf || !is_wanted(KIND_EXEC, PROVIDER_TRACEPOINT, task->tgid))
		return 0;
	need = exec_measure(&plan, conf);
	if (need <= EXEC_SMALL)
		return exec_emit(&plan, EXEC_SMALL, task);
	if (need <= EXEC_MIDDLE)
		return exec_emit(&plan, EXEC_MIDDLE, task);
	return exec_emit(&plan, EXEC_LARGE, task);
}

static __always_inline int life_emit(struct task_struct *task, __u32 kind, __u32 exit_code)
{
	struct rec_task *r = reserve(RING_LIFE, TASK_FIXED);

	if (!r)
		return 0;
	fill_task(r, task, kind, PROVIDER_TRACEPOINT);
	fill_comm(r, task);
	r->exit_code = exit_code;
	submit(RING_LIFE, r);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(tp_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = child->tgid;

	/* A new thread is no new process. */
	if (tgid != (__u32)child->pid || !is_wanted(KIND_FORK, PROVIDER_TRACEPOINT, tgid))
		return 0;
	return life_emit(child, KIND_FORK, 0);
}

/* Threads that end at the same moment; more than there are CPUs to do it. */
#define ENDED_MAX 4096

/* Processes whose end was told lately, by the start of each. */
struct ended_key {
	__u64 start;
	__u64 pid;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDED_MAX);
	__type(key, struct ended_key);
	__type(value, __u8);
} ended SEC(".maps");

/*
 * Each of the last threads, if they end at once, finds that none lives: the first that asks here. A
 * process that has only one thread, and has lost none (which would have left its run time), need
 * not.
 */
static __always_inline bool is_first_to_tell(struct task_struct *task)
{
	struct ended_key key = {.start = task->group_leader->start_boottime, .pid = task->tgid};
	__u8 told = 1;

	if (task->signal->nr_threads == 1 && !task->signal->sum_sched_runtime)
		return true;
	return !bpf_map_update_elem(&ended, &key, &told, BPF_NOEXIST);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tp_exit, struct task_struct *task)
{
	__u32 code;

	/* The process ends with its last thread, whichever that is. */
	if (!is_wanted(KIND_EXIT, PROVIDER_TRACEPOINT, task->tgid) || task->signal->live.counter)
		return 0;
	if (!is_first_to_tell(task))
		return 0;
	code = task->signal->group_exit_code;
	if (!(task->signal->flags & SIGNAL_GROUP_EXIT))
		code = task->exit_code;
	return life_emit(task, KIND_EXIT, code);
}
