/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records of one process acting on another, or on the kernel. */
#ifndef AEGIS_ACT_H
#define AEGIS_ACT_H

#include "path.h"
#include "task.h"

static __always_inline void fill_act(struct rec_act *r, __u32 kind, __u32 provider)
{
	zero_words(r, sizeof(*r));
	fill_header(&r->h, current_task(), kind, provider, sizeof(*r));
}

static __always_inline void fill_target(struct rec_act *r, struct task_struct *target)
{
	r->target_start = task_start(target);
	r->target_pid = kread(struct task_struct, target, tgid);
}

/* What is done to the agent itself goes to the ring that nothing else fills. */
#define act_on(kind, provider, target, operation, code_value)                                      \
	({                                                                                         \
		const struct config *conf_ = config_get();                                         \
		struct task_struct *target_ = (target);                                            \
		struct rec_act *r_ = NULL;                                                         \
		if (conf_ && is_own(conf_, kread(struct task_struct, target_, tgid)) &&            \
		    !is_own(conf_, current_tgid()) && conf_->by[kind] == (provider)) {             \
			r_ = reserve(RING_ALARM, sizeof(*r_));                                     \
			if (r_) {                                                                  \
				fill_act(r_, kind, provider);                                      \
				fill_target(r_, target_);                                          \
				r_->op = (operation);                                              \
				r_->code = (code_value);                                           \
				submit(RING_ALARM, r_);                                            \
			}                                                                          \
		} else if (is_wanted(kind, provider, current_tgid())) {                            \
			r_ = reserve(RING_REST, sizeof(*r_));                                      \
			if (r_) {                                                                  \
				fill_act(r_, kind, provider);                                      \
				fill_target(r_, target_);                                          \
				r_->op = (operation);                                              \
				r_->code = (code_value);                                           \
				submit(RING_REST, r_);                                             \
			}                                                                          \
		}                                                                                  \
		0;                                                                                 \
	})

#endif
