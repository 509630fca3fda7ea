/* SPDX-License-Identifier: GPL-2.0-only */
#include "risc.h"

#define ARCH	"arm64"
#define JUMP	"\x1f\x00\x00\x14"	/* b .+124 */
#define TRAPS	"\x00\x20\x20\xd4"	/* brk #0x100 */
#define NONE	"Without the event, a CPU may execute traps or, in memory that is used again, old code."
#define CACHE	"Without 2 or 4 a CPU may go on executing the old contents of its cache for ever."
#define ORDER	"Without 3 a line may be fetched again [...] Without 5 the invalidation may still be in progress"

static const struct test tests[] = {
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
ENCODE(0x52800000 | (v & 0xffff) << 5, 0x72a00000 | v >> 16 << 5, 0xd65f03c0)

static inline void event(void)
{
	asm volatile("isb" : : : "memory");
}

/* The sequence of the document, by CTR_EL0.IDC (bit 28) and DIC (29), as the kernel does it. */
static void flush(uint8_t *p, size_t len, unsigned int skip)
{
	size_t d = 4 << (ctr >> 16 & 15), i = 4 << (ctr & 15), at;
	bool idc = ctr >> 28 & 1, dic = ctr >> 29 & 1;

	for (at = 0; at < len && !idc && !(skip & NO_CLEAN); at += d)
		asm volatile("dc cvau, %0" : : "r"(p + at) : "memory");
	if (idc && !(skip & NO_SYNC1))
		asm volatile("dsb ishst" : : : "memory");
	else if (!(skip & NO_SYNC1))
		asm volatile("dsb ish" : : : "memory");
	for (at = 0; at < len && !dic && !(skip & NO_INVAL); at += i)
		asm volatile("ic ivau, %0" : : "r"(p + at) : "memory");
	if (!dic && !(skip & NO_SYNC2))
		asm volatile("dsb ish" : : : "memory");
	if (!(skip & NO_EVENT))
		event();
}
#define ABSENT(skip)	(((skip) & NO_CLEAN && ctr >> 28 & 1) || \
			 ((skip) & (NO_INVAL | NO_SYNC2) && ctr >> 29 & 1))
