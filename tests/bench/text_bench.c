// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory and work that pieces of code cost, by each way that a kernel has to
 * allocate memory for them. Built into the base and into the patched kernel
 * (TEXT_BENCH_SHARED) by tests/bench/run, runs at the end of start-up, prints
 * lines "bench: NAME VALUE", and ends.
 *
 * With QEMU's -icount shift=0 a nanosecond of the guest is an instruction.
 */
#include <linux/bpf.h>
#include <linux/cpumask.h>
#include <linux/execmem.h>
#include <linux/fdtable.h>
#include <linux/filter.h>
#include <linux/ftrace.h>
#include <linux/hrtimer.h>
#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/kernel_stat.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/maple_tree.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <linux/text-patching.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>
#include <trace/events/sched.h>

#define OPS	200	/* operations that are timed */
#define CHURN	2000	/* objects that come and go */
#define CODE	SZ_1M	/* what is written at most */

/* text_bench.quick: nothing with more than 10,000 of anything, no rejected ways. */
static bool quick;
module_param(quick, bool, 0);
/* text_bench.sync_only: nothing but what depends on the number of CPUs. */
static bool sync_only;
module_param(sync_only, bool, 0);
/* text_bench.writes_only: nothing but writes, and broadcasts for re-use. */
static bool writes_only;
module_param(writes_only, bool, 0);
/* text_bench.off: what is measured is user space. */
static bool off;
module_param(off, bool, 0);

int kern_sys_bpf(int cmd, union bpf_attr *attr, unsigned int size);

static u8 *code;
static void **live;
static size_t *sizes;

/* Half below 500 bytes, three quarters below 2 KiB, as measured for BPF. */
static size_t field_size(unsigned int i)
{
	static const size_t some[] = { 64, 120, 200, 256, 320, 400, 440, 480,
				       560, 800, 1200, 1800, 2200, 2600, 3000, 4000 };

	return some[(i * 7) % ARRAY_SIZE(some)];
}

/* Of all that BPF, kprobes and ftrace have, without the long ones. */
#define MIXED	1

static size_t size_of(size_t size, unsigned int i)
{
	static const size_t mixed[] = { 8, 16, 24, 64, 100, 128, 200, 256 };

	return size == MIXED ? mixed[(i * 5) % ARRAY_SIZE(mixed)] : size ?: field_size(i);
}

/* A page or more for each piece, as ftrace and others do. */
static void *pages_alloc(size_t size)
{
	return execmem_is_rox(EXECMEM_BPF) ? execmem_alloc_rw(EXECMEM_BPF, size) :
					     execmem_alloc(EXECMEM_BPF, size);
}

static int pages_write(void *p, size_t size)
{
	memcpy(p, code, size);
	flush_icache_range((unsigned long)p, (unsigned long)p + size);
	if (execmem_is_rox(EXECMEM_BPF))
		return execmem_restore_rox(p, size);
	set_vm_flush_reset_perms(p);
	return set_memory_rox((unsigned long)p, PAGE_ALIGN(size) >> PAGE_SHIFT);
}

static void pages_free(void *p, size_t size)
{
	execmem_free(p);
}

#ifndef TEXT_BENCH_SHARED
static void fill(void *p, unsigned int size)
{
	memset(p, 0, size);
}

/* What BPF does: a bitmap for each 2 MB. */
static void *pack_alloc(size_t size)
{
	return bpf_prog_pack_alloc(size, fill, false);
}

static int pack_write(void *p, size_t size)
{
	void *ret = bpf_arch_text_copy(p, code, size);

	return IS_ERR_OR_NULL(ret) ? -EIO : 0;
}

static void pack_free(void *p, size_t size)
{
	bpf_prog_pack_free(p, size);
}
#else
static void *shared_alloc(size_t size)
{
	return execmem_text_alloc(EXECMEM_BPF, size, 8);
}

static int shared_write(void *p, size_t size)
{
	/* Whole instructions. */
	return text_poke_copy(p, code, ALIGN(size, 4));
}

static void shared_free(void *p, size_t size)
{
	execmem_text_free(p);
}
#endif

static const struct way {
	const char *name;
	void *(*alloc)(size_t size);
	int (*write)(void *p, size_t size);
	void (*free)(void *p, size_t size);
} ways[] = {
	{ "pages", pages_alloc, pages_write, pages_free },
#ifdef TEXT_BENCH_SHARED
	{ "shared", shared_alloc, shared_write, shared_free },
#else
	{ "pack", pack_alloc, pack_write, pack_free },
#endif
};

/* What each kernel has of its own came last. */
static const struct way * const own = &ways[ARRAY_SIZE(ways) - 1];

/* Calls of functions that reach beyond this CPU, or change a mapping. */
static const struct counted {
	const char *what, *symbol;
} counted[] = {
	{ "broadcasts", "smp_call_function_many_cond" },
	{ "broadcasts", "sbi_remote_fence_i" },
	{ "tlb-flushes", "flush_tlb_kernel_range" },
	{ "tlb-flushes", "flush_tlb_all" },
	{ "tlb-flushes", "radix__flush_tlb_kernel_range" },
	{ "tlb-flushes", "cpa_flush" },
	{ "attribute-changes", "change_page_attr_set_clr" },
	{ "attribute-changes", "change_memory_common" },
	{ "attribute-changes", "__change_memory_common" },
	{ "attribute-changes", "__set_memory" },
	{ "attribute-changes", "change_memory_attr" },
};

static struct kprobe probes[ARRAY_SIZE(counted)];
static atomic_long_t hits[ARRAY_SIZE(counted)];
static bool counting[ARRAY_SIZE(counted)];

