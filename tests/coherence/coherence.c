// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU fetches instructions coherently, hardware need not. This plugin follows
 * stores, cache maintenance and executions, and reports when a CPU executes
 * bytes that its architecture does not yet promise it (rule "execution"), when a
 * broadcast has returned although a CPU has not synchronised (rule "obligation"),
 * and when a phase of x86's int3 protocol begins too early (rule "protocol").
 *
 * Time is a counter that only maintenance and synchronisation advance. A store
 * notes the present count, so events with a higher count come after it. That
 * keeps stores, of which there are hundreds of millions, free of contention.
 *
 * What a block of code needs is computed when QEMU translates it. QEMU throws a
 * block away when its bytes are stored to, so the newest store is fixed for the
 * life of the block, and executing it costs one comparison with the time of the
 * CPU's last synchronisation.
 *
 * Strict and transient. Bytes that were never executed before they were stored
 * (NEW) may not be executed early under any rule. Nor may bytes of the text_poke
 * API (POKE) once a broadcast that began after the store has ended. Bytes that
 * replace executed ones while other CPUs run may be old or new until these CPUs
 * synchronise, where the architecture allows that exchange: a report about them
 * is TRANSIENT. Missing maintenance of the caches is TRANSIENT only for as long
 * as the storing CPU can still be on its way to it.
 *
 * Not seen: stores by devices and by the loader, and those that QEMU makes
 * without telling: arm64's MOPS, perhaps Power's dcbz (DC ZVA is decoded). A store of another CPU can become visible to QEMU before
 * its callback has run; a block translated in between is judged by the previous
 * store. Both can hide a fault, never invent one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "qemu-plugin-api.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = COHERENCE_API;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#define MAX_CPUS 32
#define GRANULE_SHIFT 2
#define PAGE_SHIFT 12
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define NEVER UINT32_MAX

/* THREAD_SIZE: a kernel stack identifies a task, also when it migrates. */
#define STACK_SHIFT 14

/* A store: time, instruction (index into store_pcs), CPU, flags. */
#define STORE_NEW 1u	/* the bytes had not been executed */
#define STORE_WHOLE 2u	/* the granule was replaced by one store */
#define STORE_POKE 4u	/* by the generic API */
#define STORE_ALIAS 8u	/* not at the address where it is executed */
#define STORE_INT3 16u	/* by the int3 protocol */
#define STORE_CPU_SHIFT 5
#define STORE_PC_SHIFT 10
#define STORE_PC_BITS 22
#define STORE_TIME_SHIFT 32

static inline uint32_t store_time(uint64_t s) { return s >> STORE_TIME_SHIFT; }
static inline unsigned int store_cpu(uint64_t s) { return s >> STORE_CPU_SHIFT & (MAX_CPUS - 1); }
static inline uint32_t store_pc_id(uint64_t s)
{
	return s >> STORE_PC_SHIFT & ((1u << STORE_PC_BITS) - 1);
}

enum missing { MISSING_NOTHING, MISSING_CLEAN, MISSING_INVAL, MISSING_SYNC };
static const char *const missing_names[] = { "nothing", "clean", "invalidate", "sync" };

enum verdict { VIOLATION, TRANSIENT, SUPPRESSED };
static const char *const verdict_names[] = { "VIOLATION", "TRANSIENT", "SUPPRESSED" };

struct pending {
	uint64_t line;
	uint32_t time;		/* when it was executed */
	uint32_t cover;		/* an invalidation works for stores before this */
	bool all;
};

struct list {
	struct pending *p;
	size_t n, max;
};

/* The last stores to executed pages, to see how far the CPU has got since. */
#define RECENT 256
struct recent {
	uint64_t granule;
	uint32_t time;
	uint64_t stores;
};

struct task;

struct cpu {
	/* used by each store */
	uint64_t stores;
	bool poking;
	struct task *task;

	bool present;
	bool caches_known;
	bool online;
	int tid;
	uint64_t vbar;
	uint32_t barrier;
	uint32_t local_start, local_done;
	struct list clean, inval;
	struct recent recent[RECENT];
	unsigned int recent_next;
	uint64_t cleans, invals, syncs;
	GByteArray *buf;
	struct qemu_plugin_register *sp, *arg0, *arg1, *arg2, *count, *x[31];
	bool started;		/* has dropped what it fetched with the MMU off */
} __attribute__((aligned(128)));

struct block {
	uint64_t va;
	uint64_t off[2];	/* at most two pages of guest RAM */
	uint32_t len[2];
	uint32_t need;
};

static const struct model *model;
static __thread unsigned int this_cpu;	/* in translation, which is not told */
bool big_endian;
static struct cpu cpus[MAX_CPUS];
static uint64_t clock_ = 2;	/* 0: never, 1: before the start */
static struct qemu_plugin_scoreboard *board;
static qemu_plugin_u64 sync_at, executed, owes;

static uint64_t ram_size = 512ull << 20;
static uint8_t *ram;

static uint64_t *granules;	/* last store */
static uint32_t *visible_at;	/* since when fetch can see it, lines only */
static uint8_t *fetched;	/* granule has been translated */
static uint32_t *word_now, *word_before;	/* what was translated, lines only */
static uint64_t *page_va;	/* where a page is executed, +1 */
static uint32_t *cleaned;	/* per line: last completed clean */

/* Invalidations of everything: cover[] and done[] rise. */
#define MAX_ALL (1u << 20)
static struct { uint32_t cover, done; } *all;
static uint32_t all_n;

static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void __attribute__((noreturn, format(printf, 1, 2))) refuse(const char *fmt, ...)
{
	va_list args;

	fputs("REFUSED ", out);
	va_start(args, fmt);
	vfprintf(out, fmt, args);
	va_end(args);
	fputc('\n', out);
	fflush(out);
	if (out != stderr) {
		fputs("coherence: REFUSED ", stderr);
		va_start(args, fmt);
		vfprintf(stderr, fmt, args);
		va_end(args);
		fputc('\n', stderr);
	}
	/* QEMU's own exit handlers would wait for the CPU that is here. */
	_exit(1);
}

static void *reserve(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		refuse("no memory for the state of the guest's memory");
	return p;
}

/* ---- time ---- */

static inline uint32_t now(void)
{
	return __atomic_load_n(&clock_, __ATOMIC_RELAXED);
}

static inline uint32_t tick(void)
{
	uint64_t t = __atomic_add_fetch(&clock_, 1, __ATOMIC_ACQ_REL);

	if (t >= NEVER)
		refuse("more than 2^32 events");
	return t;
}

static inline uint32_t sync_of(unsigned int cpu)
{
	return qemu_plugin_u64_get(sync_at, cpu);
}

static void synchronise(unsigned int cpu)
{
	struct cpu *c = &cpus[cpu];

	/*
	 * What was fetched with the MMU off came from memory, where code that was
	 * patched since may not have arrived.
	 */
	if (model->start_invalidates && !c->started) {
		if (!c->local_start || c->local_done <= c->local_start)
			return;
		c->started = true;
	}
	qemu_plugin_u64_set(sync_at, cpu, tick());
	c->syncs++;
}

/* ---- symbols ---- */

static struct symbol {
	uint64_t va;
	char *name;
} *symbols;
static size_t n_symbols;
static uint64_t text_start, text_end, code_end;
/* Virtual minus physical address of the kernel's image, once known. */
static uint64_t text_delta;
static uint32_t kernel_began = NEVER;

static void read_symbols(const char *file)
{
	FILE *f = fopen(file, "r");
	char name[512], type;
	unsigned long long va;
	size_t max = 0;

	if (!f)
		refuse("cannot read symbols=%s", file);
	while (fscanf(f, "%llx %c %511s", &va, &type, name) == 3) {
		if (name[0] == '$' || type == 'a' || type == 'A' || !strncmp(name, "__pfx_", 6))
			continue;
		if (n_symbols == max) {
			max = max ? max * 2 : 1 << 16;
			symbols = realloc(symbols, max * sizeof(*symbols));
		}
		symbols[n_symbols].va = va;
		symbols[n_symbols++].name = strdup(name);
		if (!strcmp(name, "_text"))
			text_start = va;
		else if (!strcmp(name, "_end"))
			text_end = va;
		else if (!strcmp(name, "_etext"))
			code_end = va;
	}
	fclose(f);
	if (!n_symbols)
		refuse("no symbols in %s", file);
}

