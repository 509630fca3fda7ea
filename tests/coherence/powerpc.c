// SPDX-License-Identifier: GPL-2.0-only
/*
 * Power: Power ISA 3.1B Book II, 1.8 "Instruction Storage": store, dcbst, sync,
 * icbi, isync on the CPU that modifies; sync after icbi before others are told,
 * and they need a context synchronising operation of their own if they may have
 * fetched the old instructions.
 */
#include "model.h"

/* Primary opcode and extended opcode; 0x3ff for all extended opcodes. */
struct rule {
	uint8_t primary;
	uint16_t extended;
	enum effect effect;
	bool by_load;
};

static const struct rule rules[] = {
	/* dcbst, dcbf: Book II, 4.3.2 */
	{ 31, 54, EFFECT_CLEAN, true },
	{ 31, 86, EFFECT_CLEAN, true },
	/* icbi: Book II, 4.3.1; the copies of all processors */
	{ 31, 982, EFFECT_INVAL, true },
	/* sync with L=0 or 2: Book II, 4.6.3; L is looked at below */
	{ 31, 598, EFFECT_BARRIER, false },
	/* isync: Book II, 4.6.1 */
	{ 19, 150, EFFECT_SYNC, false },
	/* rfid, rfscv, hrfid: Book III, System Linkage Instructions (context
	 * synchronising)
	 */
	{ 19, 18, EFFECT_SYNC, false },
	{ 19, 82, EFFECT_SYNC, false },
	{ 19, 274, EFFECT_SYNC, false },
};

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	uint32_t w = big_endian ? be32(b) : le32(b);
	unsigned int primary = w >> 26, extended = w >> 1 & 0x3ff;

	if (size < 4)
		return;
	/* blr with BO "always" */
	insn->ret = (w & 0xffe0ffff) == 0x4e800020;
	/* sc, scv: Book III, Interrupts (they are context synchronising). With
	 * LEV=1 QEMU plays the hypervisor, whose hrfid cannot be seen.
	 */
	if (primary == 17 && w & 3) {
		insn->effect = EFFECT_SYNC;
		return;
	}
	if (primary != 31 && primary != 19)
		return;
	for (const struct rule *r = rules; r < rules + sizeof(rules) / sizeof(*rules); r++) {
		if (r->primary != primary || r->extended != extended)
			continue;
		/* lwsync does not order dcbst and icbi */
		if (r->effect == EFFECT_BARRIER && (w >> 21 & 3) == 1)
			return;
		insn->effect = r->effect;
		insn->by_load = r->by_load;
		return;
	}
}

/*
 * Book III, Interrupts, "Effective address of interrupt vector": at 0, and with
 * AIL=3 at 0xc000000000004000; scv there at 0x3000, too. Branches of the
 * kernel do not lead to these addresses.
 */
static bool maybe_vector(uint64_t va)
{
	uint64_t off;

	if (va >= 0xc000000000003000 && va < 0xc000000000004000)
		return !(va & 0x1f);
	if (va >= 0xc000000000004000)
		off = va - 0xc000000000004000;
	else
		off = va;
	if (off < 0x100 || off >= 0x1000)
		return false;
	return !(off & 0xff) || off == 0x380 || off == 0x480 || off == 0x980 ||
	       (off >= 0xe00 && !(off & 0x1f));
}

static bool vector(uint64_t va, uint64_t vbar)
{
	(void)va;
	(void)vbar;
	return true;
}

/*
 * Book II, 1.8, "Concurrent Modification and Execution of Instructions": one
 * aligned word. The manual allows fewer instructions (no-op, branch, trap) than
 * this does; it does not look at which.
 */
static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)old;
	(void)new;
	(void)protocol;
	return whole;
}

/*
 * Processors with a coherent instruction cache (POWER7 and later; POWER8 and
 * POWER9 user's manuals, "icbi") need sync, icbi of any address, sync, isync.
 * Linux relies on it in these functions and nowhere else. An icbi elsewhere has
 * to name the line, as the architecture demands.
 */
static const char *const any_line[] = {
	"flush_icache_range", "flush_icache_user_page", "flush_dcache_icache_folio", NULL
};

const struct model model_powerpc = {
	.target = "ppc64",
	.name = "powerpc",
	.ram = "ppc_spapr.ram",
	.ram_base = 0,
	.line_shift = 7,
	.lines = true,
	.any_line = any_line,
	/* Book II, 1.8: nothing was fetched, so nothing has to be forgotten */
	.new_free_remote = true,
	.start_syncs = true,
	.regs = { .sp = "r1", .arg0 = "r3", .arg1 = "r4", .arg2 = "r5" },
	.decode = decode,
	.vector = vector,
	.maybe_vector = maybe_vector,
	.concurrent = concurrent,
};
