/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the hooks of cgroups begin and end with. */
#ifndef AEGIS_NET_ASK_H
#define AEGIS_NET_ASK_H

#include "net_label.h"
#include "net_subject.h"

/* What such a hook returns. */
#define GO 1
#define STOP 0
#define BIT(operation) (1U << (operation))
/* Operations that an endpoint decides. */
#define ON_PEERS                                                                                   \
	(BIT(DO_CONNECT) | BIT(DO_BIND) | BIT(DO_LISTEN) | BIT(DO_ACCEPT) | BIT(DO_SEND) |         \
	 BIT(DO_RECEIVE))

/* What beginning gives beside these two: there is something to ask. */
#define ASK 2

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return kread(struct task_struct, task, flags) & PF_KTHREAD;
}

/* ASK if any rule can be about one of these operations (a set of bits) of the current process. */
static __always_inline int begin_asking(struct asking **at, __u32 operations)
{
	__u64 epoch = current_epoch();
	struct asking *asking;

	if (!epoch || is_kernel_thread())
		return GO;
	asking = claim_asking();
	if (!asking)
		return STOP;
	*at = asking;
	__builtin_memset(&asking->question, 0, sizeof(asking->question));
	asking->question.epoch = epoch;
	renew_process(asking, epoch);
	if (asking->process.subject.concern & operations)
		return ASK;
	release_asking(asking);
	return GO;
}

/* 0, or one more than the answer. */
static __always_inline int ask(struct asking *asking, __u32 operation)
{
	struct subject *subject = &asking->process.subject;
	const struct labels *labels = &asking->labels;

	if (!labels->count && !labels->unresolved && !(subject->plain >> operation & 1))
		return 0;
	asking->question.operation = operation;
	return conclude(&asking->question, subject, labels);
}

/* Ends a hook: an answer as its return value and error. */
static __always_inline int end_asking(struct asking *asking, int answer)
{
	int error = errno_of(answer);

	/* Something was armed. */
	if (!asking->process.subject.epoch)
		put_back(asking);
	release_asking(asking);
	if (!error)
		return GO;
	bpf_set_retval(error);
	return STOP;
}

#endif
