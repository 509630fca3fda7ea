// SPDX-License-Identifier: GPL-2.0-only
/*
 * s390: storage is coherent, but a CPU may have prefetched instructions. What another
 * CPU has stored since, and what it has stored itself by another logical address, it is
 * sure to execute once it has serialised: Principles of Operation, SA22-7832, "Sequence
 * of Storage References", "Instruction Fetching".
 */
#include "model.h"

/*
 * "CPU Serialization" has interruptions, too, which end with LPSWE, and instructions that
 * are not here because nothing relies on them.
 */
static bool serialises(const uint8_t *b, size_t size)
{
	switch (b[0]) {
	case 0x07:		/* BCR 15,0; BCR 14,0 */
		return b[1] == 0xf0 || b[1] == 0xe0;
	case 0x82:		/* LPSW */
	case 0xba: case 0xbb:	/* CS, CDS */
		return true;
	case 0xb2:		/* LPSWE */
		return b[1] == 0xb2;
	case 0xeb:		/* LPSWEY; CSY, CSG, CDSY, CDSG */
		return size == 6 && (b[5] == 0x71 || b[5] == 0x14 || b[5] == 0x30 ||
				     b[5] == 0x31 || b[5] == 0x3e);
	}
	return false;
}

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	if (serialises(b, size))
		insn->effect = EFFECT_SYNC;
	/* STURG */
	if (b[0] == 0xb9 && b[1] == 0x25) {
		insn->effect = EFFECT_REWRITE;
		insn->reg = b[3] & 15;
	}
	/* br %r14 */
	insn->ret = b[0] == 0x07 && b[1] == 0xfe;
}

/*
 * The kernel relies on a fetch seeing all or nothing of the bytes that it changes in
 * an instruction. It rewrites the doubleword around them, so their number is unknown.
 */
static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)old;
	(void)new;
	(void)whole;
	(void)protocol;
	return true;
}

const struct model model_s390 = {
	.target = "s390x",
	.name = "s390",
	.ram = "s390.ram",
	.ram_base = 0,
	.halfwords = true,
	/* The prefix area, "Low-Address Protection" */
	.low_end = 0x2000,
	.line_shift = 8,
	/* "Instruction Fetching": its own stores by the same logical address */
	.self_free = true,
	.new_sync = true,
	/* "CPU Reset": a CPU that starts has nothing prefetched */
	.start_syncs = true,
	.regs = { .sp = "r15", .arg0 = "r2", .arg1 = "r3", .arg2 = "r4" },
	.decode = decode,
	.concurrent = concurrent,
};
