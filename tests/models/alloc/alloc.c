// SPDX-License-Identifier: GPL-2.0-only
// The real mm/execmem_text.c, on four pages of 16 granules. Every sequence of DEPTH steps
// is tried; a state that was seen before is not continued. A step is an allocation, a free,
// the worker, a trim, the beginning or end of somebody's broadcast, or a use of whole pages
// by others; memory, metadata or a poke may fail in it, and another CPU may come in between.
// A second opinion on each granule says whether it may be granted, poked or given back.
//
// of: mm/execmem_text.c object_len block_is_live execmem_find_pages block_set_hole block_is_empty
// of: mm/execmem_text.c block_is_covered block_release pool_release block_forget block_alloc pool_grow
// of: mm/execmem_text.c block_is_queued pool_detach pool_trim block_set_trapped block_drain block_queue
// of: mm/execmem_text.c pool_drain pool_reclaim hole_len hole_for block_search pool_find block_take pool_take
// of: mm/execmem_text.c pool_alloc text_alloc execmem_text_free execmem_text_note_pages is_execmem_text
// of: mm/execmem_text.c block_set_recent block_is_recent block_find
// expect waits: holds -DNEW_SYNC=0 -DGIVES_BACK_SYNCHRONISED
// expect new-sync: holds -DNEW_SYNC=1
// mutant free-reuse-without-sync: s/return !REUSE_WAITS || poll_state.*/return true;/
// mutant alloc-unmapped-not-synced: s/cond_text_poke_sync(unmapped);/;/
// mutant pages-not-noted: /smp_store_release(&execmem_unmapped/d
// mutant cookie-not-noted: /block->state = get_state/d
// mutant trim-not-synced: s/cond_text_poke_sync(block->state);/;/
// mutant trim-takes-queued: s/^[[:space:]]*block_is_queued(block))$/0)/
// mutant trim-takes-draining: s/block == pool->draining/0/
// mutant trim-forgets-dead: /atomic_long_sub.*block->waiting.*&pool->dead/d
// mutant grants-overlap: s/bitmap_set(block->used, i, nr)/bitmap_set(block->used, i, nr - 1)/
// mutant alignment-ignored: s/i = ALIGN(begin, mask + 1);/i = begin;/
// mutant size-not-rounded: s/nr = ALIGN(size, unit) \/ GRANULE/nr = size \/ GRANULE/
// mutant hole-is-the-last: s/hole = max(hole, \(hole_len(begin, end)\));/hole = \1;/
// mutant hole-not-raised: /block_set_hole(block, max(block->hole/d
// mutant hole-ends-early of new-sync: s/hole_len(block->cursor, to)/hole_len(block->cursor, to - 1)/
// mutant hole-of-others-forgotten: s/max(block->hole, min(\(.*\)));/min(\1);/
// mutant hole-len-not-aligned of new-sync: s/return last > first ? last - first.*/return end - begin;/
// mutant searches-to-the-end-only: s/part < 2/part < 1/
// mutant cursor-kept: /block->cursor = last/d
// mutant range-of-last-run: s/block->wait_from = .*/block->wait_from = at;/
// mutant range-of-first-run: s/block->wait_to = block->waiting ? .* : end;/block->wait_to = block->waiting ? block->wait_to : end;/
// mutant looks-for-last-free: s/block->dead_from = .*/block->dead_from = from;/
// mutant looks-for-first-free: s/block->dead_last = block->queued ? .* : last;/block->dead_last = block->queued ? block->dead_last : last;/
// mutant first-not-cleared: /bitmap_clear(block->first/d
// mutant dead-not-cleared: /block->dead\[i\] &= ~/d
// mutant used-not-cleared: /block->used\[i\] &= ~/d
// mutant wait-not-cleared: /block->wait\[i\] = 0;/d
// mutant free-not-counted: /block->free += block->waiting;/d
// mutant stays-on-list: /list_del_init(&block->list);/d
// mutant traps-trapped: s/test_bit(end, block->dead) && !test_bit(end, block->wait))/test_bit(end, block->dead))/
// mutant traps-living: s/test_bit(end, block->dead) && !test_bit(end, block->wait))/!test_bit(end, block->wait))/
// mutant traps-hole: s/__set_bit(i + nr, block->first);/;/
// mutant failed-trap-forgotten: s/\*failed = true;/block_set_trapped(block, *at, end);/
// mutant failed-trap-not-retried: s/if (failed) {/if (0) {/
// mutant queued-not-cleared: s/block->queued = false;/;/
// mutant reclaim-not-synced: s/cond_text_poke_sync(READ_ONCE(pool->state));/;/
// mutant reclaim-not-drained: /flush_delayed_work(&pool->drain);/d
// mutant prepare-takes: s/if (flags & PREPARE)/if (0)/
// mutant recent-not-forgotten: s/block_set_recent(block, 0, 0);/;/
// mutant recent-too-long: s/block_set_recent(block, i, nr)/block_set_recent(block, i, nr + 1)/
// mutant metadata-failure-leaks: /if (!block) {/,/}/s/execmem_free_traps(p);//
// mutant forgotten-found: s/xa_erase(&execmem_blocks.*/;/
// mutant empty-not-counted: /WRITE_ONCE(pool->empty, pool->empty + block_size/d
#include "kernel.h"
#include "execmem_text.c"

