// SPDX-License-Identifier: GPL-2.0-only
/*
 * Try on a processor what Documentation/core-api/text-patching.rst relies on: one thread
 * writes code through a writable mapping, threads on other CPUs execute it through another
 * mapping of the same memory. README.md says what each experiment is about.
 *
 * membarrier(SYNC_CORE), or the flush call of riscv, stands for text_poke_sync().
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define smp_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define ALIGNED		__attribute__((__aligned__(256)))
#define SITES		64	/* indirect call sites that are trained, one for each slot */
#define SLOTS		1024	/* slots that are used once before the memory is renewed */
#define STRIDE		256	/* no line has two of these slots */
#define FAR_TAIL	128	/* where the second half of the code is in them: another line */
#define CLOSE		16	/* here several slots share a line */
#define SIZE		(SLOTS * STRIDE)
#define TORN_A		0x1111111111111111ULL
#define TORN_B		0x2222222222222222ULL
#define NOT_YET		(1ULL << 32)	/* what no slot returns */

/* How an experiment is done. */
#define TRAIN		0x001	/* the call site has called this address before */
#define NEIGHBOUR	0x002	/* the reader waits in code of the same line */
#define DIRECT		0x004	/* new code replaces old code, without traps between */
#define NOSYNC		0x008	/* traps replace old code without synchronisation */
#define SYNC		0x010	/* synchronise all CPUs before the code is published */
#define LOOK		0x020	/* the reader compares the pointer before it calls */
#define EVENT		0x040	/* and then executes a context synchronising event */
#define OWN		0x080	/* one CPU writes and executes */
#define TORN		0x100	/* instructions change while they run */
#define WIDE		0x200	/* with an operand of eight bytes */
#define TIMING		0x400	/* has the predictor learnt? */
#define ALONE		(OWN | TIMING)
#define IN_FLIGHT(how)	(((how) & (TRAIN | LOOK | SYNC)) == TRAIN)	/* can be counted */

#define LENGTH(how)	((how) & NEIGHBOUR ? CODE : FAR_TAIL + CODE)

/* Steps of the writer that an experiment leaves out. */
#define NO_CLEAN	0x01
#define NO_SYNC1	0x02
#define NO_INVAL	0x04
#define NO_SYNC2	0x08
#define NO_EVENT	0x10
#define LOCAL		0x20	/* riscv: has the local flush */

enum { CLAIM, CONTROL, MUST };	/* MUST: a control without which a run proves little */

struct test {
	const char *name, *sentence;
	unsigned int how, skip;
	int role;
	bool ran, shown;
};

static uint8_t *rw, *rx;
static unsigned long hwcap, ctr;

/* Sentences about more than one architecture. */
#define LEARNS	"Any CPU that learns dst through ordinary synchronisation executes the new code"
#define AGAIN	"To reuse memory that has held code, take these steps in order: [...] Call text_poke_sync()"
#define GRANT	"the allocator need not wait, because the next owner of the memory takes step 4"
#define CHANGE	"text_poke_copy() must not change code that may be running."

#if defined(__x86_64__)
#include "x86_64.h"
#elif defined(__aarch64__)
#include "arm64.h"
#elif defined(__riscv) && __riscv_xlen == 64
#include "riscv64.h"
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#include "powerpc64le.h"
#else
#error "there are no experiments for this architecture yet"
#endif

enum { GOOD, TRAP, OLD, MIXED, RESULTS };
enum { SIBLING, NEAR, FAR, ALL, PLACES };
static const char * const place_name[] = { "sibling", "near", "far", "all", "-" };

struct reader {
	uint32_t at;			/* the last step that it has taken */
	int cpu;
	unsigned long long n[RESULTS], in_flight;
	uint32_t got, wanted;		/* of the first mixture */
	pthread_t thread;
} ALIGNED;

/* What an experiment has shown with readers at one place. */
struct row {
	unsigned long long n[RESULTS], runs, bad, in_flight;
	char note[80];
	bool shown;
};