static int hit(struct kprobe *p, struct pt_regs *regs)
{
	atomic_long_inc(&hits[p - probes]);
	return 0;
}
NOKPROBE_SYMBOL(hit);

static void counters_start(void)
{
	for (int i = 0; i < ARRAY_SIZE(counted); i++) {
		probes[i] = (struct kprobe){
			.symbol_name = counted[i].symbol,
			.pre_handler = hit,
		};
		counting[i] = !register_kprobe(&probes[i]);
	}
}

/* Several symbols of one kind: what the architecture has. */
static long count_of(const char *what, bool *known)
{
	long n = 0;

	*known = false;
	for (int i = 0; i < ARRAY_SIZE(counted); i++) {
		if (strcmp(counted[i].what, what) || !counting[i])
			continue;
		*known = true;
		n += atomic_long_read(&hits[i]);
	}
	return n;
}

/* Let workers and grace periods do what the last operations left to them. */
static void settle(void)
{
	for (int i = 0; i < 3; i++) {
#ifdef CONFIG_TASKS_RCU
		rcu_barrier_tasks();
#endif
		rcu_barrier();
		schedule_timeout_uninterruptible(HZ / 10);
	}
}

#ifdef CONFIG_ARCH_HAS_EXECMEM_ROX
/*
 * Bytes in the cache of huge pages that nobody has been given. They are counted as
 * free, or what the first user of a huge page needs would hide what the others do.
 */
static unsigned long rox_free_bytes(void)
{
	struct {
		struct mutex mutex;
		struct maple_tree busy_areas;
		struct maple_tree free_areas;
	} *cache = (void *)kallsyms_lookup_name("execmem_cache");
	unsigned long bytes = 0;
	void *area;

	if (WARN_ON_ONCE(!cache))
		return 0;

	guard(mutex)(&cache->mutex);
	MA_STATE(mas, &cache->free_areas, 0, ULONG_MAX);
	mas_for_each(&mas, area, ULONG_MAX)
		bytes += mas.last - mas.index + 1;

	return bytes;
}
#else
static unsigned long rox_free_bytes(void)
{
	return 0;
}
#endif

/* Of vmalloc memory; to the page, so with what CPUs have not summed up yet. */
static unsigned long executable_bytes(void)
{
	pg_data_t *pgdat;
	long pages = 0;
	int cpu;

	for_each_online_pgdat(pgdat) {
		pages += node_page_state_pages(pgdat, NR_VMALLOC);
		for_each_online_cpu(cpu)
			pages += per_cpu_ptr(pgdat->per_cpu_nodestats,
					     cpu)->vm_node_stat_diff[NR_VMALLOC];
	}

	return pages * PAGE_SIZE - rox_free_bytes();
}

static unsigned long free_bytes(void)
{
	drain_local_pages(NULL);
	return global_zone_page_state(NR_FREE_PAGES) * PAGE_SIZE + rox_free_bytes();
}

static const char * const kinds[] = { "broadcasts", "tlb-flushes", "attribute-changes" };
#define NR_KINDS ARRAY_SIZE(kinds)

static void bench(const struct way *w, size_t size, unsigned int n)
{
	unsigned long held, mem;
	long before[NR_KINDS];
	char name[48];
	unsigned int i;
	bool known;
	u64 start;

	if (size == MIXED)
		snprintf(name, sizeof(name), "%s-mixed-%u", w->name, n);
	else if (size)
		snprintf(name, sizeof(name), "%s-%zu-%u", w->name, size, n);
	else
		snprintf(name, sizeof(name), "%s-field-%u", w->name, n);
	settle();
	held = executable_bytes();
	mem = free_bytes();
	for (i = 0; i < n; i++) {
		sizes[i] = size_of(size, i);
		live[i] = w->alloc(sizes[i]);
		if (!live[i] || w->write(live[i], sizes[i])) {
			pr_info("bench: %s failed at %u\n", name, i);
			n = live[i] ? i + 1 : i;
			goto out;
		}
	}
	settle();
	pr_info("bench: %s-held %lu\n", name, executable_bytes() - held);
	pr_info("bench: %s-memory %ld\n", name, (long)(mem - free_bytes()));

	if (n < 1000)
		goto out;

	if (size == MIXED) {
		/* Holes of all sizes. */
		for (i = 0; i < n; i++) {
			unsigned int at = (i * 7919) % n;

			w->free(live[at], sizes[at]);
			sizes[at] = size_of(size, i + at);
			live[at] = w->alloc(sizes[at]);
			if (!live[at]) {
				pr_info("bench: %s failed\n", name);
				goto out;
			}
			if (i % 1000 == 0)
				schedule_timeout_uninterruptible(msecs_to_jiffies(20));
		}
		settle();
		pr_info("bench: %s-churned-memory %ld\n", name, (long)(mem - free_bytes()));
	}

	/* Free one, allocate and write one: the live ones stay as many. */
	for (int k = 0; k < NR_KINDS; k++)
		before[k] = count_of(kinds[k], &known);
	start = ktime_get_ns();
	for (i = 0; i < OPS; i++) {
		unsigned int at = (i * 7919) % n;

		w->free(live[at], sizes[at]);
		live[at] = w->alloc(sizes[at]);
		if (!live[at] || w->write(live[at], sizes[at])) {
			pr_info("bench: %s failed\n", name);
			break;
		}
	}
	pr_info("bench: %s-instructions %llu\n", name, (ktime_get_ns() - start) / OPS);
	settle();
	for (int k = 0; k < NR_KINDS; k++) {
		long c = count_of(kinds[k], &known) - before[k];

		if (known)
			pr_info("bench: %s-%s %ld/%d\n", name, kinds[k], c, OPS);
	}
out:
	for (i = 0; i < n; i++)
		w->free(live[i], sizes[i]);
	settle();
	pr_info("bench: %s-left %ld\n", name, (long)(executable_bytes() - held));
}

