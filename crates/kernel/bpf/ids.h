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

	if (!is_wanted(kind, provider, kread(struct task_struct, task, tgid)))
		return 0;
	r = reserve(RING_LIFE, sizeof(*r));
	if (!r)
		return 0;
	zero_words(r, sizeof(*r));
	fill_header(&r->h, task, kind, provider, sizeof(*r));
	r->h.uid = kread(struct cred, new, euid.val);
	r->h.gid = kread(struct cred, new, egid.val);
	r->old_uid = kread(struct cred, old, euid.val);
	r->old_gid = kread(struct cred, old, egid.val);
	r->ruid = kread(struct cred, new, uid.val);
	r->rgid = kread(struct cred, new, gid.val);
	r->suid = kread(struct cred, new, suid.val);
	r->sgid = kread(struct cred, new, sgid.val);
	r->cap_permitted = compat_cap(&new->cap_permitted);
	r->cap_effective = compat_cap(&new->cap_effective);
	r->sid = task_id(task, PIDTYPE_SID);
	r->pgid = task_id(task, PIDTYPE_PGID);
	submit(RING_LIFE, r);
	return 0;
}

#endif