#ifndef DEPTH
#define DEPTH		7
#endif
#define GRANULES	(PAGES * (int)(PAGE_SIZE / GRANULE))
#define TYPE		EXECMEM_BPF
#define pool		(&pools[0])

enum { NOTHING, OTHERS, FREE, LIVE, DEAD, TRAPPED };
/* The broadcasts that have to end before other code may run here, and after the last trap. */
static struct granule { unsigned char state, first; unsigned long need, trap; } g[GRANULES];
static unsigned long begun, ended;
static bool memory_fails;
static int poke_fails;			/* how many pokes succeed before one fails, plus one */
static void (*meanwhile)(int);		/* what another CPU does when no mutex is held */
static int meanwhile_arg, unlocks;
static unsigned char path[DEPTH];
static int steps;

static const char *describe(int op);
static void free_nr(int n);

static void stop(int line, const char *what)
{
	printf("line %d: %s, after:\n", line, what);
	for (int i = 0; i < steps; i++)
		printf("\t%s\n", describe(path[i]));
	exit(1);
}

static void hangs(int sig)
{
	stop(0, sig == SIGSEGV ? "freed metadata is used" : "it does not end");
}

static int index_of(const void *p)
{
	return ((unsigned long)p - BASE) / GRANULE;
}

static void interrupt(void)
{
	void (*f)(int) = meanwhile;

	/* Only a free takes no mutex. */
	if (!f || mutexes && f != free_nr)
		return;
	meanwhile = NULL;
	f(meanwhile_arg);
}

/* Another CPU trims as soon as no lock is held for the @unlocks-th time. */
static void unlocked(void)
{
	if (unlocks && !mutexes && !spinlocks && !--unlocks)
		execmem_text_trim(TYPE, 0, false);
}

/* --- what the file calls */

static unsigned long get_state_text_poke_sync(void) { return begun + 1; }
static bool poll_state_text_poke_sync(unsigned long state) { return ULONG_CMP_GE(ended, state); }

static void smp_text_poke_sync_each_cpu(void)
{
	might_sleep();
	CHECK(mutexes == text_mutex.held);
	ended = ++begun;
}

static void cond_text_poke_sync(unsigned long state)
{
	if (poll_state_text_poke_sync(state))
		return;
	CHECK(!mutexes);
	interrupt();
	smp_text_poke_sync_each_cpu();
}

static int text_poke_invalidate_nosync(struct page **pages, void *p, size_t n)
{
	int i = index_of(p), end = i + n / GRANULE;

	CHECK(text_mutex.held && mutexes == 1 && !spinlocks);
	CHECK(n && n % GRANULE == 0 && end <= GRANULES);
	for (int k = i; k < end; k++)
		CHECK(g[k].state == DEAD);
	CHECK(g[i].first && (end == GRANULES || g[end].first || g[end].state != DEAD));
	interrupt();
	if (poke_fails && !--poke_fails)
		return -EFAULT;
	for (int k = i; k < end; k++) {
		g[k].state = TRAPPED;
		g[k].need = g[k].trap = begun + 1;
	}
	return 0;
}