/*
 * The bookkeeping alone, with an entry of a maple tree for each object: what the
 * shared allocator could use instead of its bitmaps.
 */
static void bench_maple(size_t size, unsigned int n)
{
	struct maple_tree mt;
	unsigned long at, mem, total = 0;
	unsigned int i;
	char name[32];
	u64 start;

	snprintf(name, sizeof(name), "maple-%s-%u", size ? "64" : "field", n);
	mt_init_flags(&mt, MT_FLAGS_ALLOC_RANGE);
	for (i = 0; i < n; i++)
		total += size_of(size, i);
	settle();
	mem = free_bytes();
	for (i = 0; i < n; i++) {
		if (mtree_alloc_range(&mt, &at, &mt, size_of(size, i), 0, 2 * total, GFP_KERNEL))
			break;
		live[i] = (void *)at;
	}
	settle();
	pr_info("bench: %s-memory %ld\n", name, (long)(mem - free_bytes()));
	start = ktime_get_ns();
	for (i = 0; i < OPS; i++) {
		unsigned int o = (i * 7919) % n;

		mtree_erase(&mt, (unsigned long)live[o]);
		if (mtree_alloc_range(&mt, &at, &mt, size_of(size, o), 0, 2 * total, GFP_KERNEL))
			break;
		live[o] = (void *)at;
	}
	pr_info("bench: %s-instructions %llu\n", name, (ktime_get_ns() - start) / OPS);
	mtree_destroy(&mt);
	settle();
}

/*
 * Small programs come and go: how many broadcasts this takes for each 64 KiB that is
 * freed and used again, and how many of them the allocation sends.
 */
static void bench_churn(const struct way *w, unsigned int kb)
{
	unsigned long held = 0, freed = 0;
	long sent, by_alloc = 0;
	unsigned int n = 0;
	bool known;

	settle();
	while (held < kb * 1000) {
		sizes[n] = field_size(n);
		live[n] = w->alloc(sizes[n]);
		if (!live[n] || w->write(live[n], sizes[n])) {
			pr_info("bench: churn-%u failed at %u\n", kb, n);
			n += !!live[n];
			goto out;
		}
		held += sizes[n++];
	}
	settle();
	sent = count_of("broadcasts", &known);
	for (unsigned int i = 0; i < CHURN; i++) {
		unsigned int at = (i * 7919) % n;

		w->free(live[at], sizes[at]);
		freed += sizes[at];
		sizes[at] = field_size(i);
		by_alloc -= count_of("broadcasts", &known);
		live[at] = w->alloc(sizes[at]);
		by_alloc += count_of("broadcasts", &known);
		if (!live[at] || w->write(live[at], sizes[at])) {
			pr_info("bench: churn-%u failed\n", kb);
			goto out;
		}
		/* Let the worker trap what was freed: time passes between programs. */
		if (i % 100 == 99)
			schedule_timeout_uninterruptible(msecs_to_jiffies(20));
	}
	sent = count_of("broadcasts", &known) - sent;
	if (known) {
		pr_info("bench: churn-%u-broadcasts %ld/%lu\n", kb, sent * 64, freed / SZ_1K);
		pr_info("bench: churn-%u-alloc-broadcasts %ld/%lu\n", kb, by_alloc * 64, freed / SZ_1K);
	}
out:
	while (n--)
		w->free(live[n], sizes[n]);
	settle();
}

/*
 * 200 KB of programs are loaded and unloaded again, 100 times, beside 50 KB that stay.
 * After the first time everything should be there.
 */
static void bench_rounds(const struct way *w)
{
	long before[NR_KINDS];
	unsigned int n = 0, baseline = 0;
	unsigned long held = 0;
	bool known;

	settle();
	for (int round = -1; round <= 100; round++) {
		unsigned long limit = round < 0 ? 50 * 1000 : 250 * 1000;

		if (round == 1) {
			for (int k = 0; k < NR_KINDS; k++)
				before[k] = count_of(kinds[k], &known);
		}
		while (held < limit) {
			sizes[n] = field_size(n);
			live[n] = w->alloc(sizes[n]);
			if (!live[n] || w->write(live[n], sizes[n])) {
				pr_info("bench: rounds failed at %u\n", n);
				n += !!live[n];
				goto out;
			}
			held += sizes[n++];
		}
		if (round < 0) {
			baseline = n;
			continue;
		}
		while (n > baseline) {
			held -= sizes[--n];
			w->free(live[n], sizes[n]);
		}
		schedule_timeout_uninterruptible(msecs_to_jiffies(50));
	}
	for (int k = 0; k < NR_KINDS; k++) {
		long c = count_of(kinds[k], &known) - before[k];

		if (known)
			pr_info("bench: rounds-%s %ld/100\n", kinds[k], c);
	}
out:
	while (n--)
		w->free(live[n], sizes[n]);
	settle();
}

/*
 * The longest stretch with interrupts off, in instructions: how late the interrupt of
 * a timer is at worst, as its phase moves over the work. A timer that expires in the
 * stretch waits for its end. What the interrupt itself takes is what it is late with
 * nothing done, and is subtracted. The tick, soft interrupts and other tasks have
 * stretches of their own: what comes soon after one of them does not count.
 */
