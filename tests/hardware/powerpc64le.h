/* SPDX-License-Identifier: GPL-2.0-only */
#define ARCH	"powerpc64le"
#define JUMP	"\x7c\x00\x00\x48"	/* b .+124 */
#define TRAPS	"\x08\x00\xe0\x7f"	/* trap */
#define FETCHED	"If a processor retired such a prefetch, the symptom would be a program check in new code."
#define OLDCODE	"Missing step [...] As on arm64. [...] Without the event [...] in memory that is used again, old code."
#define STEPS	"Missing step [...] As on arm64. [...] Without 2 or 4 [...] Without 3 [...] Without 5"

static struct test tests[] = {
	{ "first", "Nothing for new code, as before this API.", LOOK },
	{ "neighbour", FETCHED, NEIGHBOUR },
	{ "trained", FETCHED, TRAIN },
	{ "reuse", AGAIN, TRAIN | DIRECT | SYNC },
	{ "reuse-nosync", OLDCODE, TRAIN | DIRECT, 0, CONTROL },
	{ "freed-nosync", OLDCODE, TRAIN | NOSYNC, 0, CONTROL },
	{ "no-dcbst", STEPS, TRAIN, NO_CLEAN, CONTROL },
	{ "no-icbi", STEPS, TRAIN, NO_INVAL, CONTROL },
	{ "no-first-sync", STEPS, TRAIN, NO_SYNC1, CONTROL },
	{ "no-second-sync", STEPS, TRAIN, NO_SYNC2, CONTROL },
	{ "torn", CHANGE, TORN, 0, MUST },
	{ "own", "5. sync, isync", OWN | EVENT },
	{ "own-no-isync", OLDCODE, OWN, NO_EVENT, CONTROL },
	{ "predictor", "a prefetch of traps along a predicted path", TIMING, 0, MUST },
};

/* lis 3, hi; ori 3, 3, lo; blr */
#define INSNS(v)	0x3c600000 | v >> 16, 0x60630000 | (v & 0xffff), 0x4e800020
#define EVENT_INSN	"isync"

/* The sequence of the document; with PPC_FEATURE_ICACHE_SNOOP, "a single icbi is enough". */
#define NEEDLESS	(hwcap & 0x2000 ? NO_CLEAN : 0)
#define CLEAN_LINE	32
#define CLEAN(p)	STEP("dcbst 0, %0", "r"(p))
#define SYNC1()		STEP("sync")
#define INVAL_LINE	(hwcap & 0x2000 ? SIZE : 32)
#define INVAL(p)	STEP("icbi 0, %0", "r"(p))
#define SYNC2()		STEP("sync")
#include "risc.h"
