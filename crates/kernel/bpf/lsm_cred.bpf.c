// SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0
/* Changes of credentials, with the kernel's own old and new ones. */
#include "ids.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/task_fix_setuid")
int BPF_PROG(lsm_setuid, struct cred *new, const struct cred *old)
{
	return ids_emit(KIND_SETUID, PROVIDER_LSM, new, old);
}

SEC("lsm/task_fix_setgid")
int BPF_PROG(lsm_setgid, struct cred *new, const struct cred *old)
{
	return ids_emit(KIND_SETGID, PROVIDER_LSM, new, old);
}

SEC("lsm/capset")
int BPF_PROG(lsm_capset, struct cred *new, const struct cred *old, const kernel_cap_t *effective,
             const kernel_cap_t *inheritable, const kernel_cap_t *permitted)
{
	return ids_emit(KIND_CAPSET, PROVIDER_LSM, new, old);
}