static void *execmem_alloc_traps(enum execmem_type type, size_t size, bool bonus)
{
	int nr = size / GRANULE;

	might_sleep();
	CHECK(mutexes == text_mutex.held && size % PAGE_SIZE == 0);
	interrupt();
	if (memory_fails)
		return NULL;
	for (int i = 0; i + nr <= GRANULES; i += PAGE_SIZE / GRANULE) {
		int k = 0;

		while (k < nr && g[i + k].state == NOTHING)
			k++;
		if (k < nr)
			continue;
		for (k = 0; k < nr; k++)
			g[i + k].state = FREE;
		return (void *)(BASE + i * GRANULE);
	}
	return NULL;
}

static int giving_back;		/* granules */

/* Who gets the pages does not ask whether CPUs have synchronised. */
static void execmem_free_traps(void *p)
{
	int i = index_of(p);

	CHECK(mutexes == text_mutex.held);
	while (i < GRANULES && g[i].state != NOTHING && xa_load(&execmem_blocks, (BASE >> PAGE_SHIFT) + i * GRANULE / PAGE_SIZE) == NULL) {
		if (g[i].state == OTHERS)
			break;
		CHECK(g[i].state == FREE || g[i].state == TRAPPED);
#ifdef GIVES_BACK_SYNCHRONISED
		CHECK(g[i].trap <= ended);
#endif
		g[i].trap = 0;
		g[i++].state = NOTHING;
	}
}

/* --- steps */

static bool can_get(int nr)
{
	int free = 0;

	for (int i = 0; i < GRANULES; i++) {
		free = g[i].state == FREE && i % (PAGE_SIZE / GRANULE) ? free + 1 : g[i].state == FREE;
		if (free >= nr)
			return true;
	}
	return false;
}

static void grant(void *p, size_t size, size_t align)
{
	size_t unit = size < 64 && align <= GRANULE ? GRANULE : 64, nr = ALIGN(size, unit) / GRANULE;
	struct page **pages;
	int i = index_of(p);

	CHECK(IS_ALIGNED((unsigned long)p, max(unit, align)));
	CHECK((unsigned long)p >= BASE && i + nr <= GRANULES);
	for (int k = i; k < i + (int)nr; k++) {
		/* Pools may release trapped memory whenever they like, if CPUs have synchronised. */
		CHECK(g[k].state == FREE || g[k].state == TRAPPED);
		CHECK(NEW_SYNC || g[k].need <= ended);
		g[k] = (struct granule){ LIVE, k == i, 0, g[k].trap };
	}
	CHECK(!execmem_find_pages(p, nr * GRANULE, &pages));
	CHECK(execmem_find_pages(p, nr * GRANULE + 1, &pages));
	CHECK(is_execmem_text((unsigned long)p) && is_execmem_text((unsigned long)p + nr * GRANULE - 1));
}

static void alloc(size_t size, size_t align, int flags)
{
	size_t unit = size < 64 && align <= GRANULE ? GRANULE : 64;
	unsigned int nr = ALIGN(size, unit) / GRANULE, mask = max(unit, align) / GRANULE - 1;
	void *p;

	if (flags & LOCKED) {
		scoped_guard(mutex, &text_mutex)
			p = execmem_text_alloc_locked(TYPE, size, align);
	} else {
		p = flags & CLEAN ? execmem_text_alloc_clean(TYPE, size, align) : execmem_text_alloc(TYPE, size, align);
	}
	if (p) {
		grant(p, size, align);
	} else {
		/* Nothing was left that may be used. */
		CHECK(!can_get(nr + mask + 64 / GRANULE));
		CHECK(flags & LOCKED || poke_fails || pool->dead.v == 0 || flags & PREPARE);
	}
}

static void alloc_64(int unused) { alloc(64, 64, 0); }