static struct {
	const struct test *test;
	uint32_t ALIGNED step;
	bool stop;
	struct { uint64_t where; } ALIGNED pub[SITES];
	struct reader reader[PLACES];
	int nr_readers;
} x;

static int writer_cpu = -1, cpus, place_cpu[] = { -1, -1, -1 };
static unsigned long allowed[128];	/* 8192 CPUs */
static uint64_t end;			/* of the experiment that runs */
static uint32_t step;			/* of the writer */
static __thread sigjmp_buf env;
static __thread volatile bool armed;
static __thread unsigned int seed = 1;

static void give_up(const char *why)
{
	fprintf(stderr, "nothing can be tried here: %s\n", why);
	exit(3);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static unsigned int rnd(unsigned int below)
{
	return rand_r(&seed) % below;
}

static void pin(int cpu)
{
	unsigned long mask[ARRAY_SIZE(allowed)] = { 0 };

	mask[cpu / 64] = 1UL << cpu % 64;
	syscall(SYS_sched_setaffinity, 0, sizeof(mask), mask);
}

static void on_trap(int sig)
{
	if (armed)
		siglongjmp(env, sig == SIGTRAP || sig == SIGILL ? TRAP : MIXED);
	signal(sig, SIG_DFL);	/* a fault of this program */
}

/* What stands for text_poke_sync(). */
static bool sync_all(void)
{
#ifdef __riscv
	return !syscall(259, rx, rx + SIZE, 0);		/* riscv_flush_icache() */
#else
	return !syscall(SYS_membarrier, 1 << 5, 0, 0);	/* PRIVATE_EXPEDITED_SYNC_CORE */
#endif
}

static uint32_t value(uint32_t n)
{
	return n * 2654435761u | 1;	/* differs from its neighbours, and is not 0 */
}

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
	asm volatile("" : : "i"(n));	/* no function is like another */ \
	return look_and_call(where, before, how);			\
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
	uint64_t mask = x.test->how & WIDE ? UINT64_MAX : UINT32_MAX;

	while (__atomic_load_n(&x.step, __ATOMIC_ACQUIRE) == step) {
		int result = sigsetjmp(env, 0);

		armed = true;
		for (int i = 0; i < 1000 && !result; i++) {
			uint64_t v = code() & mask;

			r->n[v == (TORN_A & mask) || v == (TORN_B & mask) ? GOOD : MIXED]++;
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
			smp_store_release(&r->at, ++step);
			wait_for(&x.step, ++step);
			for (i = 0; i < SITES; i++) {
				smp_store_release(&r->at, ++step);
				run_slot(r, i, (uint64_t)not_published, 0, value(n + SITES + i),
					 value(n + i), rnd(128), true);
			}
			n += 2 * SITES;
		} else {
			for (i = 1; i < SLOTS; i++) {
				smp_store_release(&r->at, ++step);
				run_slot(r, 0, slot(i - 1), value(n + i - 1), value(n + i), 0, 0, true);
			}
			n += SLOTS;
		}
		smp_store_release(&r->at, ++step);
	}
}

static void wait_readers(void)
{
	++step;
	for (int i = 0; i < x.nr_readers; i++)
		wait_for(&x.reader[i].at, step);
}

static void put(unsigned int i, uint32_t v)
{
	uint8_t code[CODE], *p = rw + (slot(i) - (uint64_t)rx);

	encode(code, v);
	if (x.test->how & NEIGHBOUR) {
		memcpy(p, code, CODE);
		return;
	}
	/* Either half may come first. */
	for (unsigned int n = 0, half = rnd(2); n < 2; n++, half ^= 1) {
		if (half)
			memcpy(p + FAR_TAIL, code + HEAD, CODE - HEAD);
		else
			memcpy(mempcpy(p, code, HEAD), JUMP, sizeof(JUMP) - 1);
		asm volatile("" : : : "memory");
	}
}