static const struct symbol *find_symbol(uint64_t va)
{
	size_t lo = 0, hi = n_symbols;

	if (va < text_start || va >= text_end)
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (symbols[mid].va <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &symbols[lo - 1] : NULL;
}

/* Code that runs before the kernel's page tables, or in real mode. */
static uint64_t link_address(uint64_t va)
{
	if (va >= text_start && va < text_end)
		return va;
	if (text_delta && va + text_delta >= text_start && va + text_delta < text_end)
		return va + text_delta;
	return va;
}

static const char *symbol_name(uint64_t va)
{
	const struct symbol *s = find_symbol(link_address(va));

	return s ? s->name : "?";
}

static void print_symbol(FILE *f, uint64_t va)
{
	uint64_t link = link_address(va);
	const struct symbol *s = find_symbol(link);

	if (s)
		fprintf(f, "%s+0x%llx", s->name, (unsigned long long)(link - s->va));
	else
		fputs("?", f);
}

/* ---- suppressions ---- */

static struct suppression {
	char rule[32], sym[128], store[128];
} *suppressions;
static size_t n_suppressions;

static void read_suppressions(const char *file)
{
	FILE *f = fopen(file, "r");
	char line[1024];

	if (!f)
		refuse("cannot read suppress=%s", file);
	while (fgets(line, sizeof(line), f)) {
		struct suppression s;
		char *hash = strchr(line, '#');

		if (!hash && line[strspn(line, " \t\n")])
			refuse("%s: a suppression needs a reason: %s", file, line);
		if (hash)
			*hash = 0;
		if (sscanf(line, "%31s %127s %127s", s.rule, s.sym, s.store) != 3)
			continue;
		suppressions = realloc(suppressions, (n_suppressions + 1) * sizeof(s));
		suppressions[n_suppressions++] = s;
	}
	fclose(f);
}

/*
 * A suppression's rule is execution, execution/clean, or execution/clean/own: the
 * CPU that stores executes the bytes itself on its way to the maintenance.
 */
static const struct suppression *suppressed(const char *rule, const char *missing, bool own,
					    const char *sym, const char *store)
{
	char part[64], full[80];

	snprintf(part, sizeof(part), "%s/%s", rule, missing);
	snprintf(full, sizeof(full), "%s%s", part, own ? "/own" : "");
	for (size_t i = 0; i < n_suppressions; i++) {
		const struct suppression *s = &suppressions[i];

		if ((!strcmp(s->rule, rule) || !strcmp(s->rule, part) || !strcmp(s->rule, full)) &&
		    !fnmatch(s->sym, sym, 0) && !fnmatch(s->store, store, 0))
			return s;
	}
	return NULL;
}

/* ---- reports ---- */

static struct place {
	struct place *next;
	enum verdict verdict;
	const char *rule, *what;	/* what: symbol of rules other than execution */
	const struct suppression *suppression;
	enum missing missing;
	bool early;		/* stored before the kernel ran at its address */
	bool own;		/* by the CPU that executes, on its way to the flush */
	unsigned int cpu, store_cpu;
	uint64_t va, pa, store_pc, count;
	double seconds;		/* since the start */
} *places[4096];
static struct place *place_list[1 << 16];
static struct timespec started;
static size_t n_places;
static uint64_t obligations;

static uint64_t store_pc(uint64_t store);

static double seconds_since_start(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec - started.tv_sec + (t.tv_nsec - started.tv_nsec) / 1e9;
}

static void report(enum verdict verdict, const char *rule, enum missing missing,
			    unsigned int cpu, uint64_t va, uint64_t pa, uint64_t store,
			    bool own, const char *what)
{
	uint64_t hash = (va ^ (uint64_t)missing << 3 ^ verdict ^ (uintptr_t)what) *
			0x9e3779b97f4a7c15ull >> 52;
	uint64_t pc = store ? store_pc(store) : 0;
	const char *sym = what ? what : symbol_name(va);
	const struct suppression *s;
	struct place *p;

	if (!what && !strcmp(sym, "?"))
		sym = symbol_name(pa);
	pthread_mutex_lock(&lock);
	for (p = places[hash]; p; p = p->next)
		if (p->va == va && p->missing == missing && p->rule == rule &&
		    p->what == what && p->own == own &&
		    (what ? p->cpu == cpu : p->store_pc == pc) &&
		    (p->verdict == verdict || p->verdict == SUPPRESSED))
			goto out;
	p = calloc(1, sizeof(*p));
	p->verdict = verdict;
	p->rule = rule;
	p->what = what;
	p->missing = missing;
	p->cpu = cpu;
	p->va = va;
	p->pa = pa;
	p->store_pc = pc;
	p->store_cpu = store_cpu(store);
	p->own = own;
	p->early = store && store_time(store) < kernel_began;
	p->seconds = seconds_since_start();
	if (verdict == VIOLATION) {
		s = suppressed(rule, missing_names[missing], own, sym,
			       p->early ? "early" : pc ? symbol_name(pc) : "?");
		if (s) {
			p->verdict = SUPPRESSED;
			p->suppression = s;
		}
	}
	p->next = places[hash];
	places[hash] = p;
	if (n_places < ARRAY_SIZE(place_list))
		place_list[n_places++] = p;
out:
	p->count++;
	pthread_mutex_unlock(&lock);
}

static void print_place(const struct place *p)
{
	fprintf(out, "%s rule=%s cpu=%u arch=%s va=0x%llx pa=0x%llx sym=",
		verdict_names[p->verdict], p->rule, p->cpu, model->name,
		(unsigned long long)p->va, (unsigned long long)p->pa);
	if (p->what)
		fputs(p->what, out);
	else if (find_symbol(link_address(p->va)))
		print_symbol(out, p->va);
	else
		print_symbol(out, p->pa);
	fprintf(out, " missing=%s store_cpu=%u store_pc=0x%llx store_sym=",
		missing_names[p->missing], p->store_cpu, (unsigned long long)p->store_pc);
	if (p->early)
		fputs("early", out);
	else
		print_symbol(out, p->store_pc);
	fprintf(out, " count=%llu seconds=%.1f", (unsigned long long)p->count, p->seconds);
	if (p->suppression)
		fprintf(out, " suppression=%s:%s:%s", p->suppression->rule,
			p->suppression->sym, p->suppression->store);
	fputc('\n', out);
}

/* ---- which instruction stored ---- */

static uint64_t *store_pcs;
static uint32_t *store_pc_hash;
static uint32_t n_store_pcs = 1;	/* 0: not known */
#define PC_HASH_BITS 23

/* Called with the lock held. */
static uint32_t intern_pc(uint64_t pc)
{
	uint32_t h = pc * 0x9e3779b97f4a7c15ull >> (64 - PC_HASH_BITS);

	while (store_pc_hash[h]) {
		if (store_pcs[store_pc_hash[h]] == pc)
			return store_pc_hash[h];
		h = (h + 1) & ((1u << PC_HASH_BITS) - 1);
	}
	if (n_store_pcs == 1u << STORE_PC_BITS)
		return 0;
	store_pcs[n_store_pcs] = pc;
	return store_pc_hash[h] = n_store_pcs++;
}

static uint64_t store_pc(uint64_t store)
{
	return store_pcs[store_pc_id(store)];
}

/* ---- registers and addresses ---- */

static uint64_t read_reg(struct cpu *c, struct qemu_plugin_register *reg)
{
	uint64_t v = 0;
	int n;

	if (!reg)
		return 0;
	g_byte_array_set_size(c->buf, 0);
	n = qemu_plugin_read_register(reg, c->buf);
	for (int i = 0; i < n && i < 8; i++)
		v |= (uint64_t)c->buf->data[i] << 8 * (big_endian ? n - 1 - i : i);
	return v;
}

/* QEMU's own translation; the interface has one from API 5 on. */
static void *(*get_cpu)(int);
static uint64_t (*get_phys_page)(void *, uint64_t);

/* Offset into RAM, or ~0. */
static uint64_t translate(unsigned int cpu, uint64_t va)
{
	uint64_t page = get_phys_page(get_cpu(cpu), va & ~(PAGE_SIZE - 1));
	uint64_t off;

	if (page == ~0ull)
		return ~0ull;
	off = (page | (va & (PAGE_SIZE - 1))) - model->ram_base;
	return off < ram_size ? off : ~0ull;
}

static void find_ram(void)
{
	void *(*by_name)(const char *) = dlsym(RTLD_DEFAULT, "qemu_ram_block_by_name");
	void *(*host)(void *) = dlsym(RTLD_DEFAULT, "qemu_ram_get_host_addr");
	uint64_t (*length)(void *) = dlsym(RTLD_DEFAULT, "qemu_ram_get_used_length");
	char name[64];
	void *block;

	if (!by_name || !host || !length)
		refuse("this QEMU does not export its memory");
	block = by_name(model->ram);
	if (!block) {
		snprintf(name, sizeof(name), "/objects/%s", model->ram);
		block = by_name(name);
	}
	if (!block)
		refuse("no memory called %s: not the machine this was made for", model->ram);
	if (length(block) != ram_size)
		refuse("the guest has %llu MiB, ram=%llu was given",
		       (unsigned long long)length(block) >> 20, (unsigned long long)ram_size >> 20);
	WRITE_ONCE(ram, host(block));
}

/* ---- maintenance ---- */

static void push(struct list *l, uint64_t line, uint32_t time, uint32_t cover, bool all_lines)
{
	if (l->n == l->max) {
		l->max = l->max ? l->max * 2 : 256;
		l->p = realloc(l->p, l->max * sizeof(*l->p));
	}
	l->p[l->n++] = (struct pending){ line, time, cover, all_lines };
}

static void clean(struct cpu *c, uint64_t off)
{
	c->cleans++;
	push(&c->clean, off >> model->line_shift, tick(), 0, false);
}

/* An invalidation works for what was completely cleaned when it is executed. */
static void invalidate(struct cpu *c, uint64_t off)
{
	uint64_t line = off >> model->line_shift;
	uint32_t cover = READ_ONCE(cleaned[line]);

	c->invals++;
	push(&c->inval, line, tick(), cover, false);
}

static void invalidate_all(struct cpu *c)
{
	uint32_t time = tick();

	c->invals++;
	push(&c->inval, 0, time, model->any_line ? c->barrier : time, true);
}

/* Only the first sufficient invalidation after a store counts. */
static void commit_line(const struct pending *p, uint32_t time)
{
	unsigned int shift = model->line_shift - GRANULE_SHIFT;

	for (uint64_t g = p->line << shift; g < (p->line + 1) << shift; g++) {
		uint32_t w = store_time(READ_ONCE(granules[g]));

		if (w && w < p->cover && READ_ONCE(visible_at[g]) <= w)
			WRITE_ONCE(visible_at[g], time);
	}
}

static void commit_all(const struct pending *p, uint32_t time)
{
	uint32_t cover = p->cover;

	pthread_mutex_lock(&lock);
	if (all_n == MAX_ALL)
		refuse("too many invalidations of the whole instruction cache");
	if (all_n && all[all_n - 1].cover > cover)
		cover = all[all_n - 1].cover;
	if (!all_n || cover > all[all_n - 1].cover) {
		all[all_n].cover = cover;
		all[all_n].done = time;
		__atomic_store_n(&all_n, all_n + 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
}

static void barrier(struct cpu *c)
{
	uint32_t time;

	if (!c->clean.n && !c->inval.n && !model->any_line &&
	    c->local_done >= c->local_start)
		return;
	time = tick();
	for (size_t i = 0; i < c->clean.n; i++) {
		uint32_t *p = &cleaned[c->clean.p[i].line], old = READ_ONCE(*p);

		while (old < c->clean.p[i].time &&
		       !__atomic_compare_exchange_n(p, &old, c->clean.p[i].time, true,
						    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			;
	}
	for (size_t i = 0; i < c->inval.n; i++) {
		if (c->inval.p[i].all)
			commit_all(&c->inval.p[i], time);
		else
			commit_line(&c->inval.p[i], time);
	}
	c->clean.n = c->inval.n = 0;
	if (c->local_done < c->local_start)
		c->local_done = time;
	c->barrier = time;
}

/* Since when all CPUs can see the store in their caches; 0: not yet. */
static uint32_t visible(uint64_t g, uint32_t w)
{
	uint32_t v = READ_ONCE(visible_at[g]), n = __atomic_load_n(&all_n, __ATOMIC_ACQUIRE);
	uint32_t after = w, lo = 0, hi = n;

	if (v <= w)
		v = 0;
	if (!n)
		return v;
	if (!model->any_line) {
		/* IC IALLUIS does not clean. */
		after = READ_ONCE(cleaned[g >> (model->line_shift - GRANULE_SHIFT)]);
		if (after <= w)
			return v;
	}
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (all[mid].cover > after)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo < n && (!v || all[lo].done < v))
		v = all[lo].done;
	return v;
}

/* What this CPU has invalidated for itself, before the barrier for the others. */
static uint32_t visible_here(const struct cpu *c, uint64_t g, uint32_t w)
{
	uint64_t line = g >> (model->line_shift - GRANULE_SHIFT);
	uint32_t done = READ_ONCE(cleaned[line]);

	if (done > w && done < c->local_start && c->local_done > c->local_start)
		return c->local_done;
	/* Power: icbi and isync do for the CPU itself; arm64 wants the DSB. */
	if (!model->any_line)
		return 0;
	for (size_t i = 0; i < c->inval.n; i++)
		if ((c->inval.p[i].all || c->inval.p[i].line == line) && c->inval.p[i].cover > w)
			return c->inval.p[i].time;
	return 0;
}

/* ---- the rule of execution ---- */

/* The CPU has to have synchronised after this to execute the granule. */
static uint32_t need(uint64_t g)
{
	uint64_t s = READ_ONCE(granules[g]);
	uint32_t w = store_time(s), v;

	if (!w || (model->new_free && s & STORE_NEW))
		return 0;
	if (!model->lines)
		return w;
	v = visible(g, w);
	return v ? v : NEVER;
}

static enum missing check_granule(unsigned int cpu, uint64_t g, uint64_t s)
{
	uint32_t w = store_time(s), v;

	if (!w)
		return MISSING_NOTHING;
	if (!model->lines) {
		if (model->new_free && s & STORE_NEW)
			return MISSING_NOTHING;
		if (model->self_free && store_cpu(s) == cpu && !(s & STORE_ALIAS))
			return MISSING_NOTHING;
		return sync_of(cpu) > w ? MISSING_NOTHING : MISSING_SYNC;
	}
	v = visible(g, w);
	if (!v)
		v = visible_here(&cpus[cpu], g, w);
	if (!v)
		return READ_ONCE(cleaned[g >> (model->line_shift - GRANULE_SHIFT)]) > w ?
		       MISSING_INVAL : MISSING_CLEAN;
	if (model->new_free_remote && s & STORE_NEW && store_cpu(s) != cpu)
		return MISSING_NOTHING;
	return sync_of(cpu) > v ? MISSING_NOTHING : MISSING_SYNC;
}

/* When the last complete broadcast began. */
static uint32_t broadcast_began;

/*
 * Stores that the CPU which patches can make between the store and the flush,
 * an interrupt included.
 */
#define ON_ITS_WAY 2000

static bool on_its_way(uint64_t g, uint64_t s)
{
	const struct cpu *c = &cpus[store_cpu(s)];

	for (unsigned int i = 0; i < RECENT; i++) {
		const struct recent *r = &c->recent[i];

		if (r->granule == g && r->time == store_time(s))
			return c->stores - r->stores < ON_ITS_WAY;
	}
	return false;
}

static enum verdict judge(unsigned int cpu, uint64_t g, uint64_t s, enum missing missing)
{
	if (s & STORE_NEW)
		return VIOLATION;
	if (s & STORE_POKE)
		return store_time(s) < READ_ONCE(broadcast_began) ? VIOLATION : TRANSIENT;
	if (model->own_sync && store_cpu(s) == cpu)
		return VIOLATION;
	if (!model->concurrent(model->lines ? word_before[g] : 0, model->lines ? word_now[g] : 0,
			       s & STORE_WHOLE, s & STORE_INT3))
		return VIOLATION;
	if (missing == MISSING_SYNC || on_its_way(g, s))
		return TRANSIENT;
	return VIOLATION;
}

static uint32_t need_of_block(const struct block *b)
{
	uint32_t max = 0;

	for (int i = 0; i < 2 && b->len[i]; i++)
		for (uint64_t g = b->off[i] >> GRANULE_SHIFT;
		     g <= (b->off[i] + b->len[i] - 1) >> GRANULE_SHIFT; g++) {
			uint32_t n = need(g);

			if (n > max)
				max = n;
		}
	return max;
}

static void on_block(unsigned int cpu, void *data)
{
	struct block *b = data;
	uint64_t va = b->va;

	if (READ_ONCE(b->need) == NEVER)
		WRITE_ONCE(b->need, need_of_block(b));
	if (sync_of(cpu) > READ_ONCE(b->need))
		return;
	for (int i = 0; i < 2 && b->len[i]; va += b->len[i++])
		for (uint64_t g = b->off[i] >> GRANULE_SHIFT;
		     g <= (b->off[i] + b->len[i] - 1) >> GRANULE_SHIFT; g++) {
			uint64_t s = READ_ONCE(granules[g]);
			enum missing m = check_granule(cpu, g, s);
			uint64_t off = g << GRANULE_SHIFT;

			if (m == MISSING_NOTHING)
				continue;
			if (off < b->off[i])
				off = b->off[i];
			report(judge(cpu, g, s, m), "execution", m, cpu, va + (off - b->off[i]),
			       model->ram_base + off, s,
			       store_cpu(s) == cpu && on_its_way(g, s), NULL);
			return;
		}
}

static void on_vector(unsigned int cpu, void *data)
{
	const struct block *b = data;

	if (model->vector(b->va, cpus[cpu].vbar))
		synchronise(cpu);
}

/* ---- the rules of obligation and protocol ---- */

struct task {
	uint64_t stack;
	uint32_t poked;		/* last store of text_poke_step() */
	uint64_t label;		/* jump label that it has patched under the mutex */
	bool poking;		/* is in it */
};
static struct task tasks[1024];
static uint32_t last_poke;

/* Called with the lock held. A collision costs a check, no more. */
static struct task *find_task(uint64_t sp)
{
	uint64_t stack = sp >> STACK_SHIFT;
	struct task *t = &tasks[stack * 0x9e3779b97f4a7c15ull >> 54];

	if (t->stack != stack) {
		t->stack = stack;
		t->poked = 0;
		t->label = 0;
		t->poking = false;
	}
	return t;
}

/*
 * Kernels may leave out CPUs that run nothing that can be patched, which have to
 * synchronise before they do (CONFIG_TEXT_POKE_SYNC_DEFER). They owe it from then on.
 */
static bool may_defer;
static const struct unpatched {
	const char *start, *end;
} unpatched[] = {
	{ "__noinstr_text_start", "__noinstr_text_end" },
	{ "__cpuidle_text_start", "__cpuidle_text_end" },
	{ "__entry_text_start", "__entry_text_end" },
};
static uint64_t unpatched_start[ARRAY_SIZE(unpatched)], unpatched_end[ARRAY_SIZE(unpatched)];

static bool can_be_patched(uint64_t va)
{
	const struct symbol *s;

	/* User space, and the kernel before it has its page tables. */
	if (!(va >> 63))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(unpatched); i++)
		if (va >= unpatched_start[i] && va < unpatched_end[i])
			return false;
	/* Thunks of calls and returns. */
	s = find_symbol(va);
	return !s || !(strstr(s->name, "__x86_") || strstr(s->name, "__SCT__"));
}

static void on_owing(unsigned int cpu, void *data)
{
	const struct block *b = data;
	uint64_t since = qemu_plugin_u64_get(owes, cpu);

	qemu_plugin_u64_set(owes, cpu, 0);
	if (sync_of(cpu) <= since)
		report(VIOLATION, "obligation", MISSING_SYNC, cpu, b->va, 0, 0, false, "deferred sync");
}

static void check_all_synced(const char *rule, const char *what, uint64_t pc, uint32_t since, bool deferrable)
{
	if (!since)
		return;
	for (unsigned int i = 0; i < MAX_CPUS; i++) {
		if (!READ_ONCE(cpus[i].online))
			continue;
		__atomic_add_fetch(&obligations, 1, __ATOMIC_RELAXED);
		if (sync_of(i) > since)
			continue;
		if (deferrable && may_defer)
			qemu_plugin_u64_set(owes, i, since);
		else
			report(VIOLATION, rule, MISSING_SYNC, i, pc, 0, 0, false, what);
	}
}

/*
 * Places that the int3 protocol has trapped and not yet released. Phases are
 * told apart by the stores through the alias: a single int3 opens, bytes after
 * it follow, the byte itself closes.
 */
#define MAX_TRAPPED 1024
#define MAX_INSN 16
static struct { uint64_t off; uint32_t trapped, tail; } trapped[MAX_TRAPPED];
static unsigned int n_trapped;
static uint32_t last_protocol;

/* Called with the lock held: the trapped place before off that is nearest. */
static unsigned int find_trapped(uint64_t off)
{
	unsigned int best = n_trapped;

	for (unsigned int i = 0; i < n_trapped; i++)
		if (off - trapped[i].off < MAX_INSN &&
		    (best == n_trapped || trapped[i].off > trapped[best].off))
			best = i;
	return best;
}

/*
 * Several bytes of an instruction of the kernel that CPUs have executed, without an
 * int3 before it. Memory of modules and the like is filled like this, as nothing
 * runs there yet; that of __init functions is used for something else later.
 */
static void check_int3(unsigned int cpu, uint64_t off, unsigned int size, uint64_t va)
{
	static __thread uint64_t last_byte;
	bool several = size > 1 || off == last_byte + 1;
	unsigned int online = 0;

	last_byte = off;
	for (unsigned int i = 0; i < MAX_CPUS; i++)
		online += READ_ONCE(cpus[i].online);
	if (several && online > 1 && va >= text_start && va < code_end &&
	    READ_ONCE(fetched[off >> GRANULE_SHIFT]))
		report(VIOLATION, "protocol", MISSING_SYNC, cpu, va, 0, 0, false, "no-int3");
}

static bool follow_int3(unsigned int cpu, uint64_t off, unsigned int size,
			qemu_plugin_meminfo_t info, uint32_t time, uint64_t pc, uint64_t va)
{
	bool is_int3 = size == 1 && qemu_plugin_mem_get_value(info).data.u8 == 0xcc;
	uint32_t since = 0;
	const char *what;
	unsigned int i;

	pthread_mutex_lock(&lock);
	i = find_trapped(off);
	if (is_int3) {
		if ((i == n_trapped || trapped[i].off != off) && n_trapped < MAX_TRAPPED) {
			trapped[n_trapped].off = off;
			trapped[n_trapped].trapped = time;
			trapped[n_trapped++].tail = 0;
		}
		pthread_mutex_unlock(&lock);
		return true;
	}
	if (i == n_trapped) {
		pthread_mutex_unlock(&lock);
		check_int3(cpu, off, size, va);
		return false;
	}
	if (off > trapped[i].off) {
		what = "int3-then-tail";
		since = trapped[i].trapped;
		trapped[i].tail = time;
	} else {
		what = trapped[i].tail ? "tail-then-first" : "int3-then-first";
		since = trapped[i].tail ? trapped[i].tail : trapped[i].trapped;
		trapped[i] = trapped[--n_trapped];
		last_protocol = time;
	}
	pthread_mutex_unlock(&lock);
	check_all_synced("protocol", what, pc, since, false);
	return true;
}

enum hook_kind {
	HOOK_POKE,		/* stores from here on are pokes */
	HOOK_POKED,		/* ... no more */
	HOOK_SYNC,		/* leaves all CPUs synchronised with all pokes */
	HOOK_BROADCAST,		/* the same, for one architecture */
	HOOK_NEW,		/* leaves all CPUs synchronised with the pokes in it */
	HOOK_BATCH,		/* ... with the caller's pokes before it */
	HOOK_PROTOCOL,		/* leaves all CPUs synchronised with the last phase */
	HOOK_ONLINE,		/* this CPU comes or goes */
	HOOK_SWITCH,		/* another task; a step can be interrupted */
	HOOK_COPY,		/* leaves all CPUs synchronised with what it wrote to its
				 * first argument, as many bytes as the third says */
	HOOK_LABEL,		/* patches the jump label of its first argument */
	HOOK_UNLOCK,		/* ... all CPUs are synchronised with when it is unlocked */
};

static struct hook {
	const char *name;
	enum hook_kind kind;
	uint64_t start, end;
} hooks[] = {
	{ "text_poke_step", HOOK_POKE, 0, 0 },
	{ "arch_text_poke_write", HOOK_POKE, 0, 0 },
	{ "text_poke_flush", HOOK_POKED, 0, 0 },
	{ "arch_text_poke_flush", HOOK_POKED, 0, 0 },
	{ "text_poke_broadcast", HOOK_POKED, 0, 0 },
	{ "cond_text_poke_sync", HOOK_POKED, 0, 0 },
	{ "text_poke_sync", HOOK_SYNC, 0, 0 },
	{ "arch_text_poke_sync", HOOK_BROADCAST, 0, 0 },
	{ "smp_text_poke_sync_each_cpu", HOOK_BROADCAST, 0, 0 },
	{ "text_poke_copy", HOOK_NEW, 0, 0 },
	{ "text_poke_batch_end", HOOK_BATCH, 0, 0 },
	{ "smp_text_poke_batch_finish", HOOK_PROTOCOL, 0, 0 },
	{ "set_cpu_online", HOOK_ONLINE, 0, 0 },
	{ "finish_task_switch", HOOK_SWITCH, 0, 0 },
	{ "aarch64_insn_copy", HOOK_COPY, 0, 0 },
	{ "aarch64_insn_set", HOOK_COPY, 0, 0 },
	{ "patch_text_nosync", HOOK_COPY, 0, 0 },
	{ "patch_text_set_nosync", HOOK_COPY, 0, 0 },
	{ "arch_jump_label_transform", HOOK_LABEL, 0, 0 },
	{ "arch_jump_label_transform_queue", HOOK_LABEL, 0, 0 },
	{ "mutex_unlock", HOOK_UNLOCK, 0, 0 },
};
static uint64_t jump_label_mutex;

/* Calls that have not returned. */
static struct call {
	const struct hook *hook;
	uint64_t sp, dst, len;
	uint32_t since, began;
} calls[256];

/* The compiler may have added .isra.0 or the like. */
static bool is_symbol(const char *symbol, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(symbol, name, n) &&
	       (!symbol[n] || (symbol[n] == '.' && !strstr(symbol + n, ".cold")));
}

static void find_hooks(void)
{
	for (size_t i = 0; i < n_symbols; i++) {
		if (!strcmp(symbols[i].name, "text_poke_sync_this_cpu"))
			may_defer = true;
		if (!strcmp(symbols[i].name, "jump_label_mutex"))
			jump_label_mutex = symbols[i].va;
		for (size_t u = 0; u < ARRAY_SIZE(unpatched); u++) {
			if (!strcmp(symbols[i].name, unpatched[u].start))
				unpatched_start[u] = symbols[i].va;
			if (!strcmp(symbols[i].name, unpatched[u].end))
				unpatched_end[u] = symbols[i].va;
		}
	}
	for (size_t i = 0; i < n_symbols; i++)
		for (size_t h = 0; h < ARRAY_SIZE(hooks); h++) {
			size_t next = i + 1;

			if (!is_symbol(symbols[i].name, hooks[h].name))
				continue;
			if (hooks[h].kind >= HOOK_COPY && !model->new_sync)
				continue;
			while (next < n_symbols && symbols[next].va == symbols[i].va)
				next++;
			hooks[h].start = symbols[i].va;
			hooks[h].end = next < n_symbols ? symbols[next].va : hooks[h].start;
		}
	for (const char *const *f = model->any_line; n_symbols && f && *f; f++) {
		size_t i;

		for (i = 0; i < n_symbols && strcmp(symbols[i].name, *f); i++)
			;
		if (i == n_symbols)
			fprintf(out, "NOTE no function %s\n", *f);
	}
}

/* The last store to the range. */
static uint32_t last_store(unsigned int cpu, uint64_t va, uint64_t len)
{
	uint32_t last = 0;

	for (uint64_t end = va + len, next; va < end; va = next) {
		uint64_t off = translate(cpu, va);

		next = (va | (PAGE_SIZE - 1)) + 1;
		if (next > end)
			next = end;
		if (off == ~0ull)
			continue;
		for (uint64_t g = off >> GRANULE_SHIFT;
		     g <= (off + (next - va) - 1) >> GRANULE_SHIFT; g++) {
			uint32_t w = store_time(READ_ONCE(granules[g]));

			if (w > last)
				last = w;
		}
	}
	return last;
}

/* Its code field holds the distance to the label. */
static uint64_t label_of(unsigned int cpu, uint64_t entry)
{
	uint64_t off = translate(cpu, entry);
	int32_t code;

	if (off == ~0ull)
		return 0;
	memcpy(&code, ram + off, sizeof(code));
	return entry + code;
}

static void on_entry(unsigned int cpu, void *data)
{
	const struct hook *h = data;
	struct cpu *c = &cpus[cpu];
	uint64_t sp = read_reg(c, c->sp);
	struct call *free = NULL;
	uint64_t label = 0;

	if (h->kind == HOOK_UNLOCK && read_reg(c, c->arg0) != jump_label_mutex)
		return;
	pthread_mutex_lock(&lock);
	c->task = find_task(sp);
	switch (h->kind) {
	case HOOK_POKE:
		c->poking = c->task->poking = true;
		goto out;
	case HOOK_POKED:
		c->poking = c->task->poking = false;
		goto out;
	case HOOK_SWITCH:
		c->poking = c->task->poking;
		goto out;
	case HOOK_ONLINE:
		WRITE_ONCE(c->online, read_reg(c, c->arg1) & 1);
		goto out;
	case HOOK_LABEL:
		c->task->label = label_of(cpu, read_reg(c, c->arg0));
		goto out;
	case HOOK_UNLOCK:
		label = c->task->label;
		c->task->label = 0;
		goto out;
	case HOOK_PROTOCOL:
		/* What is closed in here; the stores before it are another's. */
		last_protocol = 0;
		break;
	case HOOK_BATCH:
		c->poking = c->task->poking = false;
		/* fall through */
	case HOOK_NEW:
		if (!model->new_sync)
			goto out;
		break;
	case HOOK_COPY:
		break;
	default:
		c->poking = c->task->poking = false;
	}
	/* A call that has returned unseen is replaced by the next of its task. */
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct call *k = &calls[i];

		if (!k->hook || (k->hook == h && k->sp >> STACK_SHIFT == sp >> STACK_SHIFT)) {
			free = k;
			if (k->hook)
				break;
		}
	}
	if (free)
		*free = (struct call){ h, sp, read_reg(c, c->arg0), read_reg(c, c->arg2),
				       READ_ONCE(last_poke), tick() };
out:
	pthread_mutex_unlock(&lock);
	if (label)
		check_all_synced("obligation", "jump_label_update", label,
				 last_store(cpu, label, 4), false);
}

static void on_return(unsigned int cpu, void *data)
{
	const struct hook *h = data;
	struct cpu *c = &cpus[cpu];
	uint64_t sp = read_reg(c, c->sp);
	struct call done[8];
	unsigned int n = 0;
	uint32_t poked;

	if (h->kind == HOOK_ONLINE || h->kind == HOOK_SWITCH ||
	    h->kind == HOOK_LABEL || h->kind == HOOK_UNLOCK)
		return;
	pthread_mutex_lock(&lock);
	c->task = find_task(sp);
	if (h->kind == HOOK_POKE || h->kind == HOOK_NEW)
		c->poking = c->task->poking = false;
	poked = c->task->poked;
	for (size_t i = 0; i < ARRAY_SIZE(calls) && n < ARRAY_SIZE(done); i++)
		if (calls[i].hook && calls[i].sp == sp) {
			done[n++] = calls[i];
			calls[i].hook = NULL;
		}
	pthread_mutex_unlock(&lock);
	for (unsigned int i = 0; i < n; i++) {
		const struct hook *k = done[i].hook;
		uint32_t since = done[i].since;

		if (k->kind == HOOK_NEW)
			since = poked >= done[i].began ? poked : 0;
		else if (k->kind == HOOK_COPY)
			since = last_store(cpu, done[i].dst, done[i].len);
		else if (k->kind == HOOK_BATCH)
			since = poked;
		else if (k->kind == HOOK_PROTOCOL)
			since = last_protocol;
		check_all_synced("obligation", k->name, k->start, since, k->kind == HOOK_SYNC);
		/* The hook may end in a jump to something else, so both. */
		if (k->kind == HOOK_BROADCAST || k->kind == HOOK_SYNC) {
			pthread_mutex_lock(&lock);
			if (done[i].began > broadcast_began)
				WRITE_ONCE(broadcast_began, done[i].began);
			pthread_mutex_unlock(&lock);
		}
	}
}

/* ---- stores ---- */

static void store_code(struct cpu *c, unsigned int cpu, uint64_t off, unsigned int size,
		       uint64_t va, uint64_t s, const qemu_plugin_meminfo_t *info)
{
	uint64_t exec_va = READ_ONCE(page_va[off >> PAGE_SHIFT]) - 1;

	if (va >> PAGE_SHIFT != exec_va) {
		s |= STORE_ALIAS;
		/* The alias of x86 is in the half of the user. */
		if (model->int3 && !c->poking && info && !(va >> 63) && exec_va >> 51 &&
		    follow_int3(cpu, off, size, *info, store_time(s), store_pc(s),
				exec_va << PAGE_SHIFT | (off & (PAGE_SIZE - 1))))
			s |= STORE_INT3;
	}
	for (uint64_t g = off >> GRANULE_SHIFT; g <= (off + size - 1) >> GRANULE_SHIFT; g++) {
		WRITE_ONCE(granules[g], READ_ONCE(fetched[g]) ? s : s | STORE_NEW);
		if (model->lines) {
			struct recent *r = &c->recent[c->recent_next++ % RECENT];

			*r = (struct recent){ g, store_time(s), c->stores };
		}
	}
}

static inline void store(struct cpu *c, unsigned int cpu, uint64_t off, unsigned int size,
			 uint64_t va, uint32_t pc_id, const qemu_plugin_meminfo_t *info)
{
	uint32_t time = now();
	uint64_t s = (uint64_t)time << STORE_TIME_SHIFT | (uint64_t)pc_id << STORE_PC_SHIFT |
		     cpu << STORE_CPU_SHIFT | (size >= 4 ? STORE_WHOLE : 0);

	if (off >= ram_size)
		return;
	c->stores++;
	if (c->poking) {
		s |= STORE_POKE;
		if (c->task)
			c->task->poked = time;
		WRITE_ONCE(last_poke, time);
	}
	if (READ_ONCE(page_va[off >> PAGE_SHIFT])) {
		store_code(c, cpu, off, size, va, s, info);
		return;
	}
	s |= STORE_NEW;
	for (uint64_t g = off >> GRANULE_SHIFT; g <= (off + size - 1) >> GRANULE_SHIFT; g++)
		WRITE_ONCE(granules[g], s);
}

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, va);
	unsigned int size = 1u << qemu_plugin_mem_size_shift(info);
	unsigned int room = PAGE_SIZE - (va & (PAGE_SIZE - 1));
	struct cpu *c = &cpus[cpu];
	uint64_t off;

	if (!hw || qemu_plugin_hwaddr_is_io(hw))
		return;
	off = qemu_plugin_hwaddr_phys_addr(hw) - model->ram_base;
	if (__builtin_expect(size > room, 0)) {
		store(c, cpu, off, room, va, (uintptr_t)data, NULL);
		store(c, cpu, translate(cpu, va + room), size - room, va + room, (uintptr_t)data,
		      NULL);
		return;
	}
	store(c, cpu, off, size, va, (uintptr_t)data, &info);
}