/* Free the object number @n, counted from the lowest address. */
static void free_nr(int n)
{
	struct page **pages;
	int i, k;

	for (i = 0; i < GRANULES; i++)
		if (g[i].state == LIVE && g[i].first && !n--)
			break;
	if (i == GRANULES)
		return;
	k = i;
	do
		g[k].state = DEAD;
	while (++k < GRANULES && g[k].state == LIVE && !g[k].first);
	execmem_text_free(TYPE, (void *)(BASE + i * GRANULE));
	CHECK(execmem_find_pages((void *)(BASE + i * GRANULE), GRANULE, &pages));
}

static void work(void)
{
	flush_delayed_work(&pool->drain);
}

/* Others have a page for a while, run code there, and free it. */
static void others(void)
{
	void *p = execmem_alloc_traps(TYPE, PAGE_SIZE, false);

	for (int i = 0; p && i < (int)(PAGE_SIZE / GRANULE); i++) {
		g[index_of(p) + i].state = NOTHING;
		g[index_of(p) + i].need = begun + 1;
	}
	if (p)
		execmem_text_note_pages(true);
}

static const struct { const char *name; int what; size_t size, align; int arg; } ops[] = {
#define ALLOC 0
	{ "alloc 8", ALLOC, 8, 1 },
	{ "alloc 40", ALLOC, 40, 8 },
	{ "alloc 60", ALLOC, 60, 8 },
	{ "alloc 64", ALLOC, 64, 64 },
	{ "alloc 72, aligned to 128", ALLOC, 72, 128 },
	{ "alloc 40 under text_mutex", ALLOC, 40, 8, LOCKED },
	{ "alloc clean 8", ALLOC, 8, 1, CLEAN },
#define ALLOC_NO_MEMORY 1
	{ "alloc 64, no memory", ALLOC_NO_MEMORY, 64, 64 },
	{ "alloc 64 under text_mutex, no memory", ALLOC_NO_MEMORY, 64, 64, LOCKED },
#define ALLOC_NO_METADATA 2
	{ "alloc 64, no metadata", ALLOC_NO_METADATA, 64, 64 },
#define ALLOC_MEANWHILE 3
	{ "alloc 64, another takes 64 meanwhile", ALLOC_MEANWHILE, 64, 64 },
#define PREPARE_OP 4
	{ "prepare 40", PREPARE_OP, 40 },
#define FREE_OP 5
	{ "free first", FREE_OP, .arg = 0 },
	{ "free second", FREE_OP, .arg = 1 },
	{ "free third", FREE_OP, .arg = 2 },
#define WORK 6
	{ "worker", WORK, .arg = -1 },
	{ "worker, first freed meanwhile", WORK, .arg = 0 },
	{ "worker, second freed meanwhile", WORK, .arg = 1 },
#define WORK_TRIMMED 13
	{ "worker, trimmed before it drains", WORK_TRIMMED, .arg = 2 },
	{ "worker, trimmed after it drains", WORK_TRIMMED, .arg = 3 },
#define WORK_FAILS 7
	{ "worker, poke fails", WORK_FAILS, .arg = 1 },
	{ "worker, second poke fails", WORK_FAILS, .arg = 2 },
#define TRIM 8
	{ "trim", TRIM, .arg = true },
	{ "trim all", TRIM, .arg = false },
#define BEGIN 9
	{ "a broadcast begins", BEGIN },
#define END 10
	{ "a broadcast ends", END },
#define OTHERS_OP 11
	{ "others use a page", OTHERS_OP },
#define EPOCH 12
	{ "new epoch", EPOCH },
};
#define OPS	(int)(sizeof(ops) / sizeof(ops[0]))

static const char *describe(int op) { return ops[op].name; }