static void fill_traps(size_t size)
{
	for (size_t i = 0; i < size; i += 4)
		memcpy(rw + i, TRAPS, 4);
	flush(rx, size, 0);
}

/* Old code in all slots that are trained, everywhere visible. */
static void put_old(uint32_t n)
{
	for (int i = 0; i < SITES; i++) {
		put(i, value(n + i));
		smp_store_release(&x.pub[i].where, slot(i));
	}
	flush(rx, SITES * STRIDE, 0);
	sync_all();
}

/* New code for slots, for each as soon as the readers look for it. */
static void write_slots(unsigned int from, unsigned int to, uint32_t n)
{
	smp_store_release(&x.step, ++step);
	for (unsigned int i = from; i < to; i++) {
		wait_readers();
		asm volatile("" : : "r"(slow_zero(rnd(64))) : "memory");
		put(i, value(n + i));
		flush((uint8_t *)slot(i), LENGTH(x.test->how), x.test->skip);
		if (x.test->how & SYNC)
			sync_all();
		smp_store_release(&x.pub[x.test->how & TRAIN ? i : 0].where, slot(i));
	}
	wait_readers();
}

static void write_new(uint32_t *n)
{
	madvise(rw, SIZE, MADV_REMOVE);		/* other pages */
	fill_traps(x.test->how & NEIGHBOUR ? SLOTS * CLOSE : SIZE);
	for (int i = 0; i < SIZE; i += 4096)
		(void)*(volatile uint8_t *)(rx + i);	/* no page faults later */
	put(0, value(*n));
	flush(rx, STRIDE, 0);
	sync_all();
	smp_store_release(&x.pub[0].where, slot(0));
	write_slots(1, SLOTS, *n);
	*n += SLOTS;
}

static void write_again(uint32_t *n)
{
	put_old(*n);
	smp_store_release(&x.step, ++step);
	wait_readers();
	for (int i = 0; i < SITES; i++)
		smp_store_release(&x.pub[i].where, (uint64_t)not_published);
	if (!(x.test->how & DIRECT))
		fill_traps(SITES * STRIDE);
	if (!(x.test->how & (DIRECT | NOSYNC)))
		sync_all();
	write_slots(0, SITES, *n + SITES);
	*n += 2 * SITES;
}

static void write_torn(uint32_t *n)
{
	size_t start = torn_start(x.test->how, (*n)++);
	uint64_t until = now() + 20000000;

	put_torn(rw + start, x.test->how, TORN_A);
	flush(rx + start, CODE, 0);
	sync_all();
	smp_store_release(&x.pub[0].where, (uint64_t)rx + start);
	smp_store_release(&x.step, ++step);
	for (int i = 0; i % 100 || now() < until; i++) {
		change_torn(rw + start, x.test->how, i & 1 ? TORN_A : TORN_B);
		flush(rx + start, CODE, 0);
		if (x.test->how & SYNC)
			sync_all();
	}
	smp_store_release(&x.step, ++step);
	wait_readers();
}

static void write_own(uint32_t *n)
{
	put_old(*n);
	event();
	train(x.reader, *n);
	for (int i = 0; i < SITES; i++) {
		put(i, value(*n + SITES + i));
		flush((uint8_t *)slot(i), LENGTH(x.test->how), x.test->skip);
		if (x.test->how & EVENT)
			event();
		run_slot(x.reader, i, 0, 0, value(*n + SITES + i), value(*n + i), 0, true);
	}
	*n += 2 * SITES;
}