static struct hrtimer late_timer;
static struct task_struct *late_task;
static unsigned int late_nr, late_counted, late_skip;
static unsigned long late_others;
static u64 late_least, late_most, late_entry;

static enum hrtimer_restart late_fn(struct hrtimer *t)
{
	u64 now = ktime_get_ns(), late = now - ktime_to_ns(hrtimer_get_expires(t));
	unsigned long others = jiffies + late_task->nvcsw + late_task->nivcsw;

	if (current != late_task || in_serving_softirq() || others != late_others) {
		late_others = others;
		late_skip = 4;
	}
	if (late_skip) {
		late_skip--;
	} else {
		late_counted++;
		late_least = min(late_least, late);
		late_most = max(late_most, late);
	}
	/*
	 * Another distance each time, or work that takes as long each time is met at
	 * the same place each time. Longer than what is left to do in the interrupt.
	 */
	hrtimer_set_expires(t, ns_to_ktime(now + 10007 + ++late_nr * 6185 % 10007));
	return HRTIMER_RESTART;
}

static void bench_irqs_off(const struct way *w, void *p, size_t len)
{
	u64 start = ktime_get_ns();

	late_task = current;
	late_nr = late_counted = 0;
	late_least = U64_MAX;
	late_most = 0;
	hrtimer_setup(&late_timer, late_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	hrtimer_start(&late_timer, 10007, HRTIMER_MODE_REL_PINNED_HARD);
	/* A long write may have one stretch: enough of them. */
	for (int i = 0; i < 100 || ktime_get_ns() - start < 50 * NSEC_PER_MSEC; i++) {
		if (len)
			w->write(p, len);
		else
			cpu_relax();
	}
	hrtimer_cancel(&late_timer);

	if (!len)
		late_entry = late_least;
	if (late_counted)
		pr_info("bench: bulk-%zu-irqs-off %llu\n", len,
			max(late_most, late_entry) - late_entry);
	else
		pr_info("bench: bulk-%zu-irqs-off failed\n", len);
}

/* Parts of a large object, from the start of a page on. */
static void bench_bulk(const struct way *w)
{
	static const size_t lens[] = { 8, 64, SZ_4K, SZ_64K, CODE };
	void *p = w->alloc(CODE + PAGE_SIZE), *at = PTR_ALIGN(p, PAGE_SIZE);

	if (!p) {
		pr_info("bench: bulk failed\n");
		return;
	}
	for (int l = 0; l < ARRAY_SIZE(lens); l++) {
		u64 start = ktime_get_ns();

		for (int i = 0; i < OPS / 10; i++) {
			if (w->write(at, lens[l]))
				pr_info("bench: bulk-%zu failed\n", lens[l]);
		}
		pr_info("bench: bulk-%zu-instructions %llu\n", lens[l],
			(ktime_get_ns() - start) / (OPS / 10));
	}
	/* Timers of the highest resolution there is, or it says nothing. */
	if (hrtimer_resolution == 1) {
		bench_irqs_off(w, at, 0);
		for (int l = 0; l < ARRAY_SIZE(lens); l++)
			bench_irqs_off(w, at, lens[l]);
	}
	w->free(p, CODE + PAGE_SIZE);
}

#ifdef TEXT_BENCH_SHARED
/* What a write consists of besides the copy. */
static void bench_parts(void)
{
	void *p = shared_alloc(SZ_4K);
	struct page **pages;
	bool known;
	u64 start;

	if (!p)
		return;
	known = !shared_write(p, 64);

	start = ktime_get_ns();
	for (int i = 0; i < OPS; i++) {
		mutex_lock(&text_mutex);
		mutex_unlock(&text_mutex);
	}
	pr_info("bench: part-lock-instructions %llu\n", (ktime_get_ns() - start) / OPS);

	start = ktime_get_ns();
	for (int i = 0; i < OPS; i++)
		known &= !execmem_find_pages(p, 64, &pages);
	pr_info("bench: part-check-instructions %llu\n", (ktime_get_ns() - start) / OPS);

	/* Elsewhere it is no memcmp(). */
	if (IS_ENABLED(CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS)) {
		start = ktime_get_ns();
		for (int i = 0; i < OPS; i++) {
			size_t len = 64;

			OPTIMIZER_HIDE_VAR(len);
			known &= !memcmp(p, code, len);
		}
		pr_info("bench: part-compare-instructions %llu\n", (ktime_get_ns() - start) / OPS);
	}
	if (!known)
		pr_info("bench: part failed\n");

	start = ktime_get_ns();
	for (int i = 0; i < OPS; i++)
		text_poke_sync();
	pr_info("bench: part-sync-instructions %llu\n", (ktime_get_ns() - start) / OPS);

	shared_free(p, SZ_4K);
}
#else
static void bench_parts(void) { }
#endif

/* The memory of BPF trampolines and of images of struct_ops. */
static void bench_trampolines(unsigned int n)
{
	const unsigned int size = 300;
	long before[NR_KINDS];
	unsigned long held;
	bool known;
	unsigned int i;
	u64 start;

	settle();
	held = executable_bytes();
	for (int k = 0; k < NR_KINDS; k++)
		before[k] = count_of(kinds[k], &known);
	start = ktime_get_ns();
	for (i = 0; i < n; i++) {
#ifdef TEXT_BENCH_SHARED
		live[i] = bpf_image_alloc(size);
		if (IS_ERR_OR_NULL(live[i]) || text_poke_copy(live[i], code, size))
			break;
#else
		live[i] = arch_alloc_bpf_trampoline(size);
		if (IS_ERR_OR_NULL(live[i]) || IS_ERR_OR_NULL(bpf_arch_text_copy(live[i], code, size)) ||
		    arch_protect_bpf_trampoline(live[i], size))
			break;
#endif
	}
	pr_info("bench: trampolines-%u-instructions %llu\n", n, (ktime_get_ns() - start) / n);
	settle();
	pr_info("bench: trampolines-%u-held %lu\n", n, executable_bytes() - held);
	for (int k = 0; k < NR_KINDS; k++) {
		long c = count_of(kinds[k], &known) - before[k];

		if (known)
			pr_info("bench: trampolines-%u-%s %ld/%u\n", n, kinds[k], c, n);
	}
	while (i--) {
#ifdef TEXT_BENCH_SHARED
		bpf_image_free(live[i], size);
#else
		arch_free_bpf_trampoline(live[i], size);
#endif
	}
	settle();
}

/* --- what the users of such memory do, through the interfaces that they have --- */

/* Nanoseconds that tasks have run: this one, and the workers that it leaves work to. */
static u64 busy_ns(void)
{
	struct task_struct *p, *t;
	u64 ns = 0;

	guard(rcu)();
	for_each_process_thread(p, t)
		ns += task_sched_runtime(t);

	return ns;
}

struct usage {
	unsigned long held, mem;
	long counts[NR_KINDS];
	u64 busy;
};

static void usage_start(struct usage *u)
{
	bool known;

	settle();
	u->held = executable_bytes();
	u->mem = free_bytes();
	for (int k = 0; k < NR_KINDS; k++)
		u->counts[k] = count_of(kinds[k], &known);
	u->busy = busy_ns();
}

static void usage_end(struct usage *u, const char *name, unsigned int n, long not_code)
{
	bool known;

	settle();
	pr_info("bench: %s-instructions %llu\n", name, (busy_ns() - u->busy) / n);
	pr_info("bench: %s-held %ld\n", name, (long)(executable_bytes() - u->held) - not_code);
	pr_info("bench: %s-memory %ld\n", name, (long)(u->mem - free_bytes()));
	for (int k = 0; k < NR_KINDS; k++) {
		long c = count_of(kinds[k], &known) - u->counts[k];

		if (known)
			pr_info("bench: %s-%s %ld/%u\n", name, kinds[k], c, n);
	}
}

#define MAX_INSNS	1024
static struct bpf_insn insns[MAX_INSNS];

static struct bpf_prog *bpf_load(unsigned int len)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SYSCALL,
		.prog_flags = BPF_F_SLEEPABLE,
		.insn_cnt = len,
		.insns = (unsigned long)insns,
		.license = (unsigned long)"GPL",
	};
	struct bpf_prog *prog;
	int fd = kern_sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		return NULL;
	prog = bpf_prog_get(fd);
	close_fd(fd);
	/* Only on the way to user space would the file be closed. */
	task_work_run();

	return IS_ERR(prog) ? NULL : prog;
}

