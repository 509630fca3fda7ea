/* SPDX-License-Identifier: GPL-2.0-only */
/* Code of three instructions: two make a value, one returns. */
#define HEAD	4
#define CODE	12
#define STEP(insn, ...)	asm volatile(insn : : __VA_ARGS__ : "memory")
#define SNOOP	NULL	/* the sentence about sibling threads is one of x86 */

static void encode(uint8_t *code, uint32_t v)
{
	uint32_t insns[] = { INSNS(v) };

	memcpy(code, insns, sizeof(insns));
}

static inline void event(void)
{
	STEP(EVENT_INSN);
}

#ifdef CLEAN
static void flush(uint8_t *p, size_t len, unsigned int skip)
{
	skip |= NEEDLESS;
	for (size_t at = 0; at < len && !(skip & NO_CLEAN); at += CLEAN_LINE)
		CLEAN(p + at);
	if (!(skip & NO_SYNC1))
		SYNC1();
	for (size_t at = 0; at < len && !(skip & NO_INVAL); at += INVAL_LINE)
		INVAL(p + at);
	if (!(skip & NO_SYNC2))
		SYNC2();
	if (!(skip & NO_EVENT))
		event();
}
#endif

static size_t torn_start(unsigned int how, unsigned int round)
{
	return 0;
}

static void put_torn(uint8_t *code, unsigned int how, uint64_t v)
{
	encode(code, v);
}
#define change_torn	put_torn
