// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* What processes may do with capabilities, with other processes and with namespaces. */
#include "other.h"
#include "self.h"
#include "syscall.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CAP_SYS_ADMIN 21
/* The check only finds out; what it finds decides all the same. */
#define CAP_OPT_NOAUDIT (1U << 1)
#define PTRACE_MODE_ATTACH 0x02
#define PTRACE_MODE_NOAUDIT 0x04
/* CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWPID, NEWNET: all but user namespaces, which
 * have a hook of their own. */
#define CLONE_NEWUSER 0x10000000
#define CLONE_NEW_OTHERS (0x80 | 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x60000000)

static __always_inline int refuse_capability(const struct asker *asker, int capability, bool quiet)
{
	struct policy_head *head = policy_of(asker->epoch);
	struct labels labels = {.unresolved = !head};

	if (head && (__u32)capability < head->sections[SECTION_CAPABILITIES].len)
		add_label(head, &labels,
		          word(head, section(head, SECTION_CAPABILITIES) + (__u32)capability));
	return refuse_or_say(asker, &labels, DO_CAPABILITY, 0, capability, quiet);
}

/*
 * Asked only for what the process has. Entering a namespace, and leaving one by unshare(2), has no
 * hook; but all ways of it need this capability.
 */
SEC("lsm/capable")
int BPF_PROG(enforce_capability, const struct cred *cred, struct user_namespace *of, int capability,
             unsigned int options)
{
	struct labels none = {};
	struct asker asker;
	int error;

	if (!is_asked(&asker, BIT(DO_CAPABILITY) | BIT(DO_NAMESPACE)))
		return 0;
	error = refuse_capability(&asker, capability, options & CAP_OPT_NOAUDIT);
	if (error || capability != CAP_SYS_ADMIN || !is_about_namespaces())
		return error;
	return refuse(&asker, &none, DO_NAMESPACE, 0, 0);
}

SEC("lsm/userns_create")
int BPF_PROG(enforce_user_namespace, const struct cred *cred)
{
	return refuse_plain(DO_NAMESPACE, CLONE_NEWUSER);
}

SEC("lsm/task_alloc")
int BPF_PROG(enforce_clone, struct task_struct *child, unsigned long flags)
{
	if (!(flags & CLONE_NEW_OTHERS))
		return 0;
	return refuse_plain(DO_NAMESPACE, flags & CLONE_NEW_OTHERS);
}

static __always_inline int refuse_process(struct asker *asker, struct task_struct *task,
                                          __u32 operation, bool quiet)
{
	struct labels labels;

	label_process(task, &labels, asker->epoch);
	return refuse_or_say(asker, &labels, operation, 0,
	                     kread(struct task_struct, as_number(task), tgid), quiet);
}

/* Reading or writing memory, taking descriptors, tracing: all that needs more than to look. */
SEC("lsm/ptrace_access_check")
int BPF_PROG(enforce_ptrace, struct task_struct *child, unsigned int mode)
{
	struct asker asker;
	int error;

	if (!(mode & PTRACE_MODE_ATTACH))
		return 0;
	error = acts_on_agent(child, DO_PTRACE);
	if (error || !is_asked(&asker, BIT(DO_PTRACE)))
		return error;
	return refuse_process(&asker, child, DO_PTRACE, mode & PTRACE_MODE_NOAUDIT);
}

/* Who is to trace is the parent, so it is the one that the rules are about. */
SEC("lsm/ptrace_traceme")
int BPF_PROG(enforce_traceme, struct task_struct *parent)
{
	struct asker asker = {.epoch = current_epoch()};

	if (!asker.epoch)
		return 0;
	asker.subject = other_subject(parent, asker.epoch);
	if (asker.subject && !(asker.subject->concern & BIT(DO_PTRACE)))
		return 0;
	return refuse_process(&asker, bpf_get_current_task_btf(), DO_PTRACE, false);
}

/* A process may always end itself, and the first one anybody: else nothing could be stopped. Signal
 * 0 is none. */
SEC("lsm/task_kill")
int BPF_PROG(enforce_signal, struct task_struct *target, struct kernel_siginfo *info, int number)
{
	__u32 own = bpf_get_current_pid_tgid() >> 32;
	struct asker asker;
	int error;

	if (!number || own == 1 || kread(struct task_struct, as_number(target), tgid) == (int)own)
		return 0;
	error = acts_on_agent(target, DO_SIGNAL);
	if (error || !is_asked(&asker, BIT(DO_SIGNAL)))
		return error;
	return refuse_process(&asker, target, DO_SIGNAL, false);
}