/* How long does a call take that goes where it went before, and one that goes elsewhere? */
static void measure(struct row *row)
{
	double count[2] = { 0 }, mean[2] = { 0 }, squares[2] = { 0 }, away;

	put_old(1);
	event();
	train(x.reader, 1);
	for (int i = 0; i || now() < end; i = (i + 1) % SITES) {
		int other = rnd(2), target = (i + 17 * other) % SITES;
		uint64_t t;

		for (int k = 0; k < 3; k++)
			run_slot(x.reader, i, 0, 0, value(1 + i), 0, 24, false);
		smp_store_release(&x.pub[i].where, slot(target));
		t = now();
		run_slot(x.reader, i, 0, 0, value(1 + target), 0, 24, true);
		t = now() - t;
		smp_store_release(&x.pub[i].where, slot(i));
		if (t > 2000)
			continue;	/* interrupted */
		away = t - mean[other];
		mean[other] += away / ++count[other];
		squares[other] += away * (t - mean[other]);
	}
	sprintf(row->note, "a call takes %.1f ns as before, %.1f ns to another target", mean[0], mean[1]);
	away = mean[1] - mean[0];
	/* At least a nanosecond, and five standard errors. */
	row->shown = away > 1 && away * away > 25 * (squares[0] / count[0] / count[0] +
						     squares[1] / count[1] / count[1]);
}

static void run(struct test *test, int place, struct row *row, double seconds)
{
	void (*write)(uint32_t *n) = test->how & TORN ? write_torn : test->how & OWN ? write_own :
				     test->how & TRAIN ? write_again : write_new;
	uint32_t n = 1;

	memset(&x, 0, sizeof(x));
	x.test = test;
	step = 0;
	fill_traps(SIZE);
	sync_all();
	for (int p = SIBLING; p <= FAR; p++) {
		struct reader *r = &x.reader[x.nr_readers];

		r->cpu = place_cpu[p];
		if (r->cpu < 0 || (place != p && place != ALL))
			continue;
		if (pthread_create(&r->thread, NULL, reader, r))
			give_up("no threads");
		x.nr_readers++;
	}
	end = now() + seconds * 1e9;
	if (test->how & TIMING)
		measure(row);
	while (now() < end)
		write(&n);
	x.stop = true;
	smp_store_release(&x.step, ++step);
	for (int i = 0; i < PLACES; i++) {
		struct reader *r = &x.reader[i];

		if (i < x.nr_readers)
			pthread_join(r->thread, NULL);
		for (int k = 0; k < RESULTS; k++)
			row->n[k] += r->n[k];
		row->in_flight += r->in_flight;
		if (r->got && !(test->how & TORN))
			sprintf(row->note, "returned %#x, not %#x", r->got, r->wanted);
	}
	row->bad = row->n[TRAP] + row->n[OLD] + row->n[MIXED];
	row->runs = row->n[GOOD] + row->bad;
	row->shown |= !!row->bad;
	test->ran |= !!row->runs;
	test->shown |= row->shown;
}

/* What /proc and /sys say about the machine: its processors, and how far they are apart. */

/* Do two CPUs differ in a file of /sys? -1 if that is not known. */
static int differ(int a, int b, const char *name)
{
	char path[128], text[2][4096] = { 0 };
	int fd, n;

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/%s", i ? b : a, name);
		fd = open(path, O_RDONLY);
		n = read(fd, text[i], sizeof(text[i]) - 1);
		close(fd);
		if (n <= 0)
			return -1;
	}
	return !!strcmp(text[0], text[1]);
}

/* 0 for threads of one core; what is not known counts as near. */
static int distance(int a, int b)
{
	if (!differ(a, b, "topology/thread_siblings_list"))
		return 0;
	return 1 + (differ(a, b, "cache/index2/shared_cpu_list") > 0) +
		2 * (differ(a, b, "cache/index3/shared_cpu_list") > 0) +
		4 * (differ(a, b, "topology/die_id") > 0) +
		8 * (differ(a, b, "topology/physical_package_id") > 0);
}