/* ---- instructions that matter ---- */

static inline void *pack(const struct insn *i, uint32_t pc_id)
{
	return (void *)((uintptr_t)i->effect | (uintptr_t)i->reg << 8 | (uintptr_t)pc_id << 16);
}

static void on_effect(unsigned int cpu, void *data)
{
	enum effect effect = (uintptr_t)data & 0xff;
	unsigned int reg = (uintptr_t)data >> 8 & 0xff;
	uint32_t pc_id = (uintptr_t)data >> 16;
	struct cpu *c = &cpus[cpu];
	uint64_t va, off;

	switch (effect) {
	case EFFECT_BARRIER:
		barrier(c);
		return;
	case EFFECT_BARRIER_LOCAL:
		if (c->local_done < c->local_start)
			c->local_done = tick();
		return;
	case EFFECT_SYNC:
		synchronise(cpu);
		return;
	case EFFECT_SYNC_WRMSR:
		if (model->wrmsr_syncs(read_reg(c, c->count)))
			synchronise(cpu);
		return;
	case EFFECT_INVAL_ALL:
		invalidate_all(c);
		return;
	case EFFECT_INVAL_LOCAL:
		c->invals++;
		c->local_start = tick();
		return;
	default:
		break;
	}
	va = reg < 31 ? read_reg(c, c->x[reg]) : 0;
	if (effect == EFFECT_VBAR) {
		c->vbar = va;
		return;
	}
	off = translate(cpu, va);
	if (off == ~0ull)
		return;
	if (effect == EFFECT_CLEAN)
		clean(c, off);
	else if (effect == EFFECT_INVAL)
		invalidate(c, off);
	else if (effect == EFFECT_ZERO_LINE)
		store(c, cpu, off & ~63ull, 64, va & ~63ull, pc_id, NULL);
}

