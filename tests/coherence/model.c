// SPDX-License-Identifier: GPL-2.0-only
/*
 * What fetch can see: stores, cache maintenance, and the rule of execution.
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
 * without telling: arm64's MOPS, s390's MVC and the like, perhaps Power's dcbz. A
 * store of another CPU can become visible to QEMU before its callback has run; a
 * block translated in between is judged by the previous store. Both can hide a
 * fault, never invent one.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "coherence.h"

const struct model *model;
bool big_endian;
struct cpu cpus[MAX_CPUS];
qemu_plugin_u64 sync_at;
pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

uint64_t ram_size = 512ull << 20;
uint8_t *ram;

static uint64_t clock_ = 2;	/* 0: never, 1: before the start */

static uint64_t *granules;	/* last store */
static uint32_t *visible_at;	/* since when fetch can see it, lines only */
static uint8_t *fetched;	/* granule has been translated */
static uint32_t *word_now, *word_before;	/* what was translated, lines only */
static uint64_t *page_va;	/* where a page is executed, +1 */
static uint32_t *cleaned;	/* per line: last completed clean */

static uint64_t *store_pcs;
static uint32_t *store_pc_hash;
static uint32_t n_store_pcs = 1;	/* 0: not known */
#define PC_HASH_BITS 23

/* Invalidations of everything: cover[] and done[] rise. */
#define MAX_ALL (1u << 20)
static struct { uint32_t cover, done; } *all;
static uint32_t all_n;

static void *reserve(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		refuse("no memory for the state of the guest's memory");
	return p;
}

void init_model(void)
{
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
}

/* ---- time ---- */

static inline uint32_t now(void)
{
	return __atomic_load_n(&clock_, __ATOMIC_RELAXED);
}

uint32_t tick(void)
{
	uint64_t t = __atomic_add_fetch(&clock_, 1, __ATOMIC_ACQ_REL);

	if (t >= NEVER)
		refuse("more than 2^32 events");
	return t;
}

void synchronise(unsigned int cpu)
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

/* ---- which instruction stored ---- */

/* Called with the lock held. */
uint32_t intern_pc(uint64_t pc)
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

uint64_t store_pc(uint64_t store)
{
	return store_pcs[store_pc_id(store)];
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

void clean(struct cpu *c, uint64_t off)
{
	c->cleans++;
	push(&c->clean, off >> model->line_shift, tick(), 0, false);
}

/* An invalidation works for what was completely cleaned when it is executed. */
void invalidate(struct cpu *c, uint64_t off)
{
	uint64_t line = off >> model->line_shift;
	uint32_t cover = READ_ONCE(cleaned[line]);

	c->invals++;
	push(&c->inval, line, tick(), cover, false);
}

void invalidate_all(struct cpu *c)
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

void barrier(struct cpu *c)
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
uint32_t broadcast_began;

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

uint32_t need_of_block(const struct block *b)
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

void on_block(unsigned int cpu, void *data)
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

/* ---- stores and fetches ---- */

static void store_code(struct cpu *c, unsigned int cpu, uint64_t off, unsigned int size,
		       uint64_t va, uint64_t s, const qemu_plugin_meminfo_t *info)
{
	uint64_t exec_va = (READ_ONCE(page_va[off >> PAGE_SHIFT]) - 1) << PAGE_SHIFT |
			   (off & (PAGE_SIZE - 1));

	if (va != exec_va) {
		s |= STORE_ALIAS;
		/* The alias of x86 is in the half of the user. */
		if (model->int3 && !c->poking && info && !in_kernel(va) && in_kernel(exec_va) &&
		    follow_int3(cpu, off, size, *info, store_time(s), exec_va))
			s |= STORE_INT3;
	}
	for (uint64_t g = off >> GRANULE_SHIFT; g <= (off + size - 1) >> GRANULE_SHIFT; g++) {
		if (model->lines) {
			struct recent *r = &c->recent[c->recent_next++ % RECENT];

			*r = (struct recent){ g, store_time(s), c->stores };
		}
		/* Another CPU that sees this store looks for it in the ring: on_its_way(). */
		__atomic_store_n(&granules[g], READ_ONCE(fetched[g]) ? s : s | STORE_NEW,
				 __ATOMIC_RELEASE);
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

void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data)
{
	unsigned int size = 1u << qemu_plugin_mem_size_shift(info);
	unsigned int room = PAGE_SIZE - (va & (PAGE_SIZE - 1));
	struct qemu_plugin_hwaddr *hw;
	struct cpu *c = &cpus[cpu];
	uint64_t off;

	if (va < model->low_end)
		return;
	hw = qemu_plugin_get_hwaddr(info, va);
	if (!hw || qemu_plugin_hwaddr_is_io(hw))
		return;
	off = qemu_plugin_hwaddr_phys_addr(hw) - model->ram_base;
	/* Bytes that stay the same are not modified; they may be of another function. */
	if (model->halfwords && off == c->rewrite) {
		c->rewrite = ~0ull;
		for (unsigned int i = 0; i < 8; i += 2)
			if (memcmp(ram + off + i, c->before + i / 2, 2))
				store(c, cpu, off + i, 2, va + i, (uintptr_t)data, NULL);
		return;
	}
	if (__builtin_expect(size > room, 0)) {
		store(c, cpu, off, room, va, (uintptr_t)data, NULL);
		store(c, cpu, translate(cpu, va + room), size - room, va + room, (uintptr_t)data,
		      NULL);
		return;
	}
	store(c, cpu, off, size, va, (uintptr_t)data, &info);
}

/* The last store to the range. */
uint32_t last_store(unsigned int cpu, uint64_t va, uint64_t len)
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

bool was_fetched(uint64_t off)
{
	return READ_ONCE(fetched[off >> GRANULE_SHIFT]);
}

void fetch(uint64_t off, unsigned int size, uint64_t va)
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
