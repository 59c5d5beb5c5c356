// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Hashes what is executed, if any rule asks for hashes. These programs may sleep, and decide
 * nothing. */
#include "hash.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* enum hash_algo of the kernel. */
#define HASH_ALGO_SHA256 4
/* A filesystem that cannot be mounted. */
#define SB_NOUSER (1UL << 31)
/* What is read twice may differ: whoever serves the files can change them in between. */
#define SB_I_IMA_UNVERIFIABLE_SIGNATURE 0x20
/* F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE: nothing of a file can change any more. */
#define SEALS 0xe

/* Filesystems whose files change only by being opened for writing here. Others have a backing that
 * can be written by other ways: another machine, another layer. */
static __always_inline bool is_own(__u64 magic)
{
	switch (magic) {
	case TMPFS_MAGIC:
	case 0x858458f6: /* ramfs */
	case 0xef53:     /* ext2, ext3, ext4 */
	case 0x58465342: /* XFS */
	case 0x9123683e: /* Btrfs */
	case 0xf2f52010: /* F2FS */
	case 0x73717368: /* SquashFS */
	case 0xe0f5e1e2: /* EROFS */
		return true;
	}
	return false;
}

/* Whether a file stays as it is while it is executed. Memory files can be written by who made them,
 * unless they are sealed. */
static __always_inline bool is_steady(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	__u64 address = (__u64)inode;

	if (inode->i_writecount.counter >= 0 || sb->s_iflags & SB_I_IMA_UNVERIFIABLE_SIGNATURE)
		return false;
	if (!(sb->s_flags & SB_NOUSER))
		return true;
	if (sb->s_magic != TMPFS_MAGIC)
		return false;
	address -= bpf_core_field_offset(struct shmem_inode_info, vfs_inode);
	return (kread(struct shmem_inode_info, address, seals) & SEALS) == SEALS;
}

static __always_inline void find(struct file *file, struct inode *inode, struct executed *executed)
{
	struct remembered *known = bpf_inode_storage_get(&remembered_hashes, inode, 0, 0);

	if (!is_steady(inode)) {
		executed->content.state = CONTENT_UNKNOWN;
		return;
	}
	if (known && known->holds && known->size == (__u64)inode->i_size) {
		executed->content.digest = known->digest;
		executed->content.state = CONTENT_KNOWN;
		return;
	}
	count(COUNT_HASHED);
	if (bpf_ima_file_hash(file, &executed->content.digest, sizeof(executed->content.digest)) !=
	    HASH_ALGO_SHA256) {
		executed->content.state = CONTENT_UNKNOWN;
		return;
	}
	executed->content.state = CONTENT_KNOWN;
	if (!is_own(inode->i_sb->s_magic))
		return;
	if (!known)
		known = bpf_inode_storage_get(&remembered_hashes, inode, 0,
		                              BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!known)
		return;
	known->size = inode->i_size;
	known->digest = executed->content.digest;
	known->holds = 1;
}

static __always_inline int hash(struct file *file, bool first)
{
	struct inode *inode = file->f_inode;
	struct executed *executed;

	executed = bpf_task_storage_get(&executions, bpf_get_current_task_btf(), 0,
	                                BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!executed) {
		count(COUNT_NO_HASH);
		return 0;
	}
	executed->content.state = CONTENT_NONE;
	executed->inode = (__u64)inode;
	if (first)
		executed->skipped = 0;
	find(file, inode, executed);
	executed->fresh = 1;
	if (executed->content.state == CONTENT_UNKNOWN)
		count(COUNT_NO_HASH);
	return 0;
}

/* The file that is named: a program or a script. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(enforce_hash, struct linux_binprm *bprm)
{
	struct executed *before;

	if (now.hashing)
		return hash(bprm->file, true);
	before = bpf_task_storage_get(&executions, bpf_get_current_task_btf(), 0, 0);
	if (before)
		before->content.state = CONTENT_NONE;
	return 0;
}

/* The interpreter that is found for it. */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(enforce_hash_interpreter, struct linux_binprm *bprm)
{
	if (now.hashing && bprm->filename != bprm->interp)
		return hash(bprm->file, false);
	return 0;
}
