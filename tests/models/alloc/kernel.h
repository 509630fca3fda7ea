/* SPDX-License-Identifier: GPL-2.0-only */
/* As much of the kernel as mm/execmem_text.c needs, for one thread, and with checks of locks. */
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void stop(int line, const char *what);
#define CHECK(x)	((x) ? (void)0 : stop(__LINE__, #x))

/* A page of 16 granules, and blocks of at most two. */
#define PAGE_SHIFT	7
#define PAGE_SIZE	(1UL << PAGE_SHIFT)
#define SZ_32K		256UL
#define SZ_64K		256UL
#define SZ_1G		(1UL << 30)

#define CONFIG_ARCH_HAS_TEXT_POKE	1
#define CONFIG_ARCH_TEXT_POKE_NEW_SYNC	NEW_SYNC
#define CONFIG_KUNIT			1
#define CONFIG_ARCH_HAS_EXECMEM_HUGE	0
#define IS_ENABLED(x)			(x)
#define VISIBLE_IF_KUNIT		static
#define KUNIT_STATIC_STUB_REDIRECT(...)
#define __ro_after_init
#define __init
#define __rcu
#define noinline
#define likely(x)	(x)
#define unlikely(x)	(x)
typedef uint32_t u32;
typedef uint64_t u64;

enum execmem_type { EXECMEM_DEFAULT, EXECMEM_KPROBES, EXECMEM_FTRACE, EXECMEM_BPF, EXECMEM_TYPE_MAX };
struct execmem_range { unsigned long start, end; };
struct execmem_text_usage { unsigned long blocks, held, empty, metadata, objects, used, dead, trapped; size_t hole; };

#define container_of(p, t, m)	((t *)((char *)(p) - offsetof(t, m)))
#define READ_ONCE(x)		(x)
#define WRITE_ONCE(x, v)	((x) = (v))
#define smp_load_acquire(p)	(*(p))
#define smp_store_release(p, v)	(*(p) = (v))
#define data_race(x)		(x)
#define rcu_dereference(p)	(p)
#define rcu_access_pointer(p)	(p)
#define rcu_assign_pointer(p, v) ((p) = (v))
#define RCU_INIT_POINTER(p, v)	((p) = (v))
#define kasan_reset_tag(p)	(p)
#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define max3(a, b, c)		max(max(a, b), c)
#define max_t(t, a, b)		max((t)(a), (t)(b))
#define ALIGN_DOWN(x, a)	((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN(x, a)		ALIGN_DOWN((x) + (a) - 1, a)
#define IS_ALIGNED(x, a)	(((x) & ((a) - 1)) == 0)
#define PAGE_ALIGN(x)		ALIGN(x, PAGE_SIZE)
#define is_power_of_2(n)	((n) && !((n) & ((n) - 1)))
#define ULONG_CMP_GE(a, b)	(ULONG_MAX / 2 >= (a) - (b))
#define EFAULT			14

static unsigned long rounddown_pow_of_two(unsigned long n)
{
	while (n & (n - 1))
		n &= n - 1;
	return n;
}

static int warned;
static bool warn(bool x)
{
	warned += x;
	return x;
}
#define WARN_ONCE(x, ...)	warn(x)

/* Locks. None is waited for, so who takes one that is held has a deadlock. */
struct mutex { int held; };
typedef struct mutex spinlock_t, raw_spinlock_t;
static struct mutex text_mutex;
static int mutexes, spinlocks;
#define DEFINE_SPINLOCK(n)	spinlock_t n
#define mutex_init(l)		((l)->held = 0)
#define raw_spin_lock_init(l)	((l)->held = 0)
#define lockdep_assert_held(l)	CHECK((l)->held)
#define might_lock(l)		CHECK(!(l)->held)
#define might_sleep()		CHECK(!spinlocks)
#define cond_resched()		might_sleep()

