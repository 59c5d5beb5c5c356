/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Records about credentials and sessions of the current process. */
#ifndef AEGIS_IDS_H
#define AEGIS_IDS_H

#include "task.h"

static __always_inline int ids_emit(__u32 kind, __u32 provider, const struct cred *new,
                                    const struct cred *old)
{
	struct task_struct *task = current_task();
	struct rec_ids *r;

	if (!is_wanted(kind, provider, BPF_CORE_READ(task, tgid)))
		return 0;
	r = reserve(RING_LIFE, sizeof(*r));
	if (!r)
		return 0;
	zero_words(r, sizeof(*r));
	fill_header(&r->h, task, kind, provider, sizeof(*r));
	r->h.uid = BPF_CORE_READ(new, euid.val);
	r->h.gid = BPF_CORE_READ(new, egid.val);
	r->old_uid = BPF_CORE_READ(old, euid.val);
	r->old_gid = BPF_CORE_READ(old, egid.val);
	r->ruid = BPF_CORE_READ(new, uid.val);
	r->rgid = BPF_CORE_READ(new, gid.val);
	r->suid = BPF_CORE_READ(new, suid.val);
	r->sgid = BPF_CORE_READ(new, sgid.val);
	r->cap_permitted = compat_cap(&new->cap_permitted);
	r->cap_effective = compat_cap(&new->cap_effective);
	r->sid = task_id(task, PIDTYPE_SID);
	r->pgid = task_id(task, PIDTYPE_PGID);
	submit(RING_LIFE, r);
	return 0;
}

#endif
