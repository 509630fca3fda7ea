// SPDX-License-Identifier: GPL-2.0-only
/*
 * x86: caches snoop stores, so there is nothing to clean or invalidate. Code
 * that another CPU (or this one, at another linear address) has modified may be
 * executed after a serialising instruction: Intel SDM volume 3, 9.1.3 "Handling
 * Self- and Cross-Modifying Code"; AMD APM volume 2, 7.6.1. The instructions
 * are listed in Intel SDM volume 3, 9.3 "Serializing Instructions".
 */
#include "model.h"

#define ANY_REG (-1)
#define MEMORY 1
#define REGISTER 2

struct rule {
	uint8_t opcode;		/* after 0f */
	int8_t reg;		/* /r of the ModRM byte, or ANY_REG */
	uint8_t form;		/* MEMORY, REGISTER, 0 for both */
	enum effect effect;
};

static const struct rule rules[] = {
	/* Intel 9.3, privileged: MOV to control register (not CR8, below) */
	{ 0x22, ANY_REG, 0, EFFECT_SYNC },
	/* Intel 9.3, privileged: MOV to debug register */
	{ 0x23, ANY_REG, 0, EFFECT_SYNC },
	/* Intel 9.3, privileged: WRMSR, with exceptions in its own description */
	{ 0x30, ANY_REG, 0, EFFECT_SYNC_WRMSR },
	/* Intel 9.3, privileged: INVD, WBINVD */
	{ 0x08, ANY_REG, 0, EFFECT_SYNC },
	{ 0x09, ANY_REG, 0, EFFECT_SYNC },
	/* Intel 9.3, privileged: LLDT, LTR */
	{ 0x00, 2, 0, EFFECT_SYNC },
	{ 0x00, 3, 0, EFFECT_SYNC },
	/* Intel 9.3, privileged: LGDT, LIDT, INVLPG */
	{ 0x01, 2, MEMORY, EFFECT_SYNC },
	{ 0x01, 3, MEMORY, EFFECT_SYNC },
	{ 0x01, 7, MEMORY, EFFECT_SYNC },
	/* Intel 9.3, not privileged: CPUID, RSM */
	{ 0xa2, ANY_REG, 0, EFFECT_SYNC },
	{ 0xaa, ANY_REG, 0, EFFECT_SYNC },
};

static bool prefix(uint8_t b)
{
	switch (b) {
	case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
	case 0x66: case 0x67: case 0xf0: case 0xf2: case 0xf3:
		return true;
	}
	return (b & 0xf0) == 0x40;	/* REX; INC and DEC of 32-bit code do no harm */
}

static void decode(const uint8_t *b, size_t size, struct insn *insn)
{
	unsigned int modrm, reg;
	size_t i = 0;

	while (i + 1 < size && prefix(b[i]))
		i++;

	/* RET, also as REP RET and with a number of bytes */
	insn->ret = b[i] == 0xc3 || b[i] == 0xc2;
	/* Intel 9.3, not privileged: IRET. The return of every exception. */
	if (b[i] == 0xcf) {
		insn->effect = EFFECT_SYNC;
		return;
	}
	if (b[i] != 0x0f || i + 1 >= size)
		return;
	modrm = i + 2 < size ? b[i + 2] : 0;
	reg = modrm >> 3 & 7;

	/* Intel 9.3, not privileged: SERIALIZE */
	if (b[i + 1] == 0x01 && modrm == 0xe8) {
		insn->effect = EFFECT_SYNC;
		return;
	}
	/* MOV to CR8 does not serialise; REX.R, the last prefix, makes CR8 of CR0 */
	if (b[i + 1] == 0x22 && reg == 0 && i && (b[i - 1] & 0xf4) == 0x44)
		return;

	for (const struct rule *r = rules; r < rules + sizeof(rules) / sizeof(*rules); r++) {
		if (r->opcode != b[i + 1])
			continue;
		if (r->reg != ANY_REG && (unsigned int)r->reg != reg)
			continue;
		if (r->form && (r->form == REGISTER) != (modrm >= 0xc0))
			continue;
		insn->effect = r->effect;
		return;
	}
}

/*
 * Intel SDM volume 2, WRMSR: IA32_TSC_DEADLINE and the X2APIC registers are not
 * serialising. AMD APM volume 3, WRMSR: FS.Base, GS.Base and KernelGSBase may
 * not be, and nor may SPEC_CTRL and PRED_CMD.
 */
static bool wrmsr_syncs(uint32_t msr)
{
	switch (msr) {
	case 0x48: case 0x49: case 0x6e0:
	case 0x800 ... 0x83f:
	case 0xc0000100 ... 0xc0000102:
		return false;
	}
	return true;
}

/*
 * Only by way of int3: a CPU that executes while bytes change meets the old
 * instruction, the trap, or the new one. The manuals' general rule (Intel 9.1.3)
 * does not have it; Linux relies on it for a single first byte. The rule
 * "protocol" checks the phases.
 */
static bool concurrent(uint32_t old, uint32_t new, bool whole, bool protocol)
{
	(void)old;
	(void)new;
	(void)whole;
	return protocol;
}

const struct model model_x86 = {
	.target = "x86_64",
	.name = "x86",
	.ram = "pc.ram",
	.ram_base = 0,
	.line_shift = 6,
	/* Intel 9.1.3: what is not in the pipeline cannot be stale there */
	.new_free_remote = true,
	.new_free = true,
	/* Intel 9.1.3, option 1 of self-modifying code, and 12.6 */
	.self_free = true,
	.start_syncs = true,
	.int3 = true,
	.regs = { .sp = "rsp", .arg0 = "rdi", .arg1 = "rsi", .arg2 = "rdx", .count = "rcx" },
	.decode = decode,
	.concurrent = concurrent,
	.wrmsr_syncs = wrmsr_syncs,
};