/* The writer takes the first CPU; one reader each: a sibling, the nearest core, the farthest. */
static void find_places(void)
{
	int d;

	if (syscall(SYS_sched_getaffinity, 0, sizeof(allowed), allowed) < 0)
		give_up("the CPUs are not known");
	for (int cpu = 0; cpu < 64 * (int)ARRAY_SIZE(allowed); cpu++) {
		if (!(allowed[cpu / 64] >> cpu % 64 & 1))
			continue;
		if (!cpus++) {
			writer_cpu = cpu;
			continue;
		}
		d = distance(writer_cpu, cpu);
		if (!d)
			place_cpu[SIBLING] = cpu;
		else if (place_cpu[NEAR] < 0 || d < distance(writer_cpu, place_cpu[NEAR]))
			place_cpu[NEAR] = cpu;
		if (d && (place_cpu[FAR] < 0 || d >= distance(writer_cpu, place_cpu[FAR])))
			place_cpu[FAR] = cpu;
	}
	if (distance(writer_cpu, place_cpu[FAR]) == distance(writer_cpu, place_cpu[NEAR]))
		place_cpu[FAR] = -1;
}

/* The lines of /proc/cpuinfo that name a processor, each value once; a hypervisor; the kernel. */
static const char system_is[] =
	"awk -F '[\t ]*: ' '$1 ~ /^(vendor_id|model name|cpu family|model|stepping|microcode|isa|uarch|cpu|"
	"revision|CPU (implementer|architecture|variant|part|revision)|mvendorid|marchid|mimpid)$/ && !seen[$0]++ {"
	"	printf \"%-17s%s\\n\", $1, $2 }' /proc/cpuinfo\n"
	"vm='no sign of one'\n"
	"! test -e /sys/hypervisor/type || vm='yes: /sys/hypervisor'\n"
	"! test -e /proc/device-tree/hypervisor || vm='yes: the device tree says so'\n"
	"! grep -q '^flags.* hypervisor' /proc/cpuinfo || vm='yes: flag \"hypervisor\"'\n"
	"printf '%-17s%s\\n' 'virtual machine' \"$vm\" kernel \"$(uname -r)\" date \"$(date -u +%F)\"";

/* Other work costs runs: who waits for a CPU executes nothing. */
static void print_load(const char *when)
{
	double load;

	if (getloadavg(&load, 1) == 1)
		printf("%-17s%.1f\n", when, load);
}

static void print_machine(void)
{
	printf("What text-patching.rst relies on, tried on a processor (" ARCH ")\n\n");
	if (system(system_is))
		printf("%-17snot known\n", "processor");
	printf("%-17s%d\n%-17s%s\n", "CPUs", cpus, "compiler", __VERSION__);
	if (ctr)
		printf("%-17s%#lx (IDC %lu, DIC %lu)\n", "CTR_EL0", ctr, ctr >> 28 & 1, ctr >> 29 & 1);
	printf("%-17s%#lx\n", "AT_HWCAP", hwcap);
	print_load("load at first");
	printf("%-17s%d\n", "writer on CPU", writer_cpu);
	for (int p = SIBLING; p <= FAR; p++)
		if (place_cpu[p] >= 0)
			printf("%-17s%d (%s)\n", "reader on CPU", place_cpu[p], place_name[p]);
		else
			printf("%-17snone (%s)\n", "reader on CPU", place_name[p]);
}

static void print_row(const struct test *t, int place, const struct row *row)
{
	/* On x86 there is a sentence about the sibling thread alone. */
	const char *sentence = SNOOP && place == SIBLING && t->role == CLAIM && !(t->how & DIRECT) ?
			       SNOOP : t->sentence;
	static const char *last = "";
	char in_flight[24] = "-";

	if (strcmp(sentence, last))
		printf("\n\"%s\"\n", sentence);
	last = sentence;
	printf("%-15s %-8s ", t->name, place_name[place]);
	if (t->skip & NEEDLESS) {
		printf("not tried: this processor needs no such step\n");
		return;
	}
	if (IN_FLIGHT(t->how))
		sprintf(in_flight, "%llu", row->in_flight);
	printf("%12llu %12s %10llu %10llu %10llu  %s\n",
	       row->runs, in_flight, row->n[TRAP], row->n[OLD], row->n[MIXED],
	       t->role != CLAIM ? row->shown ? "control: shown" : "control: nothing" :
	       row->bad ? "CONTRADICTED" : row->runs ? "held" : "not tried: no time");
	if (*row->note)
		printf("%15s %s\n", "", row->note);
}

