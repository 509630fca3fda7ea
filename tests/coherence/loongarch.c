// SPDX-License-Identifier: GPL-2.0-only
/*
 * LoongArch: stores become visible to fetch on a core only by IBAR 0 on that core.
 * Reference Manual volume 1, "Barrier Instructions": fetches after IBAR 0 observe
 * the stores before it, within a single core. "Memory Access Types", "Cache
 * Coherency Maintenance of Instruction Cache": caches of other cores are coherent;
 * within a core they may need CACOP, which the kernel does without. Even with
 * coherent caches IBAR is needed, as instructions are fetched early. The manual does
 * not say that exceptions and ERTN do the same, so they do nothing here.
 */
#include "model.h"

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	uint32_t w = le32(b);

	(void)size;
	/* IBAR 0; what other hints do is left to the implementation */
	if (w == 0x38728000)
		insn->effect = EFFECT_SYNC;
	/* jirl $zero, $ra, 0 */
	insn->ret = w == 0x4c000020;
}

/*
 * The manual says nothing of concurrent modification. The kernel relies on a
 * fetch seeing all or nothing of an aligned store of 4 bytes.
 */
static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)old;
	(void)new;
	(void)protocol;
	return whole;
}

const struct model model_loongarch = {
	.target = "loongarch64",
	.name = "loongarch",
	.ram = "loongarch.ram",
	.ram_base = 0,
	.line_shift = 6,
	/* "Barrier Instructions": its own stores too, until it executes IBAR */
	.own_sync = true,
	.new_sync = true,
	.regs = { .sp = "r3", .arg0 = "r4", .arg1 = "r5", .arg2 = "r6" },
	.decode = decode,
	.concurrent = concurrent,
};