static struct mutex *lock(struct mutex *l, int *count)
{
	CHECK(!l->held);
	CHECK(count == &spinlocks || !spinlocks);
	l->held = 1;
	++*count;
	return l;
}
static void mutex_lock(struct mutex *l) { lock(l, &mutexes); }
static void unlocked(void);
static void unlock(struct mutex *l, int *count)
{
	l->held = 0;
	--*count;
	unlocked();
}
static void mutex_unlock(struct mutex *l) { unlock(l, &mutexes); }
static void mutex_exit(struct mutex **l) { unlock(*l, &mutexes); }
static void spin_exit(struct mutex **l) { unlock(*l, &spinlocks); }
#define PASTE2(a, b)		a##b
#define PASTE(a, b)		PASTE2(a, b)
#define HOLD(l, count, exit)	struct mutex *PASTE(held, __COUNTER__) __attribute__((cleanup(exit))) = lock(l, &count)
#define WHILE(l, count, exit)	for (struct mutex *held __attribute__((cleanup(exit))) = lock(l, &count), *once = held; once; once = NULL)
#define guard(kind)		guard_##kind
#define guard_rcu()		((void)0)
#define guard_mutex(l)		HOLD(l, mutexes, mutex_exit)
#define guard_spinlock(l) HOLD(l, spinlocks, spin_exit)
#define guard_raw_spinlock_irqsave(l) HOLD(l, spinlocks, spin_exit)
#define scoped_guard(kind, ...)	scoped_##kind(__VA_ARGS__)
#define scoped_rcu()		for (int once = 1; once; once = 0)
#define scoped_mutex(l)		WHILE(l, mutexes, mutex_exit)
#define scoped_raw_spinlock_irqsave(l) WHILE(l, spinlocks, spin_exit)

typedef struct { long v; } atomic_long_t;
#define atomic_long_read(a)	((a)->v)
#define atomic_long_add(n, a)	((a)->v += (n))
#define atomic_long_sub(n, a)	((a)->v -= (n))
#define atomic_long_inc(a)	((a)->v++)
#define atomic_long_dec(a)	((a)->v--)

/* Bitmaps. */
#define BITS_PER_LONG		64
#define __ffs(x)		__builtin_ctzl(x)
#define BITS_TO_LONGS(n)	(((n) + 63) / 64)
#define BIT_WORD(i)		((i) / BITS_PER_LONG)
#define test_bit(i, m)		((m)[(i) / 64] >> ((i) % 64) & 1)
#define __set_bit(i, m)		((m)[(i) / 64] |= 1UL << ((i) % 64))
#define clear_bit(i, m)		((m)[(i) / 64] &= ~(1UL << ((i) % 64)))
#define set_bit(i, m)		__set_bit(i, m)
static bool __test_and_set_bit(unsigned int i, unsigned long *m)
{
	bool was = test_bit(i, m);

	__set_bit(i, m);
	return was;
}
static bool test_and_clear_bit(unsigned int i, unsigned long *m)
{
	bool was = test_bit(i, m);

	clear_bit(i, m);
	return was;
}
#define FIND(name, args, x) \
	static unsigned int name(args, unsigned int n, unsigned int i) { while (i < n && !(x)) i++; return min(i, n); }
#define ARGS			const unsigned long *m
FIND(find_next_bit, ARGS, test_bit(i, m))
FIND(find_next_zero_bit, ARGS, !test_bit(i, m))
#undef ARGS
#define ARGS			const unsigned long *m, const unsigned long *not
FIND(find_next_andnot_bit, ARGS, test_bit(i, m) && !test_bit(i, not))
static unsigned int find_last_bit(const unsigned long *m, unsigned int n)
{
	for (unsigned int i = n; i; i--)
		if (test_bit(i - 1, m))
			return i - 1;
	return n;
}
static void bitmap_set(unsigned long *m, unsigned int i, unsigned int n)
{
	for (; n; n--, i++)
		__set_bit(i, m);
}
static void bitmap_clear(unsigned long *m, unsigned int i, unsigned int n)
{
	for (; n; n--, i++)
		clear_bit(i, m);
}

