/* SPDX-License-Identifier: GPL-2.0-only */
#define ARCH	"riscv64"
#define JUMP	"\x6f\x00\xc0\x07"	/* j .+124 */
#define TRAPS	"\x73\x00\x10\x00"	/* ebreak */
#define REMOTE	"Without the remote fence any other hart may."
#define ONWRITER "fence.i on each hart, even for new code and on the hart that wrote"

static struct test tests[] = {
	{ "first", LEARNS, SYNC | LOOK },
	{ "neighbour", LEARNS, SYNC | NEIGHBOUR },
	{ "trained", LEARNS, SYNC | TRAIN },
	{ "reuse", AGAIN, TRAIN | DIRECT | SYNC },
	{ "granted", GRANT, TRAIN | NOSYNC | SYNC },
	{ "event", "Stores are visible to the instruction fetch of a hart only after it has executed one",
	  TRAIN | LOOK | EVENT },
	{ "no-fence", REMOTE, TRAIN, 0, CONTROL },
	{ "local-fence", REMOTE, TRAIN, LOCAL, CONTROL },
	{ "reuse-nosync", REMOTE, TRAIN | DIRECT, 0, CONTROL },
	{ "reuse-local", REMOTE, TRAIN | DIRECT, LOCAL, CONTROL },
	{ "torn", CHANGE, TORN | SYNC, 0, MUST },
	{ "own", ONWRITER, OWN | EVENT },
	{ "own-local", ONWRITER, OWN, LOCAL },
	{ "own-nosync", "Without the local fence the writer may execute the old contents of its instruction cache.",
	  OWN, 0, CONTROL },
	{ "predictor", "an implementation may have fetched the traps at any time before", TIMING, 0, MUST },
};

/* lui a0, hi; addiw a0, a0, lo; ret */
#define INSNS(v)	((v + 0x800) & 0xfffff000) | 0x537, (v & 0xfff) << 20 | 0x5051b, 0x8067
#define EVENT_INSN	".4byte 0x100f"		/* fence.i */
#define NEEDLESS	0
#include "risc.h"

static void flush(uint8_t *p, size_t len, unsigned int skip)
{
	if (skip & LOCAL)
		syscall(259, p, p + len, 1);	/* SYS_RISCV_FLUSH_ICACHE_LOCAL */
}
