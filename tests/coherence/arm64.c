// SPDX-License-Identifier: GPL-2.0-only
/*
 * arm64, for implementations without CTR_EL0.IDC and DIC: Arm ARM DDI 0487,
 * B2.7, "Synchronization and coherency issues between data and instruction
 * accesses": store, DC CVAU, DSB, IC IVAU, DSB; then every PE that executes the
 * new instructions needs a Context synchronization event.
 */
#include "model.h"

struct rule {
	uint32_t mask, value;
	enum effect effect;
};

#define XT 0xffffffe0

static const struct rule rules[] = {
	/* DC CVAU, D7.5 (clean to the point of unification) */
	{ XT, 0xd50b7b20, EFFECT_CLEAN },
	/* DC CVAC, CVAP, CVADP, CIVAC: a point further away than unification */
	{ XT, 0xd50b7a20, EFFECT_CLEAN },
	{ XT, 0xd50b7c20, EFFECT_CLEAN },
	{ XT, 0xd50b7d20, EFFECT_CLEAN },
	{ XT, 0xd50b7e20, EFFECT_CLEAN },
	/* IC IVAU, D7.5 (Inner Shareable, all PEs) */
	{ XT, 0xd50b7520, EFFECT_INVAL },
	/* IC IALLUIS, D7.5 (all PEs) and IC IALLU (this PE) */
	{ ~0u, 0xd508711f, EFFECT_INVAL_ALL },
	{ ~0u, 0xd508751f, EFFECT_INVAL_LOCAL },
	/* DSB for stores or all, inner shareable or further, B2.3; LD does not
	 * wait for maintenance
	 */
	{ ~0u, 0xd5033f9f, EFFECT_BARRIER },	/* DSB SY */
	{ ~0u, 0xd5033e9f, EFFECT_BARRIER },	/* DSB ST */
	{ ~0u, 0xd5033b9f, EFFECT_BARRIER },	/* DSB ISH */
	{ ~0u, 0xd5033a9f, EFFECT_BARRIER },	/* DSB ISHST */
	{ ~0u, 0xd503339f, EFFECT_BARRIER },	/* DSB OSH */
	{ ~0u, 0xd503329f, EFFECT_BARRIER },	/* DSB OSHST */
	/* DSB NSH, B2.3: what concerns this PE only */
	{ ~0u, 0xd503379f, EFFECT_BARRIER_LOCAL },
	/* Context synchronization events, glossary: ISB */
	{ 0xfffff0ff, 0xd50330df, EFFECT_SYNC },
	/* ... ERET (without FEAT_ExS), also ERETAA and ERETAB */
	{ ~0u, 0xd69f03e0, EFFECT_SYNC },
	{ 0xfffffbff, 0xd69f0bff, EFFECT_SYNC },
	/* ... taking an exception: SVC, HVC, SMC. QEMU plays the firmware, its
	 * entry cannot be seen
	 */
	{ 0xffe0001f, 0xd4000001, EFFECT_SYNC },
	{ 0xffe0001f, 0xd4000002, EFFECT_SYNC },
	{ 0xffe0001f, 0xd4000003, EFFECT_SYNC },
	/* MSR VBAR_EL1, Xt */
	{ XT, 0xd518c000, EFFECT_VBAR },
};

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	uint32_t w = le32(b);

	(void)size;
	/* RET, RETAA, RETAB */
	insn->ret = w == 0xd65f03c0 || (w & 0xfffffbff) == 0xd65f0bff;
	/* All of them are system or exception instructions, or ERET. */
	if (w >> 24 != 0xd5 && w >> 24 != 0xd4 && w >> 24 != 0xd6)
		return;
	for (const struct rule *r = rules; r < rules + sizeof(rules) / sizeof(*rules); r++) {
		if ((w & r->mask) != r->value)
			continue;
		insn->effect = r->effect;
		insn->reg = w & 31;
		return;
	}
}

/* D1.3, exception vectors: sixteen entries of 0x80 bytes. */
static bool maybe_vector(uint64_t va)
{
	return !(va & 0x7f);
}

static bool vector(uint64_t va, uint64_t vbar)
{
	return vbar && va - vbar < 0x800;
}

/*
 * B2.2.5 "Concurrent modification and execution of instructions", with what issue
 * M.a added to the list
 */
static bool exchangeable(uint32_t w)
{
	if ((w & 0x7c000000) == 0x14000000)	/* B, BL */
		return true;
	if ((w & 0xff000000) == 0x54000000)	/* B.cond, BC.cond */
		return true;
	if ((w & 0x7c000000) == 0x34000000)	/* CBZ, CBNZ, TBZ, TBNZ */
		return true;
	if ((w & 0x7e000000) == 0x74000000)	/* CB<cc>, CBB<cc>, CBH<cc> */
		return true;
	if (!(w & 0xffff0000))			/* UDF */
		return true;
	if ((w & XT) == 0xd50b72e0)		/* TRCIT */
		return true;
	if (w == 0xd503201f)			/* NOP */
		return true;
	if ((w & 0xffe0001f) == 0xd4200000)	/* BRK */
		return true;
	if ((w & 0xffe0001c) == 0xd4000000 && (w & 3))	/* SVC, HVC, SMC */
		return true;
	return (w & 0xfffff0ff) == 0xd50330df;	/* ISB */
}

static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)protocol;
	/*
	 * Writing the same value is no modification either, but may come after one
	 * that the PE has not seen: not told apart here.
	 */
	return whole && exchangeable(old) && exchangeable(new);
}

const struct model model_arm64 = {
	.target = "aarch64",
	.name = "arm64",
	.ram = "mach-virt.ram",
	.ram_base = 0x40000000,
	.line_shift = 6,
	.lines = true,
	.new_sync = true,
	/*
	 * With the MMU off a CPU can fetch from beyond the point of unification, where
	 * code that was patched since may not have arrived: IC IALLU, D7.5
	 */
	.start_invalidates = true,
	.regs = { .sp = "sp", .arg0 = "x0", .arg1 = "x1", .arg2 = "x2" },
	.decode = decode,
	.vector = vector,
	.maybe_vector = maybe_vector,
	.concurrent = concurrent,
};