/* Power: QEMU reports the operands of dcbst and icbi as loads. */
static void on_line(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, va);
	uint64_t off;

	if (!hw || qemu_plugin_hwaddr_is_io(hw))
		return;
	off = qemu_plugin_hwaddr_phys_addr(hw) - model->ram_base;
	if (off >= ram_size)
		return;
	if ((uintptr_t)data == EFFECT_CLEAN)
		clean(&cpus[cpu], off);
	else if ((uintptr_t)data == EFFECT_INVAL_ALL)
		invalidate_all(&cpus[cpu]);
	else
		invalidate(&cpus[cpu], off);
}

/* ---- translation ---- */

/* Bytes to put into the guest's memory: a known fault, to see it reported. */
static struct {
	uint64_t va;
	uint8_t bytes[32];
	unsigned int n;
} faults[32];
static unsigned int n_faults;
static bool faults_done;

static void inject_faults(uint64_t va, uint64_t off)
{
	const struct symbol *s;

	if (faults_done || !n_faults)
		return;
	s = find_symbol(va);
	if (!s || strcmp(s->name, "start_kernel"))
		return;
	faults_done = true;
	for (unsigned int i = 0; i < n_faults; i++) {
		uint64_t at = faults[i].va - va + off;

		if (at >= ram_size - sizeof(faults[i].bytes))
			refuse("fault= outside of the kernel");
		fprintf(out, "NOTE fault at 0x%llx %s:", (unsigned long long)faults[i].va,
			symbol_name(faults[i].va));
		for (unsigned int b = 0; b < faults[i].n; b++) {
			fprintf(out, " %02x->%02x", ram[at + b], faults[i].bytes[b]);
			ram[at + b] = faults[i].bytes[b];
		}
		fputc('\n', out);
	}
	fflush(out);
}