static void step(int op)
{
	size_t size = ops[op].size, align = ops[op].align;
	int arg = ops[op].arg;

	switch (ops[op].what) {
	case ALLOC: alloc(size, align, arg); break;
	case ALLOC_NO_MEMORY: memory_fails = true; alloc(size, align, arg); break;
	case ALLOC_NO_METADATA: metadata_fails = true; alloc(size, align, arg); break;
	case ALLOC_MEANWHILE: meanwhile = alloc_64; alloc(size, align, arg); break;
	case PREPARE_OP: execmem_text_prepare(TYPE, size); break;
	case FREE_OP: free_nr(arg); break;
	case WORK: meanwhile = arg < 0 ? NULL : free_nr; meanwhile_arg = arg; work(); break;
	case WORK_TRIMMED: unlocks = arg; work(); break;
	case WORK_FAILS: poke_fails = arg; work(); break;
	case TRIM: execmem_text_trim(TYPE, 0, arg); break;
	case BEGIN: begun += begun == ended; break;
	case END: ended = begun; break;
	case OTHERS_OP: others(); break;
	case EPOCH: execmem_text_new_epoch(); break;
	}
	memory_fails = metadata_fails = false;
	poke_fails = 0;
	meanwhile = NULL;
	unlocks = 0;
}

/* --- what has to be true after each step */

static unsigned long hash;
static void mix(unsigned long x) { hash = (hash ^ x) * 0x9e3779b97f4a7c15UL; hash ^= hash >> 29; }
static unsigned long ahead(unsigned long state) { return state > ended ? state - ended : 0; }

static void check_block(struct execmem_block *b)
{
	unsigned int objects = 0, waiting = 0, free = 0, longest = 0, run = 0, i0 = index_of((void *)b->start);
	bool dead = false;

	for (unsigned int i = 0; i < b->nr; i++) {
		struct granule *x = &g[i0 + i];

		if (x->state == TRAPPED && !test_bit(i, b->wait)) {
			CHECK(NEW_SYNC || x->need <= ended);
			x->state = FREE;
		}
		CHECK(test_bit(i, b->used) == (x->state != FREE));
		CHECK(test_bit(i, b->wait) == (x->state == TRAPPED));
		if (x->state != FREE)
			CHECK(test_bit(i, b->first) == x->first);
		CHECK(test_bit(i, b->dead) == ((x->state == DEAD || x->state == TRAPPED) && x->first));
		objects += (x->state == LIVE || x->state == DEAD) && x->first;
		waiting += x->state == TRAPPED;
		dead |= x->state == DEAD;
		run = x->state == FREE ? run + 1 : 0;
		free += x->state == FREE;
		longest = max(longest, run);
		CHECK(xa_load(&execmem_blocks, (b->start + i * GRANULE) >> PAGE_SHIFT) == b);
	}
	CHECK(block_is_empty(b) == !objects && b->waiting == waiting && b->free == free);
	/* The bound may be below a hole by what alignment to 64 bytes costs. */
	CHECK(b->hole <= b->nr && b->hole + 2 * (64 / GRANULE - 1) >= longest);
	CHECK(longest < 64 / GRANULE ? b->hole >= longest : b->hole >= 64 / GRANULE - 1);
	CHECK(b->cursor <= b->nr && (!b->cursor || g[i0 + b->cursor - 1].state != FREE));
	CHECK(!dead || b->queued && pool->drain.queued);
	CHECK(!waiting == list_empty(&b->list));
	CHECK(b->state <= pool->state);
	mix(b->start << 16 | b->nr);
	mix((unsigned long)b->hole << 32 | b->cursor << 8 | block_is_clean(b) << 1 | b->queued);
	mix(b->recent);
	mix(ahead(b->state));
	mix(b->waiting ? (unsigned long)b->wait_from << 32 | b->wait_to : 0);
	mix(b->queued ? (unsigned long)b->dead_from << 32 | b->dead_last : 0);
}

