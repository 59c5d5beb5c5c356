/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Programs that call themselves what only the kernel's own threads are called. */
#include "kestrel.h"

static char name[256];
static char path[256];

/* Whether the first of the arguments looks like `[kworker/0:1]`. */
KESTREL_EXPORT(as_kernel_thread)
int32_t as_kernel_thread(int32_t args)
{
	static const char message[] = "a program calls itself a kernel thread";
	int32_t first = kestrel_value_at(args, 0);
	int32_t len;

	if (first < 0)
		return 0;
	len = kestrel_value_copy(first, 0, name, sizeof(name));
	if (len < 3 || name[0] != '[' || name[len - 1] != ']')
		return 0;
	/* A text for whoever is woken up, with the program behind the name. */
	kestrel_emit(-1, message, sizeof(message) - 1);
	len = kestrel_value_copy(kestrel_field(0), 0, path, sizeof(path));
	kestrel_emit_text("executable", 10, path, len);
	return 1;
}