static void fetch(uint64_t off, unsigned int size, uint64_t va)
{
	WRITE_ONCE(page_va[off >> PAGE_SHIFT], (va >> PAGE_SHIFT) + 1);
	for (uint64_t g = off >> GRANULE_SHIFT; g <= (off + size - 1) >> GRANULE_SHIFT; g++) {
		if (model->lines) {
			uint32_t w = *(uint32_t *)(ram + (g << GRANULE_SHIFT));

			if (big_endian)
				w = __builtin_bswap32(w);
			if (fetched[g] && word_now[g] != w)
				WRITE_ONCE(word_before[g], word_now[g]);
			WRITE_ONCE(word_now[g], w);
		}
		WRITE_ONCE(fetched[g], 1);
	}
}

static void add_range(struct block *b, uint64_t off, unsigned int size)
{
	for (int i = 0; i < 2; i++) {
		if (!b->len[i]) {
			b->off[i] = off;
			b->len[i] = size;
			return;
		}
		if (off == b->off[i] + b->len[i]) {
			b->len[i] += size;
			return;
		}
	}
}

/* The local entry point of a Power function may be two instructions later. */
static uint64_t entry_of(const struct hook *h, uint64_t va, const uint8_t *host)
{
	if (model != &model_powerpc || va != h->start + 8)
		return h->start;
	/* addis r2,r12: the global entry comes first */
	if (((big_endian ? be32(host - 8) : le32(host - 8)) & 0xffff0000) == 0x3c4c0000)
		return va;
	return h->start;
}