static void check(void)
{
	unsigned long held = 0, empty = 0, dead = 0, live = 0, objects = 0, last = 0, hole = 0;
	struct execmem_block *b;
	int queued = 0;

	hash = 1;
	CHECK(!warned && !mutexes && !spinlocks);
	for (struct rb_node *n = pool->blocks.first; n; n = n->next) {
		b = rb_entry(n, struct execmem_block, node);
		check_block(b);
		held += block_size(b);
		empty += block_is_empty(b) ? block_size(b) : 0;
		CHECK(b->hole >= hole);
		queued -= b->queued;
		hole = b->hole;
	}
	list_for_each_entry(b, &pool->waiting, list) {
		CHECK(b->state >= last);
		last = b->state;
		mix(b->start);
	}
	for (struct llist_node *n = pool->queue.first; n; n = n->next) {
		queued++;
		mix(container_of(n, struct execmem_block, queue)->start);
	}
	for (int i = 0; i < GRANULES; i++) {
		held -= g[i].state > OTHERS ? GRANULE : 0;
		live += g[i].state == LIVE;
		objects += g[i].state == LIVE && g[i].first;
		dead += g[i].state == DEAD || g[i].state == TRAPPED;
		mix(g[i].state | g[i].first << 4 | ahead(g[i].need) << 8 | ahead(g[i].trap) << 16);
	}
	CHECK(queued == 0);
	/* What is held is in blocks, all of it. */
	CHECK(held == 0);
	CHECK(!pool->draining && pool->empty == empty && pool->dead.v == (long)dead * GRANULE);
	CHECK(owners[TYPE].objects.v == (long)objects && owners[TYPE].used.v == (long)live * GRANULE);
	mix(begun - ended);
	mix(ahead(execmem_unmapped) << 32 | ahead(pool->state) << 8 | pool->drain.queued);
	mix(execmem_block_recent ? execmem_block_recent->start : 0);
	mix(execmem_epoch_pages == execmem_epoch);
}

/* Everything comes back. */
static void check_end(void)
{
	for (int i = 0; i < GRANULES; i++)
		free_nr(0);
	work();
	smp_text_poke_sync_each_cpu();
	execmem_text_trim(TYPE, 0, false);
	check();
	CHECK(!pool->blocks.first && pool->held == 0 && pool->empty == 0 && pool->dead.v == 0);
	for (int i = 0; i < GRANULES; i++)
		CHECK(g[i].state == NOTHING);
}

static void start(void)
{
	memset(g, 0, sizeof(g));
	memset(pools, 0, sizeof(pools));
	memset(owners, 0, sizeof(owners));
	memset(execmem_blocks, 0, sizeof(execmem_blocks));
	execmem_block_recent = NULL;
	execmem_unmapped = execmem_epoch = execmem_epoch_pages = begun = ended = 0;
	execmem_text_init();
	execmem_can_queue = true;
}

/* --- all sequences */

static unsigned long *seen;
static unsigned long seen_size = 1UL << 26, states;

static bool is_new(unsigned long h)
{
	unsigned long i = h % seen_size;

	for (; seen[i]; i = (i + 1) % seen_size)
		if (seen[i] == h)
			return false;
	seen[i] = h;
	states++;
	CHECK(states < seen_size / 2);
	return true;
}

int main(void)
{
	unsigned char (*now)[DEPTH] = calloc(1, DEPTH), (*next)[DEPTH] = NULL;
	unsigned long nr = 1, found, room, tried = 0;

	signal(SIGALRM, hangs);
	signal(SIGSEGV, hangs);
	seen = calloc(seen_size, sizeof(*seen));
	for (int depth = 0; depth < DEPTH; depth++) {
		next = NULL;
		found = room = 0;
		for (unsigned long i = 0; i < nr; i++) {
			for (int op = 0; op < OPS; op++) {
				if (!(tried++ & 0xfff))
					alarm(10);
				memcpy(path, now[i], depth);
				path[depth] = op;
				start();
				for (steps = 1; steps <= depth + 1; steps++)
					step(path[steps - 1]);
				steps = depth + 1;
				check();
				if (is_new(hash)) {
					if (found == room)
						next = realloc(next, (room = 2 * room + 1024) * DEPTH);
					memcpy(next[found++], path, DEPTH);
				}
				/* Also to free the blocks. */
				check_end();
			}
		}
		free(now);
		now = next;
		nr = found;
	}
	printf("%lu sequences of up to %d steps, %lu states\n", tried, DEPTH, states);
	return 0;
}