/* An instruction of four bytes on each architecture, until the size is reached. */
static struct bpf_prog *bpf_load_size(size_t size)
{
	unsigned int len = 0;

	insns[len++] = BPF_MOV64_IMM(BPF_REG_0, 1);
	while (len < size / 4 - 8)
		insns[len++] = BPF_ALU64_IMM(BPF_ADD, BPF_REG_0, 1);
	insns[len++] = BPF_EXIT_INSN();

	return bpf_load(len);
}

static struct bpf_prog *bpf_load_subprograms(unsigned int n)
{
	unsigned int len = 0;

	for (unsigned int i = 0; i < n; i++, len++)
		insns[len] = BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n + i);
	insns[len++] = BPF_EXIT_INSN();
	for (unsigned int i = 0; i < n; i++) {
		insns[len++] = BPF_MOV64_IMM(BPF_REG_0, i);
		insns[len++] = BPF_EXIT_INSN();
	}

	return bpf_load(len);
}

/* @n programs of field-like sizes, or with @subprograms each. */
static void bench_bpf(unsigned int n, unsigned int subprograms)
{
	char name[48];
	struct usage u;
	long data = 0;
	unsigned int i;

	snprintf(name, sizeof(name), "bpf%s-%u-load", subprograms ? "-subprograms" : "", n);
	usage_start(&u);
	for (i = 0; i < n; i++) {
		struct bpf_prog *prog = subprograms ? bpf_load_subprograms(subprograms) :
						      bpf_load_size(field_size(i));

		if (!prog) {
			pr_info("bench: %s failed at %u\n", name, i);
			break;
		}
		/* The structure lives in vmalloc memory as well. */
		data += prog->pages * PAGE_SIZE;
		live[i] = prog;
	}
	usage_end(&u, name, n, subprograms ? 0 : data);

	snprintf(name, sizeof(name), "bpf%s-%u-unload", subprograms ? "-subprograms" : "", n);
	usage_start(&u);
	while (i--)
		bpf_prog_put(live[i]);
	usage_end(&u, name, n, 0);
}

#if defined(CONFIG_PPC)
#define RET "blr"
#else
#define RET "ret"
#endif
/* On arm64 a nop needs no slot. */
#ifdef CONFIG_ARM64
#define INSN "add	x0, x0, #1"
#else
#define INSN "nop"
#endif

/* Functions of a hundred instructions that can be probed. */
asm(".pushsection .text\n"
    ".macro text_bench_function\n"
    "text_bench_function_\\@:\n"
    ".rept 100\n"
    "	" INSN "\n"
    ".endr\n"
    "	" RET "\n"
    ".endm\n"
    ".balign 16\n"
    "text_bench_functions:\n"
    ".rept 101\n"
    "	text_bench_function\n"
    ".endr\n"
    ".popsection\n");