/* Returns whether a sentence was contradicted. */
static bool print_verdict(void)
{
	bool proves = true, contradicted = false;
	int controls = 0, shown = 0;

	printf("\n");
	for (struct test *t = tests; t < tests + ARRAY_SIZE(tests); t++) {
		contradicted |= t->role == CLAIM && t->shown;
		if (t->role == CLAIM || t->skip & NEEDLESS)
			continue;
		controls++;
		shown += t->shown;
		if (!t->shown && t->role == MUST) {
			printf("%s: control %s: this run proves little.\n", t->name,
			       t->ran ? "showed nothing" : "did not run");
			proves = false;
		}
	}
	printf("%d of %d controls showed what they control.\n%s\n", shown, controls,
	       contradicted ? "A SENTENCE WAS CONTRADICTED: please send this file." :
	       proves ? "No sentence was contradicted." :
	       "No sentence was contradicted, but this run proves little.");
	return contradicted;
}

/* Can it be tried with readers at this place? */
static bool possible(const struct test *test, int place)
{
	if (test->how & ALONE)
		return place == PLACES;
	if (place == ALL)
		return (place_cpu[SIBLING] >= 0) + (place_cpu[NEAR] >= 0) + (place_cpu[FAR] >= 0) > 1;
	return place < ALL && place_cpu[place] >= 0;
}

static void set_up(void)
{
	struct sigaction action = { .sa_handler = on_trap, .sa_flags = SA_NODEFER };
	static const int signals[] = { SIGTRAP, SIGILL, SIGSEGV, SIGBUS };
	int fd = syscall(SYS_memfd_create, "code", 0);

	if (fd < 0 || ftruncate(fd, SIZE))
		give_up("no memory file");
	rw = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rx = mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (rw == MAP_FAILED || rx == MAP_FAILED)
		give_up("memory cannot be writable here and executable there");
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
	hwcap = getauxval(AT_HWCAP);
#ifdef __aarch64__
	asm volatile("mrs %0, ctr_el0" : "=r"(ctr));
#endif
#ifndef __riscv
	syscall(SYS_membarrier, 1 << 6, 0, 0);	/* REGISTER_PRIVATE_EXPEDITED_SYNC_CORE */
#endif
	if (!sync_all())
		give_up("the kernel cannot synchronise all CPUs for a program");
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 60, jobs = 0;

	if (argc > 2 || !(seconds > 0 && seconds < 1e7)) {
		fprintf(stderr, "usage: %s [SECONDS]\n", argv[0]);
		return 2;
	}
	setlinebuf(stdout);
	set_up();
	find_places();
	print_machine();
	pin(writer_cpu);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		for (int p = SIBLING; p <= PLACES; p++)
			jobs += possible(&tests[i], p) && !(tests[i].skip & NEEDLESS);
	printf("%-17s%.0f, %.1f for each experiment\n\n%-15s %-8s %12s %12s %10s %10s %10s  %s\n",
	       "seconds", seconds, seconds / jobs, "experiment", "reader", "runs", "in flight",
	       "traps", "old", "mixed", "result");
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		for (int p = SIBLING; p <= PLACES; p++)
			if (possible(&tests[i], p)) {
				struct row row = { 0 };

				if (!(tests[i].skip & NEEDLESS))
					run(&tests[i], p, &row, seconds / jobs);
				print_row(&tests[i], p, &row);
			}
	print_load("load at the end");
	return print_verdict();
}