/* Lists. */
struct list_head { struct list_head *next, *prev; };
#define LIST_HEAD(n)		struct list_head n = { &n, &n }
static void INIT_LIST_HEAD(struct list_head *e) { e->next = e->prev = e; }
static bool list_empty(const struct list_head *e) { return e->next == e; }
static void list_del_init(struct list_head *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
	INIT_LIST_HEAD(e);
}
static void list_move_tail(struct list_head *e, struct list_head *h)
{
	list_del_init(e);
	e->next = h;
	e->prev = h->prev;
	h->prev->next = e;
	h->prev = e;
}
#define list_move(e, h)		list_move_tail(e, (h)->next)
#define list_entry(p, t, m)	container_of(p, t, m)
#define list_first_entry_or_null(h, t, m) (list_empty(h) ? NULL : list_entry((h)->next, t, m))
#define list_for_each_entry(p, h, m) \
	for (p = list_entry((h)->next, __typeof__(*p), m); &p->m != (h); p = list_entry(p->m.next, __typeof__(*p), m))
#define list_for_each_entry_safe(p, n, h, m) \
	for (p = list_entry((h)->next, __typeof__(*p), m), n = list_entry(p->m.next, __typeof__(*p), m); \
	     &p->m != (h); p = n, n = list_entry(n->m.next, __typeof__(*n), m))
struct llist_node { struct llist_node *next; };
struct llist_head { struct llist_node *first; };
static void llist_add(struct llist_node *n, struct llist_head *h)
{
	n->next = h->first;
	h->first = n;
}
static struct llist_node *llist_del_all(struct llist_head *h)
{
	struct llist_node *n = h->first;

	h->first = NULL;
	return n;
}
#define llist_entry(n, t, m)	((n) ? container_of(n, t, m) : NULL)
#define llist_for_each_entry_safe(p, n, node, m) \
	for (struct llist_node *at = (node); \
	     (p = llist_entry(at, __typeof__(*p), m)) && (at = at->next, n = llist_entry(at, __typeof__(*p), m), true);)

/* The tree is a sorted list. What the allocator sees of it is the same. */
struct rb_node { struct rb_node *next, *prev; };
struct rb_root { struct rb_node *first; };
#define rb_entry(n, t, m)	container_of(n, t, m)
#define rb_entry_safe(n, t, m)	((n) ? rb_entry(n, t, m) : NULL)
#define rb_next(n)		((n)->next)
#define rb_prev(n)		((n)->prev)
static void rb_add(struct rb_node *n, struct rb_root *r, bool (*less)(struct rb_node *, const struct rb_node *))
{
	struct rb_node **at = &r->first, *prev = NULL;

	while (*at && !less(n, *at)) {
		prev = *at;
		at = &prev->next;
	}
	n->prev = prev;
	n->next = *at;
	if (*at)
		(*at)->prev = n;
	*at = n;
}
static void rb_erase(struct rb_node *n, struct rb_root *r)
{
	*(n->prev ? &n->prev->next : &r->first) = n->next;
	if (n->next)
		n->next->prev = n->prev;
}
#define rb_first(r)		((r)->first)
static struct rb_node *rb_last(const struct rb_root *r)
{
	struct rb_node *n = r->first;

	while (n && n->next)
		n = n->next;
	return n;
}
static struct rb_node *rb_find_first(const void *key, const struct rb_root *r,
				     int (*cmp)(const void *, const struct rb_node *))
{
	struct rb_node *n = r->first;

	while (n && cmp(key, n))
		n = n->next;
	return n;
}

