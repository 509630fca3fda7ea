// SPDX-License-Identifier: GPL-2.0-only
/*
 * RISC-V: stores become visible to fetch on a hart only by FENCE.I on that hart.
 * Unprivileged specification, chapter "Zifencei": stores are not guaranteed to
 * be seen by instruction fetches of the hart until it executes FENCE.I; other
 * harts each have to execute their own. Traps and their returns are not in it.
 * FENCE.I orders the fetches before it as well (2026). The model needs no rule for
 * that: what a hart has fetched is forgotten when it executes one. Ziccid, with
 * which stores are seen some time later, is not relied on.
 */
#include "model.h"

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	uint32_t w;

	if (size == 2) {
		/* c.jr ra, the return of a function */
		insn->ret = b[0] == 0x82 && b[1] == 0x80;
		return;
	}
	w = le32(b);

	/* FENCE.I, Unprivileged, Zifencei: funct3 = 1 of MISC-MEM; the rest is reserved */
	if ((w & 0x707f) == 0x100f)
		insn->effect = EFFECT_SYNC;
	/* jalr x0, 0(ra) */
	insn->ret = w == 0x00008067;
}

/*
 * The specification says nothing of concurrent modification. The kernel relies
 * on a fetch seeing all or nothing of a naturally aligned store of 4 bytes.
 */
static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)old;
	(void)new;
	(void)protocol;
	return whole;
}

const struct model model_riscv = {
	.target = "riscv64",
	.name = "riscv",
	.ram = "riscv_virt_board.ram",
	.ram_base = 0x80000000,
	.line_shift = 6,
	/* Zifencei: its own stores too, until it executes FENCE.I */
	.own_sync = true,
	.new_sync = true,
	.regs = { .sp = "sp", .arg0 = "a0", .arg1 = "a1", .arg2 = "a2" },
	.decode = decode,
	.concurrent = concurrent,
};
