/* SPDX-License-Identifier: GPL-2.0-only */
#define ARCH	"x86_64"
#define HEAD	5	/* mov $low, %eax */
#define CODE	11	/* or $high, %eax; ret */
#define JUMP	"\xeb\x79"	/* from the end of the head to FAR_TAIL */
#define TRAPS	"\xcc\xcc\xcc\xcc"
#define NEEDLESS 0	/* steps that this processor does not need */
#define SNOOP	"There the core discards what either of its threads has in flight from that line"
#define MIXTURE	"Without the broadcast the manuals permit a CPU to execute a mixture of old and new bytes after re-use."

static struct test tests[] = {
	{ "first", "Nothing for new code.", LOOK },
	{ "neighbour", "A store to a line discards instructions in flight that were fetched from it.",
	  NEIGHBOUR },
	{ "trained", "So speculation into traps ends in a refetch, not in a trap.", TRAIN },
	{ "reuse", AGAIN, TRAIN | DIRECT | SYNC },
	{ "reuse-nosync", MIXTURE, TRAIN | DIRECT, 0, CONTROL },
	{ "freed-nosync", MIXTURE, TRAIN | NOSYNC, 0, CONTROL },
	{ "torn32", CHANGE, TORN, 0, MUST },
	{ "torn64", CHANGE, TORN | WIDE, 0, MUST },
	{ "own", "a serialising instruction before that CPU executes the new code.", OWN | EVENT },
	{ "own-nosync", "the instructions that the writing CPU has prefetched uses linear addresses, and would miss such a store.",
	  OWN, 0, CONTROL },
	{ "predictor", "a branch predictor sent the front end there", TIMING, 0, MUST },
};

static void encode(uint8_t *code, uint32_t v)
{
	uint32_t low = v & 0xffff, high = v & 0xffff0000;

	memcpy(code, "\xb8....\x0d....\xc3", CODE);
	memcpy(code + 1, &low, 4);
	memcpy(code + HEAD + 1, &high, 4);
}

static inline void event(void)
{
	unsigned int a = 0, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d) : : "memory");
}

static void flush(uint8_t *p, size_t len, unsigned int skip)
{
	asm volatile("" : : "r"(p), "r"(len), "r"(skip) : "memory");
}

static size_t torn_start(unsigned int how, unsigned int round)
{
	return how & WIDE ? 64 - 2 - 1 - round % 7 : 64 - 1 - 1 - round % 3;
}

/* Only the operand: one store, across two lines. */
static void change_torn(uint8_t *code, unsigned int how, uint64_t v)
{
	memcpy(code + (how & WIDE ? 2 : 1), &v, how & WIDE ? 8 : 4);
	asm volatile("" : : : "memory");
}

static void put_torn(uint8_t *code, unsigned int how, uint64_t v)
{
	/* movabs $v, %rax; ret, or mov $v, %eax; ret */
	memcpy(code, how & WIDE ? "\x48\xb8........\xc3" : "\xb8....\xc3.....", 11);
	change_torn(code, how, v);
}
