// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* One tiny program for each class of attachment: what loads and attaches here is what counts. */
#include "compat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* How often these two were asked: where BPF is no LSM, they attach, and nobody ever does. */
__u64 asked SEC(".data.asked");

SEC("lsm/file_open")
int BPF_PROG(probe_lsm, struct file *file)
{
	__sync_fetch_and_add(&asked, 1);
	return 0;
}

SEC("lsm.s/file_open")
int BPF_PROG(probe_lsm_sleepable, struct file *file)
{
	__sync_fetch_and_add(&asked, 1);
	return 0;
}

/* What this process executes is hashed, and whether nobody can write it meanwhile is looked at. */
struct probed {
	__u32 pid;
	__u32 steady;
	__s64 algorithm; /* enum hash_algo of the kernel, or an error */
	__u8 digest[32];
};

volatile struct probed probed SEC(".data.probed");

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(probe_hash, struct linux_binprm *bprm)
{
	struct file *file = bprm->file;
	__u8 digest[32] = {};

	if (bpf_get_current_pid_tgid() >> 32 != probed.pid)
		return 0;
	probed.steady = file->f_inode->i_writecount.counter < 0;
	probed.algorithm = bpf_ima_file_hash(file, digest, sizeof(digest));
	for (__u32 i = 0; i < sizeof(digest); i++)
		probed.digest[i] = digest[i];
	return 0;
}

SEC("fentry/do_exit")
int BPF_PROG(probe_fentry)
{
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(probe_tp_btf, struct task_struct *task)
{
	return 0;
}

SEC("cgroup/connect4")
int probe_cgroup(struct bpf_sock_addr *ctx)
{
	return 1;
}

SEC("iter/task")
int probe_iter(struct bpf_iter__task *ctx)
{
	return 0;
}

SEC("syscall")
int probe_syscall(void *ctx)
{
	return 0;
}

SEC("raw_tp/sys_exit")
int probe_raw_tp(struct bpf_raw_tracepoint_args *ctx)
{
	return 0;
}
