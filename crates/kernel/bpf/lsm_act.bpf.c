// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Tracing, BPF programs and kernel modules. */
#include "act.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PTRACE_MODE_ATTACH 0x02
#define PTRACE_ATTACH 16
#define PTRACE_TRACEME 0
#define BPF_PROG_LOAD_COMMAND 5
#define MODULE_NAME_BYTES 64
#define ACT_BYTES 8192
/* Loads of modules under way at the same time; more than there are CPUs to do it. */
#define LOADING_MAX 64

/* The file that a thread is loading a module from, until the module has its name. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LOADING_MAX);
	__type(key, __u64);
	__type(value, struct measured);
} loading SEC(".maps");

SEC("lsm/ptrace_access_check")
int BPF_PROG(lsm_ptrace, struct task_struct *child, unsigned int mode)
{
	if (!(mode & PTRACE_MODE_ATTACH) ||
	    kread(struct task_struct, child, tgid) == (int)current_tgid())
		return 0;
	return act_on(KIND_PTRACE, PROVIDER_LSM, child, PTRACE_ATTACH, 0);
}

/* The process asks to be traced by its parent: it is what is acted on. */
SEC("lsm/ptrace_traceme")
int BPF_PROG(lsm_traceme, struct task_struct *parent)
{
	return act_on(KIND_PTRACE, PROVIDER_LSM, current_task(), PTRACE_TRACEME, 0);
}

SEC("lsm/bpf")
int BPF_PROG(lsm_bpf, int command, union bpf_attr *attr)
{
	char *name;
	struct rec_act *r;
	long len;

	if (command != BPF_PROG_LOAD_COMMAND || !is_wanted(KIND_BPF, PROVIDER_LSM, current_tgid()))
		return 0;
	r = reserve(RING_REST, sizeof(*r) + BPF_OBJ_NAME_LEN);
	if (!r)
		return 0;
	fill_act(r, KIND_BPF, PROVIDER_LSM);
	r->op = command;
	name = (char *)(r + 1);
	len = bpf_probe_read_kernel_str(name, BPF_OBJ_NAME_LEN, attr->prog_name);
	r->name.off = sizeof(*r);
	r->name.len = len > 0 ? len - 1 : 0;
	r->h.len = sizeof(*r) + r->name.len;
	submit(RING_REST, r);
	return 0;
}

SEC("lsm/kernel_read_file")
int BPF_PROG(lsm_read_file, struct file *file, enum kernel_read_file_id id)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct measured path = {};

	if (id != bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE))
		return 0;
	measure_path(&path, __builtin_preserve_access_index(&file->f_path));
	if (bpf_map_update_elem(&loading, &thread, &path, BPF_ANY))
		count_lost(RING_REST, LOSS_STORAGE);
	return 0;
}

/* The file is still open here: its dentry is the one that was noted. */
SEC("tp_btf/module_load")
int BPF_PROG(tp_module, struct module *module)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct measured *path;
	struct rec_act *r;
	long len;

	if (!is_wanted(KIND_MODULE, PROVIDER_TRACEPOINT, current_tgid()))
		return 0;
	r = reserve(RING_REST, ACT_BYTES + PATH_SLACK);
	if (!r)
		return 0;
	fill_act(r, KIND_MODULE, PROVIDER_TRACEPOINT);
	len = bpf_core_read_str(r + 1, MODULE_NAME_BYTES, &module->name);
	r->name.off = sizeof(*r);
	r->name.len = len > 0 ? len - 1 : 0;
	r->h.len = sizeof(*r) + r->name.len;
	path = bpf_map_lookup_elem(&loading, &thread);
	if (path) {
		append_path(&r->h, ACT_BYTES, &r->path, path, RING_REST);
		bpf_map_delete_elem(&loading, &thread);
	}
	submit(RING_REST, r);
	return 0;
}