extern const u8 text_bench_functions[];

static int probe_hit(struct kprobe *p, struct pt_regs *regs)
{
	return 0;
}

static unsigned long slot_of(const struct kprobe *p)
{
#if defined(CONFIG_ARM64)
	return (unsigned long)p->ainsn.xol_insn;
#elif defined(CONFIG_RISCV)
	return (unsigned long)p->ainsn.api.insn;
#else
	return (unsigned long)p->ainsn.insn;
#endif
}

static struct kprobe *many_probes, **many_list;

static bool kprobes_alloc(unsigned int n)
{
	many_list = kvcalloc(n, sizeof(*many_list), GFP_KERNEL);
	many_probes = kvcalloc(n, sizeof(*many_probes), GFP_KERNEL);

	return many_list && many_probes;
}

static void kprobes_free(void)
{
	kvfree(many_list);
	kvfree(many_probes);
}

/* Returns how many could be registered. */
static unsigned int kprobes_register(unsigned int n)
{
	const unsigned int insn = IS_ENABLED(CONFIG_X86) ? 1 : 4;

	for (unsigned int i = 0; i < n; i++) {
		many_probes[i].addr = (void *)(text_bench_functions + (i + i / 100) * insn);
		many_probes[i].pre_handler = probe_hit;
		if (register_kprobe(&many_probes[i])) {
			pr_info("bench: kprobes-%u failed at %u\n", n, i);
			return i;
		}
		many_list[i] = &many_probes[i];
	}

	return n;
}

static void kprobes_unregister(unsigned int n)
{
	for (unsigned int i = 0; i < n; i += 100)
		unregister_kprobes(many_list + i, min(n - i, 100u));
}

static void bench_kprobes(unsigned int n)
{
	unsigned int done;
	char name[48];
	struct usage u;

	if (!kprobes_alloc(n))
		goto out;

	snprintf(name, sizeof(name), "kprobes-%u-register", n);
	usage_start(&u);
	done = kprobes_register(n);
	usage_end(&u, name, n, 0);

	if (done == n) {
		u64 start = ktime_get_ns();
		int known = 0;

		for (int i = 0; i < OPS; i++)
			known += kernel_text_address(slot_of(&many_probes[(i * 7919) % n]));
		pr_info("bench: kprobes-%u-lookup %llu\n", n, (ktime_get_ns() - start) / OPS);
		if (known != OPS)
			pr_info("bench: kprobes-%u-lookup failed\n", n);
	}

	snprintf(name, sizeof(name), "kprobes-%u-unregister", n);
	usage_start(&u);
	kprobes_unregister(done);
	usage_end(&u, name, n, 0);
out:
	kprobes_free();
}

static void notrace trace_hit(unsigned long ip, unsigned long parent, struct ftrace_ops *op,
		      struct ftrace_regs *fregs)
{
}

/* Every function of the kernel, as the function tracer does. */
static void bench_tracer(void)
{
	static struct ftrace_ops everything = { .func = trace_hit };
	u64 on = 0, off = 0;

	for (int i = 0; i < 3; i++) {
		u64 start = ktime_get_ns();

		if (register_ftrace_function(&everything)) {
			pr_info("bench: tracer failed\n");
			return;
		}
		on += ktime_get_ns() - start;
		start = ktime_get_ns();
		unregister_ftrace_function(&everything);
		off += ktime_get_ns() - start;
	}
	pr_info("bench: tracer-on-instructions %llu\n", on / 3);
	pr_info("bench: tracer-off-instructions %llu\n", off / 3);
}

static DEFINE_STATIC_KEY_FALSE(bench_key);
#define BRANCH		if (static_branch_unlikely(&bench_key)) n++;
#define BRANCHES_10	BRANCH BRANCH BRANCH BRANCH BRANCH BRANCH BRANCH BRANCH BRANCH BRANCH
#define BRANCHES_100	BRANCHES_10 BRANCHES_10 BRANCHES_10 BRANCHES_10 BRANCHES_10 \
			BRANCHES_10 BRANCHES_10 BRANCHES_10 BRANCHES_10 BRANCHES_10

static noinline int branches(void)
{
	int n = 0;

	BRANCHES_100 BRANCHES_100 BRANCHES_100 BRANCHES_100 BRANCHES_100
	BRANCHES_100 BRANCHES_100 BRANCHES_100 BRANCHES_100 BRANCHES_100

	return n;
}

/* A thousand places that one key changes. */
static void bench_jump_labels(void)
{
	u64 start = ktime_get_ns();

	for (int i = 0; i < 10; i++) {
		static_branch_enable(&bench_key);
		if (branches() != 1000)
			pr_info("bench: jump-labels failed\n");
		static_branch_disable(&bench_key);
	}
	pr_info("bench: jump-labels-instructions %llu\n", (ktime_get_ns() - start) / 20);
}

/*
 * The longest hold of text_mutex, in instructions, on the only CPU: from the call of
 * mutex_lock() to the call of mutex_unlock(), or from one unlock to the next if the
 * second holder had to wait, which is an upper bound. Interrupts and other tasks that
 * run meanwhile are included, and so are the hooks, see what "nothing done" takes.
 * Time with nothing to run is left out, for instance while the optimizer of kprobes
 * holds the mutex and waits for a grace period.
 */
static u64 hold_since, hold_longest, hold_idle, hold_idle_since;

static u64 hold_clock(void)
{
	return ktime_get_ns() - hold_idle;
}