static void hook_insn(struct qemu_plugin_insn *insn, uint64_t va, const struct insn *decoded,
		      const uint8_t *host)
{
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		struct hook *h = &hooks[i];
		bool global;

		if (va < h->start || va >= h->end)
			continue;
		global = model == &model_powerpc && va == h->start &&
			 ((big_endian ? be32(host) : le32(host)) & 0xffff0000) == 0x3c4c0000;
		if (va == entry_of(h, va, host) && !global)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_entry,
							       QEMU_PLUGIN_CB_R_REGS, h);
		if (decoded->ret)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_return,
							       QEMU_PLUGIN_CB_R_REGS, h);
	}
}

static bool in_any_line(uint64_t va)
{
	const struct symbol *s = find_symbol(va);

	for (const char *const *f = model->any_line; s && f && *f; f++)
		if (!strcmp(s->name, *f))
			return true;
	return false;
}

static void found_kernel(uint64_t delta)
{
	text_delta = delta;
	kernel_began = tick();
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block block = { .va = qemu_plugin_tb_vaddr(tb) }, *b;
	bool hooked = false, vector, patched;
	uint32_t pc_ids[n];

	(void)id;
	pthread_mutex_lock(&lock);
	if (!ram)
		find_ram();
	for (size_t i = 0; i < n; i++)
		pc_ids[i] = intern_pc(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i)));
	pthread_mutex_unlock(&lock);

	if (block.va >= text_start && block.va < text_end)
		for (size_t h = 0; h < ARRAY_SIZE(hooks); h++)
			if (block.va < hooks[h].end && block.va + 16 * n > hooks[h].start)
				hooked = true;

	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t va = qemu_plugin_insn_vaddr(insn);
		uint8_t *host = qemu_plugin_insn_haddr(insn);
		size_t size = qemu_plugin_insn_size(insn);
		uint64_t off = host ? (uint64_t)(host - ram) : ~0ull;
		struct insn decoded = { .reg = 31 };
		uint8_t bytes[16] = { 0 };

		qemu_plugin_insn_data(insn, bytes, sizeof(bytes));
		if (off < ram_size) {
			unsigned int room = PAGE_SIZE - (off & (PAGE_SIZE - 1));

			if (!text_delta && va >= text_start && va < text_end)
				found_kernel(va - (off + model->ram_base));
			if (n_faults && !faults_done)
				inject_faults(va, off);
			if (size <= room) {
				add_range(&block, off, size);
				fetch(off, size, va);
			} else {
				/* The rest is in a page of which only the address is known. */
				add_range(&block, off, room);
				fetch(off, room, va);
				off = translate(this_cpu, va + room);
				if (off != ~0ull) {
					add_range(&block, off, size - room);
					fetch(off, size - room, va + room);
				}
			}
		}
		qemu_plugin_register_vcpu_mem_cb(insn, on_store, QEMU_PLUGIN_CB_NO_REGS,
						 QEMU_PLUGIN_MEM_W, (void *)(uintptr_t)pc_ids[i]);
		model->decode(bytes, size, &decoded);
		if (decoded.effect != EFFECT_NONE && decoded.by_load) {
			uintptr_t effect = decoded.effect;

			if (effect == EFFECT_INVAL && in_any_line(link_address(va)))
				effect = EFFECT_INVAL_ALL;
			qemu_plugin_register_vcpu_mem_cb(insn, on_line, QEMU_PLUGIN_CB_NO_REGS,
							 QEMU_PLUGIN_MEM_R, (void *)effect);
		} else if (decoded.effect != EFFECT_NONE) {
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_effect,
							       QEMU_PLUGIN_CB_R_REGS,
							       pack(&decoded, pc_ids[i]));
		}
		if (hooked && host)
			hook_insn(insn, va, &decoded, host);
	}

	qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
							  executed, 1);
	block.need = need_of_block(&block);
	vector = model->maybe_vector && model->maybe_vector(block.va);
	patched = may_defer && can_be_patched(block.va);
	if (!block.need && !vector && !patched)
		return;
	/* QEMU does not tell when a block is gone. */
	b = malloc(sizeof(*b));
	*b = block;
	/* The entry of an exception synchronises before its own block is judged. */
	if (vector)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_vector, QEMU_PLUGIN_CB_NO_REGS, b);
	if (patched)
		qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_owing, QEMU_PLUGIN_CB_NO_REGS,
							  QEMU_PLUGIN_COND_NE, owes, 0, b);
	if (block.need == NEVER)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS, b);
	else if (block.need)
		qemu_plugin_register_vcpu_tb_exec_cond_cb(tb, on_block, QEMU_PLUGIN_CB_NO_REGS,
							  QEMU_PLUGIN_COND_LE, sync_at,
							  block.need, b);
}

