/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The smallest program that the kernel loads: `provoke act bpf` loads it and lets it go. */

__attribute__((section("license"), used)) char probe_license[] = "GPL";

__attribute__((section("socket"), used)) int provoke_probe(void *context)
{
	(void)context;
	return 0;
}