static void notrace hold_switch(void *data, bool preempt, struct task_struct *prev,
				struct task_struct *next, unsigned int prev_state)
{
	if (is_idle_task(next))
		hold_idle_since = ktime_get_ns();
	else if (is_idle_task(prev) && hold_idle_since)
		hold_idle += ktime_get_ns() - hold_idle_since;
}

static void notrace hold_lock(unsigned long ip, unsigned long parent, struct ftrace_ops *op,
			      struct ftrace_regs *fregs)
{
	if (ftrace_regs_get_argument(fregs, 0) == (unsigned long)&text_mutex &&
	    !mutex_is_locked(&text_mutex))
		hold_since = hold_clock();
}

static void notrace hold_unlock(unsigned long ip, unsigned long parent, struct ftrace_ops *op,
				struct ftrace_regs *fregs)
{
	u64 now;

	if (ftrace_regs_get_argument(fregs, 0) != (unsigned long)&text_mutex)
		return;
	now = hold_clock();
	hold_longest = max(hold_longest, now - hold_since);
	hold_since = now;
}

static void hold_start(void)
{
	settle();
	hold_longest = 0;
}

/* Workers hold it too for what was left to them. */
static void hold_end(const char *name)
{
	settle();
	pr_info("bench: hold-%s %llu\n", name, hold_longest);
}

#ifdef TEXT_BENCH_SHARED
/* Every second object, so that no two of them are trapped together. */
static void hold_frees(unsigned int n)
{
	char name[32];

	for (unsigned int i = 0; i < 2 * n; i++)
		live[i] = shared_alloc(64);
	snprintf(name, sizeof(name), "frees-%u", n);
	hold_start();
	/* The worker comes when all of them were freed. */
	preempt_disable();
	for (unsigned int i = 0; i < 2 * n; i += 2)
		shared_free(live[i], 64);
	preempt_enable();
	hold_end(name);
	for (unsigned int i = 1; i < 2 * n; i += 2)
		shared_free(live[i], 64);
}
#else
static void hold_frees(unsigned int n) { }
#endif

static void bench_holds(const struct way *w)
{
	static struct ftrace_ops ops[] = { { .func = hold_lock }, { .func = hold_unlock } };
	const unsigned long at[] = { (unsigned long)mutex_lock, (unsigned long)mutex_unlock };
	void *p = w->alloc(SZ_64K + PAGE_SIZE);
	int hooks;

	if (!p || register_trace_sched_switch(hold_switch, NULL)) {
		pr_info("bench: holds failed\n");
		goto out;
	}
	for (hooks = 0; hooks < ARRAY_SIZE(ops); hooks++) {
		if (ftrace_set_filter_ip(&ops[hooks], at[hooks], 0, 0) ||
		    register_ftrace_function(&ops[hooks])) {
			pr_info("bench: holds failed\n");
			goto out_hooks;
		}
	}

	hold_start();
	mutex_lock(&text_mutex);
	mutex_unlock(&text_mutex);
	hold_end("nothing");

	hold_start();
	if (w->write(PTR_ALIGN(p, PAGE_SIZE), SZ_64K))
		pr_info("bench: hold-write failed\n");
	hold_end("write");

	hold_frees(quick ? 1000 : 100000);

	hold_start();
	static_branch_enable(&bench_key);
	static_branch_disable(&bench_key);
	hold_end("jump-labels");

	if (kprobes_alloc(1000)) {
		hold_start();
		kprobes_unregister(kprobes_register(1000));
		hold_end("kprobes");
	}
	kprobes_free();

out_hooks:
	while (hooks--)
		unregister_ftrace_function(&ops[hooks]);
	unregister_trace_sched_switch(hold_switch, NULL);
out:
	if (p)
		w->free(p, SZ_64K + PAGE_SIZE);
}

#ifdef TEXT_BENCH_SHARED
#define SYNC_THREADS	8

/* With more CPUs than the machine has, a broadcast takes its time. */
static unsigned int sync_calls(void)
{
	return num_online_cpus() > 4 ? 200 : 1000;
}

static int sync_thread(void *arg)
{
	for (int i = 0; i < sync_calls(); i++)
		text_poke_sync();
	if (atomic_dec_and_test(arg))
		wake_up_var(arg);

	return 0;
}

/* How many broadcasts come of many callers at a time. */
static void bench_sync(void)
{
	static atomic_t running = ATOMIC_INIT(SYNC_THREADS);
	bool known;
	long n;

	n = count_of("broadcasts", &known);
	for (int i = 0; i < SYNC_THREADS; i++) {
		if (IS_ERR(kthread_run(sync_thread, &running, "text_bench/%d", i))) {
			pr_info("bench: sync failed\n");
			return;
		}
	}
	wait_var_event(&running, !atomic_read(&running));
	n = count_of("broadcasts", &known) - n;
	if (known)
		pr_info("bench: sync-broadcasts %ld/%d\n", n, SYNC_THREADS * sync_calls());
}

#ifdef CONFIG_X86
/* How many CPUs with nothing to do are interrupted for it. */
static void bench_sync_idle(void)
{
	long n = 0;
	int cpu;

	for (int i = 0; i < OPS; i++) {
		int this;

		/* Let the others go to sleep. */
		schedule_timeout_uninterruptible(2);
		migrate_disable();
		this = smp_processor_id();
		for_each_online_cpu(cpu) {
			if (cpu != this)
				n -= per_cpu(irq_stat, cpu).counts[IRQ_COUNT_CALL_FUNCTION];
		}
		text_poke_sync();
		for_each_online_cpu(cpu) {
			if (cpu != this)
				n += per_cpu(irq_stat, cpu).counts[IRQ_COUNT_CALL_FUNCTION];
		}
		migrate_enable();
	}
	pr_info("bench: sync-idle-interrupts %ld/%d\n", n, OPS);
}
#else
static void bench_sync_idle(void) { }
#endif
#else
static void bench_sync(void) { }
static void bench_sync_idle(void) { }
#endif

