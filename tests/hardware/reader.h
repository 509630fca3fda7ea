/* SPDX-License-Identifier: GPL-2.0-only */
/* The side that executes: indirect call sites, and the thread that calls through them. */

static uint64_t not_published(void)
{
	return 0;
}

/* 0, but the CPU has to divide n times before it knows. */
static uint64_t slow_zero(unsigned int n)
{
	uint64_t start = 0x123456789abcdefULL, v = start, one = 1;

	asm volatile("" : "+r"(v), "+r"(one));
	while (n--)
		v /= one;
	return v - start;
}

/* SITES functions, each with an indirect call of its own. */
static inline __attribute__((__always_inline__))
uint64_t look_and_call(const uint64_t *where, uint64_t before, unsigned int how)
{
	uint64_t p = __atomic_load_n(where, __ATOMIC_RELAXED);	/* as rcu_dereference() */

	if (how & LOOK) {
		if (p == before)
			return NOT_YET;
		if (how & EVENT)
			event();
	}
	return (uint32_t)((uint64_t (*)(void))p)();
}

#define SITE(n)								\
static __attribute__((__noinline__))					\
uint64_t site_##n(const uint64_t *where, uint64_t before, unsigned int how) \
{									\
	uint64_t v = look_and_call(where, before, how);			\
									\
	asm volatile("" : : "i"(n));	/* no function is like another */ \
	return v;							\
}
#define NAME(n)		site_##n,
#define EIGHT(do, n)	do(n##0) do(n##1) do(n##2) do(n##3) do(n##4) do(n##5) do(n##6) do(n##7)
#define ALL_SITES(do)	EIGHT(do, 00) EIGHT(do, 01) EIGHT(do, 02) EIGHT(do, 03) \
			EIGHT(do, 04) EIGHT(do, 05) EIGHT(do, 06) EIGHT(do, 07)
ALL_SITES(SITE)
static uint64_t (* const sites[SITES])(const uint64_t *, uint64_t, unsigned int) = { ALL_SITES(NAME) };

static uint64_t slot(unsigned int i)
{
	return (uint64_t)rx + i * (x.test->how & NEIGHBOUR ? CLOSE : STRIDE);
}

static void wait_for(uint32_t *what, uint32_t value)
{
	unsigned int n = 0;

	/* It may be ahead, where wrong code has run. */
	while ((int32_t)(__atomic_load_n(what, __ATOMIC_ACQUIRE) - value) < 0)
		if (!(++n % 4096))
			sched_yield();
}

/* Call through a site until new code, or a trap, has run. Count runs, or only what is wrong. */
static void run_slot(struct reader *r, int site, uint64_t before, uint32_t waiting, uint32_t new,
		     uint32_t old, unsigned int divisions, bool count)
{
	const uint64_t *where = &x.pub[site].where;
	volatile unsigned int tries = 0;
	int result = sigsetjmp(env, 0);
	uint64_t v;

	if (!result) {
		armed = true;
		do {
			if (!(++tries % 4096))
				sched_yield();
			v = sites[site](where + slow_zero(divisions), before, x.test->how);
		} while (v == NOT_YET || v == waiting);
		result = v == new ? GOOD : v == old ? OLD : MIXED;
		if (result == MIXED && !r->n[MIXED]) {
			r->got = v;
			r->wanted = new;
		}
	}
	armed = false;
	if (result || count)
		r->n[result]++;
	if (count && tries == 1)
		r->in_flight++;
}

static void train(struct reader *r, uint32_t n)
{
	for (int i = 0; i < 4 * SITES; i++)
		run_slot(r, i % SITES, 0, 0, value(n + i % SITES), 0, rnd(32), false);
}

static void read_torn(struct reader *r, uint32_t step)
{
	uint64_t (*code)(void) = (void *)__atomic_load_n(&x.pub[0].where, __ATOMIC_RELAXED);
	bool wide = x.test->how & WIDE;
	uint64_t a = wide ? TORN_A : (uint32_t)TORN_A, b = wide ? TORN_B : (uint32_t)TORN_B;

	while (__atomic_load_n(&x.step, __ATOMIC_ACQUIRE) == step) {
		int result = sigsetjmp(env, 0);

		armed = true;
		for (int i = 0; i < 1000 && !result; i++) {
			uint64_t v = wide ? code() : (uint32_t)code();

			r->n[v == a || v == b ? GOOD : MIXED]++;
		}
		armed = false;
		if (result)
			r->n[result]++;
	}
}

/* The steps of reader() and of the writer follow each other, and both count them. */
static void *reader(void *arg)
{
	struct reader *r = arg;
	unsigned int how = x.test->how;
	uint32_t step = 0, n = 1, i;

	pin(r->cpu);
	seed += r->cpu;
	for (;;) {
		wait_for(&x.step, ++step);
		if (x.stop)
			return NULL;
		if (how & TORN) {
			read_torn(r, step);
			wait_for(&x.step, ++step);
		} else if (how & TRAIN) {
			train(r, n);
			__atomic_store_n(&r->at, ++step, __ATOMIC_RELEASE);
			wait_for(&x.step, ++step);
			for (i = 0; i < SITES; i++) {
				__atomic_store_n(&r->at, ++step, __ATOMIC_RELEASE);
				run_slot(r, i, (uint64_t)not_published, 0, value(n + SITES + i),
					 value(n + i), rnd(128), true);
			}
			n += 2 * SITES;
		} else {
			for (i = 1; i < SLOTS; i++) {
				__atomic_store_n(&r->at, ++step, __ATOMIC_RELEASE);
				run_slot(r, 0, slot(i - 1), value(n + i - 1), value(n + i), 0, 0, true);
			}
			n += SLOTS;
		}
		__atomic_store_n(&r->at, ++step, __ATOMIC_RELEASE);
	}
}
