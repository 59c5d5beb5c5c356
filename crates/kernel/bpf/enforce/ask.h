/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What hooks begin with: is there a policy, is anybody concerned, may it go through? */
#ifndef AEGIS_ASK_H
#define AEGIS_ASK_H

#include "evidence.h"

#define BIT(operation) (1U << (operation))

/* A process that asks for something. */
struct asker {
	__u64 epoch;
	struct subject *subject; /* NULL: not known, so whom every rule is about */
};

/* False if no rule can be about any of these operations (a set of bits) of the current process. */
static __always_inline bool is_asked(struct asker *asker, __u32 operations)
{
	asker->epoch = current_epoch();
	if (!asker->epoch)
		return false;
	asker->subject = current_subject(asker->epoch);
	return !asker->subject || asker->subject->concern & operations;
}

/* Whether an operation on something with these labels is refused: what the hook returns. Things
 * without a device have a number, too: of a capability, of a process. */
static __always_inline int refuse_or_say(const struct asker *asker, const struct labels *labels,
                                         __u32 operation, __u64 dev, __u64 ino, bool quiet)
{
	struct question question = {.epoch = asker->epoch, .operation = operation, .maker = {}};
	struct subject *subject = asker->subject;

	question.dev = dev;
	question.ino = ino;
	question.quiet = quiet;
	if (subject && !labels->count && !labels->unresolved && !(subject->plain >> operation & 1))
		return 0;
	return errno_of(conclude(&question, subject, labels));
}

static __always_inline int refuse(const struct asker *asker, const struct labels *labels,
                                  __u32 operation, __u64 dev, __u64 ino)
{
	return refuse_or_say(asker, labels, operation, dev, ino, false);
}

/* An operation on nothing that rules could name; `number` is told. */
static __always_inline int refuse_plain(__u32 operation, __u64 number)
{
	struct labels none = {};
	struct asker asker;

	if (!is_asked(&asker, BIT(operation)))
		return 0;
	return refuse(&asker, &none, operation, 0, number);
}

#endif