#ifdef CONFIG_X86
static noinline void traced(void)
{
	barrier();
}

/* Each ops with a trampoline of its own. */
static void bench_ftrace(unsigned int n)
{
	struct ftrace_ops *ops;
	char name[48];
	struct usage u;
	unsigned int i;

	snprintf(name, sizeof(name), "ftrace-%u-register", n);
	for (i = 0; i < n; i++)
		live[i] = kzalloc(sizeof(*ops), GFP_KERNEL);
	usage_start(&u);
	for (i = 0; i < n; i++) {
		ops = live[i];
		if (!ops)
			break;
		ops->func = trace_hit;
		if (ftrace_set_filter_ip(ops, (unsigned long)traced, 0, 0) ||
		    register_ftrace_function(ops)) {
			pr_info("bench: %s failed at %u\n", name, i);
			break;
		}
	}
	traced();
	usage_end(&u, name, n, 0);

	snprintf(name, sizeof(name), "ftrace-%u-unregister", n);
	usage_start(&u);
	while (i--)
		unregister_ftrace_function(live[i]);
	usage_end(&u, name, n, 0);
	for (i = 0; i < n; i++)
		kfree(live[i]);
}
#endif

#ifdef CONFIG_X86
/* A trampoline without the rest of the registration. */
static void bench_ftrace_trampoline(void)
{
	struct ftrace_ops *ops = kzalloc(sizeof(*ops), GFP_KERNEL);
	u64 start;

	if (!ops)
		return;
	ops->func = trace_hit;
	ops->trampoline = 0;
	start = busy_ns();
	for (int i = 0; i < OPS; i++) {
		ops->flags = FTRACE_OPS_FL_DYNAMIC;
		arch_ftrace_update_trampoline(ops);
		if (!ops->trampoline) {
			pr_info("bench: ftrace-trampoline failed\n");
			break;
		}
		arch_ftrace_trampoline_free(ops);
	}
	settle();
	pr_info("bench: ftrace-trampoline-instructions %llu\n", (busy_ns() - start) / OPS);
	kfree(ops);
}
#endif

static void bench_users(void)
{
	bench_bpf(1, 0);
	bench_bpf(1000, 0);
	bench_bpf(100, 8);
	bench_kprobes(1);
	bench_kprobes(1000);
	/* Their calls are counted with a thousand. */
	if (!quick && num_online_cpus() == 1)
		bench_kprobes(10000);
#ifdef CONFIG_X86
	bench_ftrace(1);
	bench_ftrace(200);
	if (!quick && num_online_cpus() == 1)
		bench_ftrace(1000);
	bench_ftrace_trampoline();
#endif
	bench_trampolines(1000);
	bench_tracer();
	bench_jump_labels();
	if (num_online_cpus() == 1)
		bench_holds(own);
	bench_sync();
	if (num_online_cpus() > 1)
		bench_sync_idle();
}

static int __init text_bench(void)
{
	static const unsigned int counts[] = { 1, 100, 1000, 10000, 100000 };

	pr_info("bench: cpus %u\n", num_online_cpus());
	if (off)
		return 0;

	live = vcalloc(1000000, sizeof(*live));
	sizes = vcalloc(1000000, sizeof(*sizes));
	code = vzalloc(CODE);
	if (!live || !sizes || !code)
		return -ENOMEM;
	pr_info("bench: boot-instructions %llu\n", ktime_get_ns());
	/* Probes would be counted as instructions. */
	if (num_online_cpus() > 1)
		counters_start();
	if (sync_only) {
		bench_sync();
		bench_sync_idle();
		goto out;
	}

	for (int w = 0; w < ARRAY_SIZE(ways) && !writes_only; w++) {
		for (int c = 0; c < ARRAY_SIZE(counts); c++) {
			/* What is counted there is the same for any number. */
			if (num_online_cpus() > 1) {
				if (counts[c] == 10000)
					bench(&ways[w], 64, counts[c]);
				continue;
			}
			/* A hundred thousand pages do not fit into the machine. */
			if (counts[c] == 100000 && (quick || !strcmp(ways[w].name, "pages")))
				continue;
			bench(&ways[w], 64, counts[c]);
			if (counts[c] >= 1000)
				bench(&ways[w], 50, counts[c]);
			if (counts[c] >= 1000 && counts[c] <= 10000)
				bench(&ways[w], 0, counts[c]);
		}
#ifdef TEXT_BENCH_SHARED
		/* The packs would be searched for an hour. */
		if (num_online_cpus() == 1 && &ways[w] == own) {
			bench(own, MIXED, 1000);
			if (!quick) {
				bench(own, MIXED, 100000);
				bench(own, MIXED, 1000000);
			}
		}
#endif
	}
	if (num_online_cpus() == 1) {
		bench_bulk(own);
		bench_parts();
	} else {
		bench_churn(own, 50);
		bench_churn(own, 500);
		bench_churn(own, 5000);
		bench_rounds(own);
	}
	if (writes_only)
		goto out;
	for (int c = 2; c < ARRAY_SIZE(counts) && !quick && num_online_cpus() == 1; c++) {
		bench_maple(64, counts[c]);
		bench_maple(0, counts[c]);
	}
	bench_users();
out:
	pr_info("bench: done\n");
	kernel_restart(NULL);

	return 0;
}
late_initcall_sync(text_bench);
