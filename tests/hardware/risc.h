/* SPDX-License-Identifier: GPL-2.0-only */
/* Code of three instructions: two make a value, one returns. */
#define HEAD	4
#define CODE	12
static void encode(uint8_t *code, uint32_t v);
#define ENCODE(a, b, c)							\
static void encode(uint8_t *code, uint32_t v)				\
{									\
	uint32_t insn[] = { a, b, c };					\
									\
	memcpy(code, insn, sizeof(insn));				\
}

static size_t torn_start(unsigned int how, unsigned int round)
{
	return 0;
}

static void put_torn(uint8_t *code, unsigned int how, uint64_t v)
{
	encode(code, v);
}
#define change_torn	put_torn