/* ---- start and end ---- */

static void find_register(struct cpu *c, const qemu_plugin_reg_descriptor *d)
{
	unsigned int n;
	char more;

	if (!strcmp(d->name, model->regs.sp))
		c->sp = d->handle;
	if (!strcmp(d->name, model->regs.arg0))
		c->arg0 = d->handle;
	if (!strcmp(d->name, model->regs.arg1))
		c->arg1 = d->handle;
	if (!strcmp(d->name, model->regs.arg2))
		c->arg2 = d->handle;
	if (model->regs.count && !strcmp(d->name, model->regs.count))
		c->count = d->handle;
	if (sscanf(d->name, "x%u%c", &n, &more) == 1 && n < 31)
		c->x[n] = d->handle;
	/*
	 * The kernel does without maintenance where CTR_EL0 says so, and without the
	 * clean where CLIDR_EL1 says that no level has to be cleaned.
	 */
	if (model == &model_arm64 && !strcmp(d->name, "CTR_EL0")) {
		uint64_t ctr = read_reg(c, d->handle);

		if (ctr & (3ull << 28))
			refuse("this CPU has CTR_EL0.%s, it needs less maintenance: use -cpu cortex-a57",
			       ctr & 1ull << 28 ? "IDC" : "DIC");
		c->caches_known = true;
	}
	if (model == &model_arm64 && !strncmp(d->name, "CLIDR", 5)) {
		uint64_t clidr = read_reg(c, d->handle);

		if (!(clidr >> 24 & 7) || (!(clidr >> 21 & 7) && !(clidr >> 27 & 7)))
			refuse("this CPU has nothing to clean to the point of unification: use -cpu cortex-a57");
	}
}

