/* SPDX-License-Identifier: GPL-2.0-only */
#define ARCH	"arm64"
#define JUMP	"\x1f\x00\x00\x14"	/* b .+124 */
#define TRAPS	"\x00\x20\x20\xd4"	/* brk #0x100 */
#define NONE	"Without the event, a CPU may execute traps or, in memory that is used again, old code."
#define CACHE	"Without 2 or 4 a CPU may go on executing the old contents of its cache for ever."
#define ORDER	"Without 3 a line may be fetched again [...] Without 5 the invalidation may still be in progress"

static struct test tests[] = {
	{ "first", LEARNS, SYNC | LOOK },
	{ "neighbour", LEARNS, SYNC | NEIGHBOUR },
	{ "trained", LEARNS, SYNC | TRAIN },
	{ "reuse", AGAIN, TRAIN | DIRECT | SYNC },
	{ "granted", GRANT, TRAIN | NOSYNC | SYNC },
	{ "event", "It answers Never if the reader branches on the flag and then executes an ISB.", TRAIN | LOOK | EVENT },
	{ "no-event", NONE, TRAIN, 0, CONTROL },
	{ "reuse-nosync", NONE, TRAIN | DIRECT, 0, CONTROL },
	{ "no-dc", CACHE, TRAIN | LOOK | EVENT, NO_CLEAN, CONTROL },
	{ "no-ic", CACHE, TRAIN | LOOK | EVENT, NO_INVAL, CONTROL },
	{ "no-first-dsb", ORDER, TRAIN | LOOK | EVENT, NO_SYNC1, CONTROL },
	{ "no-second-dsb", ORDER, TRAIN | LOOK | EVENT, NO_SYNC2, CONTROL },
	{ "torn", CHANGE, TORN, 0, MUST },
	{ "own", "A context synchronising event after step 5, even for new code.", OWN | EVENT },
	{ "own-no-isb", NONE, OWN, NO_EVENT, CONTROL },
	{ "predictor", "The architecture does not limit how early an instruction may be fetched",
	  TIMING, 0, MUST },
};

/* movz w0, #lo; movk w0, #hi, lsl 16; ret */
#define INSNS(v)	0x52800000 | (v & 0xffff) << 5, 0x72a00000 | v >> 16 << 5, 0xd65f03c0
#define EVENT_INSN	"isb"

/* The sequence of the document, by CTR_EL0.IDC (bit 28) and DIC (29), as the kernel does it. */
#define NEEDLESS	((ctr >> 28 & 1) * NO_CLEAN | (ctr >> 29 & 1) * (NO_INVAL | NO_SYNC2))
#define CLEAN_LINE	(4 << (ctr >> 16 & 15))
#define CLEAN(p)	STEP("dc cvau, %0", "r"(p))
#define SYNC1()		do { if (ctr >> 28 & 1) STEP("dsb ishst"); else STEP("dsb ish"); } while (0)
#define INVAL_LINE	(4 << (ctr & 15))
#define INVAL(p)	STEP("ic ivau, %0", "r"(p))
#define SYNC2()		STEP("dsb ish")
#include "risc.h"