/* The array of blocks covers all pages that there are. */
#define BASE			0x10000UL
#define PAGES			4
#define DEFINE_XARRAY(n)	void *n[PAGES]
static void **xa_slot(void **xa, unsigned long i)
{
	i -= BASE >> PAGE_SHIFT;
	CHECK(i < PAGES);
	return xa + i;
}
#define xa_load(xa, i)		(*xa_slot(*(xa), i))
#define xa_store(xa, i, p, f)	(*xa_slot(*(xa), i) = (p), NULL)
#define xa_erase(xa, i)		(*xa_slot(*(xa), i) = NULL)
#define xa_err(p)		((void)(p), 0)
/* For kallsyms, which the model leaves out. */
#define XA_PRESENT		0
#define xa_find(xa, i, max, mark)	((void)(i), NULL)

/* Work runs when the model says so. Time stands still. */
struct work_struct { int unused; };
struct delayed_work { struct work_struct work; bool queued; void (*fn)(struct work_struct *); };
static unsigned long jiffies;
#define HZ			100
#define msecs_to_jiffies(n)	(n)
#define INIT_DELAYED_WORK(w, f)	((w)->queued = false, (w)->fn = (f))
#define to_delayed_work(w)	container_of(w, struct delayed_work, work)
#define queue_delayed_work(q, w, d) ((w)->queued = true)
#define mod_delayed_work(q, w, d) ((w)->queued = true)
static void flush_delayed_work(struct delayed_work *w)
{
	might_sleep();
	CHECK(!mutexes);
	if (w->queued) {
		w->queued = false;
		w->fn(&w->work);
	}
}

#define GFP_KERNEL		0
static bool metadata_fails;
static void *kvzalloc(size_t n, int flags)
{
	might_sleep();
	CHECK(!mutexes || text_mutex.held && mutexes == 1);
	return metadata_fails ? NULL : calloc(1, n);
}
/* Who goes on to use it gets a pointer that leads nowhere. */
static void kvfree(void *p)
{
	memset(p, 0xa5, malloc_usable_size(p));
	free(p);
}
/* What is used later is noticed. */
#define kvfree_rcu_mightsleep(p) (memset(p, 0xa5, malloc_usable_size(p)), kvfree(p))
#define kmalloc_size_roundup(n)	(n)
#define struct_size(p, m, n)	(sizeof(*(p)) + (n) * sizeof((p)->m[0]))

struct seq_file { int unused; };
struct shrink_control { int unused; };
struct shrinker {
	unsigned long (*count_objects)(struct shrinker *, struct shrink_control *);
	unsigned long (*scan_objects)(struct shrinker *, struct shrink_control *);
};
#define SHRINK_EMPTY		0
#define SHRINK_STOP		0
#define shrinker_alloc(...)	((struct shrinker *)NULL)
#define shrinker_register(s)	((void)(s))
#define seq_printf(...)		((void)0)
#define DEFINE_SHOW_ATTRIBUTE(n) static int n##_fops
#define debugfs_create_file(...) ((void)0)
#define subsys_initcall(f)
#define trace_execmem_text_grow(...) ((void)0)
#define trace_execmem_text_shrink(...) ((void)0)
#define trace_execmem_text_alloc(...) ((void)0)
#define trace_execmem_text_free(...) ((void)0)

struct page;
static const struct execmem_range *execmem_text_range(enum execmem_type type) { return NULL; }
static int execmem_text_pool(enum execmem_type type) { return 0; }
static bool execmem_text_is_shared(enum execmem_type type) { return true; }
static void *execmem_alloc(enum execmem_type type, size_t size) { return NULL; }
static void execmem_free(void *p) { }
static int execmem_find_area_pages(unsigned long addr, size_t size, struct page ***pages) { *pages = NULL; return 0; }
int execmem_find_pages(const void *p, size_t size, struct page ***pages);
void execmem_text_note_pages(bool unmapped);
static unsigned long get_state_text_poke_sync(void);
static bool poll_state_text_poke_sync(unsigned long state);
static void cond_text_poke_sync(unsigned long state);
static void smp_text_poke_sync_each_cpu(void);
static int text_poke_invalidate_nosync(struct page **pages, void *p, size_t n);
static void *execmem_alloc_traps(enum execmem_type type, size_t size, bool bonus);
static void execmem_free_traps(void *p);