static void on_cpu(qemu_plugin_id_t id, unsigned int cpu)
{
	struct cpu *c = &cpus[cpu];
	GArray *regs;

	(void)id;
	if (cpu >= MAX_CPUS)
		refuse("more than %d CPUs", MAX_CPUS);
	pthread_mutex_lock(&lock);
	this_cpu = cpu;
	c->present = true;
	c->tid = gettid();
	for (unsigned int i = 0; i < cpu; i++)
		if (cpus[i].present && cpus[i].tid == c->tid)
			refuse("all CPUs are on one thread, which mixes them up: use -accel tcg,thread=multi");
	pthread_mutex_unlock(&lock);
	c->buf = g_byte_array_new();
	regs = qemu_plugin_get_registers();
	for (unsigned int i = 0; i < regs->len; i++)
		find_register(c, (qemu_plugin_reg_descriptor *)regs->data + i);
	g_array_free(regs, 1);
	if (!c->sp || !c->arg0 || !c->arg1 || !c->arg2)
		refuse("no registers %s, %s, %s and %s", model->regs.sp, model->regs.arg0,
		       model->regs.arg1, model->regs.arg2);
	if (model == &model_arm64 && !c->caches_known)
		refuse("cannot read CTR_EL0");
	/* What the loader has stored is older than the start. */
	qemu_plugin_u64_set(sync_at, cpu, 1);
}

/* A CPU that has not run yet is started: its pipeline is empty. */
static void on_resume(qemu_plugin_id_t id, unsigned int cpu)
{
	(void)id;
	if (model->start_syncs && !qemu_plugin_u64_get(executed, cpu))
		synchronise(cpu);
}

static void on_exit_(qemu_plugin_id_t id, void *data)
{
	uint64_t blocks = 0, stores = 0, cleans = 0, invals = 0, syncs = 0, distinct[3] = { 0 };

	(void)id;
	(void)data;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MAX_CPUS; i++) {
		if (!cpus[i].present)
			continue;
		blocks += qemu_plugin_u64_get(executed, i);
		stores += cpus[i].stores;
		cleans += cpus[i].cleans;
		invals += cpus[i].invals;
		syncs += cpus[i].syncs;
	}
	for (size_t i = 0; i < n_places; i++) {
		print_place(place_list[i]);
		distinct[place_list[i]->verdict]++;
	}
	fprintf(out, "SUMMARY violations=%llu transient=%llu suppressed=%llu",
		(unsigned long long)distinct[VIOLATION], (unsigned long long)distinct[TRANSIENT],
		(unsigned long long)distinct[SUPPRESSED]);
	fprintf(out, " executed=%llu stores=%llu cleans=%llu invalidates=%llu syncs=%llu obligations=%llu\n",
		(unsigned long long)blocks,
		(unsigned long long)stores, (unsigned long long)cleans,
		(unsigned long long)invals, (unsigned long long)syncs,
		(unsigned long long)obligations);
	fflush(out);
	pthread_mutex_unlock(&lock);
}

static void parse_fault(const char *arg)
{
	char *p;

	if (n_faults == ARRAY_SIZE(faults))
		refuse("too many faults");
	faults[n_faults].va = strtoull(arg, &p, 0);
	if (*p++ != ':')
		refuse("fault=ADDRESS:HEX");
	for (unsigned int v; faults[n_faults].n < 32 && sscanf(p, "%2x", &v) == 1; p += 2)
		faults[n_faults].bytes[faults[n_faults].n++] = v;
	n_faults++;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
					   int argc, char **argv)
{
	static const struct model *const models[] = {
		&model_x86, &model_arm64, &model_riscv, &model_powerpc
	};
	const char *symbols_file = NULL, *suppress_file = NULL;

	out = stderr;
	clock_gettime(CLOCK_MONOTONIC, &started);
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "log=", 4)) {
			out = fopen(argv[i] + 4, "w");
			if (!out) {
				perror(argv[i]);
				return 1;
			}
		} else if (!strncmp(argv[i], "symbols=", 8)) {
			symbols_file = argv[i] + 8;
		} else if (!strncmp(argv[i], "suppress=", 9)) {
			suppress_file = argv[i] + 9;
		} else if (!strncmp(argv[i], "ram=", 4)) {
			ram_size = strtoull(argv[i] + 4, NULL, 0) << 20;
		} else if (!strcmp(argv[i], "endian=big")) {
			big_endian = true;
		} else if (!strncmp(argv[i], "fault=", 6)) {
			parse_fault(argv[i] + 6);
		} else {
			refuse("unknown argument %s", argv[i]);
		}
	}
	if (info->version.cur < COHERENCE_API || info->version.min > COHERENCE_API)
		refuse("plugin API %d to %d; needs %d, QEMU 10", info->version.min,
		       info->version.cur, COHERENCE_API);
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(info->target_name, models[i]->target))
			model = models[i];
	if (!model || !info->system_emulation)
		refuse("no model of %s", info->target_name);
	get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
	get_phys_page = dlsym(RTLD_DEFAULT, "cpu_get_phys_page_debug");
	if (!get_cpu || !get_phys_page)
		refuse("this QEMU does not export its address translation");
	/* From 3 GiB on the PC's memory has a hole. */
	if (model == &model_x86 && ram_size > 2048ull << 20)
		refuse("at most 2048 MiB");
	if (symbols_file)
		read_symbols(symbols_file);
	if (suppress_file)
		read_suppressions(suppress_file);
	find_hooks();

	granules = reserve(ram_size >> GRANULE_SHIFT << 3);
	fetched = reserve(ram_size >> GRANULE_SHIFT);
	page_va = reserve(ram_size >> PAGE_SHIFT << 3);
	if (model->lines) {
		visible_at = reserve(ram_size >> GRANULE_SHIFT << 2);
		word_now = reserve(ram_size >> GRANULE_SHIFT << 2);
		word_before = reserve(ram_size >> GRANULE_SHIFT << 2);
		cleaned = reserve(ram_size >> model->line_shift << 2);
		all = reserve(MAX_ALL * sizeof(*all));
	}
	store_pcs = reserve(sizeof(*store_pcs) << STORE_PC_BITS);
	store_pc_hash = reserve(sizeof(*store_pc_hash) << PC_HASH_BITS);

	board = qemu_plugin_scoreboard_new(3 * sizeof(uint64_t));
	sync_at = (qemu_plugin_u64){ board, 0 };
	executed = (qemu_plugin_u64){ board, sizeof(uint64_t) };
	owes = (qemu_plugin_u64){ board, 2 * sizeof(uint64_t) };
	qemu_plugin_register_vcpu_init_cb(id, on_cpu);
	qemu_plugin_register_vcpu_resume_cb(id, on_resume);
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
	qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
	return 0;
}
