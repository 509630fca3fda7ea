/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the core, which keeps track of time, stores and executions, and the
 * architectures, which know what their instructions do.
 */
#ifndef COHERENCE_MODEL_H
#define COHERENCE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an instruction does to the fetch of instructions. */
enum effect {
	EFFECT_NONE,
	EFFECT_CLEAN,		/* data line to where fetches see it; needs a barrier */
	EFFECT_INVAL,		/* instruction line, for all CPUs */
	EFFECT_INVAL_ALL,	/* all instruction lines, for all CPUs */
	EFFECT_INVAL_LOCAL,	/* all instruction lines, for this CPU */
	EFFECT_BARRIER,		/* completes clean and invalidate */
	EFFECT_BARRIER_LOCAL,	/* completes what is for this CPU only */
	EFFECT_SYNC,		/* this CPU forgets what it has fetched */
	EFFECT_SYNC_WRMSR,	/* the same, depending on the register */
	EFFECT_VBAR,		/* new base of the exception vectors */
	EFFECT_REWRITE,		/* of a doubleword, most of which stays the same */
};

struct insn {
	enum effect effect;
	int reg;		/* register with the operand, for arm64 and s390 */
	bool by_load;		/* QEMU reports the operand as a load */
	bool ret;		/* returns from a function, unconditionally */
};

struct reg_names {
	const char *sp, *arg0, *arg1, *arg2, *count;
};

struct model {
	const char *target;	/* QEMU's name */
	const char *name;
	const char *ram;	/* QEMU's name of the block, most important machine */
	uint64_t ram_base;
	/* Stores are told apart by halfwords, as two functions may share a word. */
	bool halfwords;
	/* No code is below, and QEMU cannot say where stores to there go. */
	uint64_t low_end;
	unsigned int line_shift;
	/* A store is seen by fetch only after clean and invalidate of the line. */
	bool lines;
	/* ... after any invalidation that follows a barrier, in the functions below. */
	const char *const *any_line;
	/* Memory that was never executed: CPUs other than the one that wrote, or
	 * all, need not synchronise.
	 */
	bool new_free_remote, new_free;
	/* Stores to the address that is executed, by the CPU that executes. */
	bool self_free;
	/* The CPU that stores synchronises before it executes what it has stored. */
	bool own_sync;
	/* text_poke_copy() must leave all CPUs synchronised. */
	bool new_sync;
	/* A CPU that starts has nothing prefetched. */
	bool start_syncs;
	/* A CPU that starts has stale lines until it has invalidated its own. */
	bool start_invalidates;
	/* Watch the int3 protocol. */
	bool int3;
	struct reg_names regs;

	void (*decode)(const uint8_t *bytes, size_t size, struct insn *insn);
	/* Is this where exceptions enter? Depends on VBAR where there is one. */
	bool (*vector)(uint64_t va, uint64_t vbar);
	bool (*maybe_vector)(uint64_t va);
	/* Old and new may be exchanged while CPUs execute them. */
	bool (*concurrent)(uint32_t old, uint32_t new, bool whole, bool protocol);
	/* Is WRMSR to this one serialising? */
	bool (*wrmsr_syncs)(uint32_t msr);
};

extern const struct model model_x86, model_arm64, model_riscv, model_powerpc, model_loongarch,
			  model_s390;
extern bool big_endian;

static inline uint32_t le32(const uint8_t *b)
{
	return b[0] | b[1] << 8 | b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint32_t be32(const uint8_t *b)
{
	return b[3] | b[2] << 8 | b[1] << 16 | (uint32_t)b[0] << 24;
}

#endif
