// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What changes the kernel itself: modules, BPF, rings of io_uring. */
#include "ask.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define RING_NAME "[io_uring]"

/* The kernel looks for a module by itself, for what the process asked for. */
SEC("lsm/kernel_module_request")
int BPF_PROG(enforce_module_request, char *name)
{
	return refuse_plain(DO_LOAD_MODULE, 0);
}

SEC("lsm/kernel_read_file")
int BPF_PROG(enforce_module_file, struct file *file, enum kernel_read_file_id id)
{
	struct labels none = {};
	struct asker asker;

	if (id != bpf_core_enum_value(enum kernel_read_file_id, READING_MODULE) ||
	    !is_asked(&asker, BIT(DO_LOAD_MODULE)))
		return 0;
	return refuse(&asker, &none, DO_LOAD_MODULE, file->f_inode->i_sb->s_dev,
	              file->f_inode->i_ino);
}

SEC("lsm/kernel_load_data")
int BPF_PROG(enforce_module_memory, enum kernel_load_data_id id)
{
	if (id != bpf_core_enum_value(enum kernel_load_data_id, LOADING_MODULE))
		return 0;
	return refuse_plain(DO_LOAD_MODULE, 0);
}

SEC("lsm/bpf")
int BPF_PROG(enforce_bpf, int command)
{
	return refuse_plain(DO_BPF, (__u32)command);
}

/* A ring is a file without a name, which asks for its label when it is made: from Linux 5.16 on. */
SEC("lsm/inode_init_security_anon")
int BPF_PROG(enforce_ring, struct inode *inode, const struct qstr *name)
{
	char text[sizeof(RING_NAME)] = {};

	bpf_probe_read_kernel(text, sizeof(text),
	                      (void *)kread(struct qstr, as_number(name), name));
	for (__u32 i = 0; i < sizeof(text); i++)
		if (text[i] != RING_NAME[i])
			return 0;
	return refuse_plain(DO_IO_URING, 0);
}
