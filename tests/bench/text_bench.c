// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory and work that pieces of code cost, by each way that a kernel has to
 * allocate memory for them. Built into the base and into the patched kernel
 * (CONFIG_TEXT_BENCH_SHARED) by tests/bench/run, runs at the end of start-up, prints
 * lines "bench: NAME VALUE", and ends.
 *
 * With QEMU's -icount shift=0 a nanosecond of the guest is an instruction.
 */
#include <linux/bpf.h>
#include <linux/cpumask.h>
#include <linux/execmem.h>
#include <linux/filter.h>
#include <linux/kprobes.h>
#include <linux/maple_tree.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <linux/set_memory.h>
#include <linux/slab.h>
#include <linux/text-patching.h>
#include <linux/timekeeping.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#define OPS	200	/* operations that are timed */

static u8 code[8192] __aligned(8);
static void **live;
static size_t *sizes;

/* Half below 500 bytes, three quarters below 2 KiB, as measured for BPF. */
static size_t field_size(unsigned int i)
{
	static const size_t some[] = { 64, 120, 200, 256, 320, 400, 440, 480,
				       560, 800, 1200, 1800, 2200, 2600, 3000, 4000 };

	return some[(i * 7) % ARRAY_SIZE(some)];
}

static size_t size_of(size_t size, unsigned int i)
{
	return size ?: field_size(i);
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
	return text_poke_copy(p, code, size);
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
	for (int i = 0; i < 4; i++) {
		schedule_timeout_uninterruptible(HZ / 20);
		rcu_barrier();
		flush_workqueue(system_dfl_wq);
		flush_workqueue(system_percpu_wq);
	}
}

static unsigned long executable_bytes(void)
{
	return vmalloc_nr_pages() * PAGE_SIZE;
}

static unsigned long free_bytes(void)
{
	return global_zone_page_state(NR_FREE_PAGES) * PAGE_SIZE;
}

static void bench(const struct way *w, size_t size, unsigned int n)
{
	static const char * const kinds[] = { "broadcasts", "tlb-flushes", "attribute-changes" };
	unsigned long held, mem;
	long before[ARRAY_SIZE(kinds)];
	char name[48];
	unsigned int i;
	bool known;
	u64 start;

	snprintf(name, sizeof(name), "%s-%s-%u", w->name, size ? "64" : "field", n);
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

	/* Free one, allocate and write one: the live ones stay as many. */
	for (int k = 0; k < ARRAY_SIZE(kinds); k++)
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
	for (int k = 0; k < ARRAY_SIZE(kinds); k++) {
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

static int __init text_bench(void)
{
	static const unsigned int counts[] = { 1, 100, 1000, 10000, 100000 };

	live = vcalloc(100000, sizeof(*live));
	sizes = vcalloc(100000, sizeof(*sizes));
	if (!live || !sizes)
		return -ENOMEM;
	memset(code, 0, sizeof(code));
	/* Probes would be counted as instructions. */
	if (num_online_cpus() > 1)
		counters_start();

	for (int w = 0; w < ARRAY_SIZE(ways); w++) {
		for (int c = 0; c < ARRAY_SIZE(counts); c++) {
			/* A hundred thousand pages do not fit into the machine. */
			if (counts[c] == 100000 && !strcmp(ways[w].name, "pages"))
				continue;
			bench(&ways[w], 64, counts[c]);
			if (counts[c] >= 1000 && counts[c] <= 10000)
				bench(&ways[w], 0, counts[c]);
		}
	}
	for (int c = 2; c < ARRAY_SIZE(counts); c++) {
		bench_maple(64, counts[c]);
		bench_maple(0, counts[c]);
	}
	pr_info("bench: done\n");
	kernel_restart(NULL);

	return 0;
}
late_initcall_sync(text_bench);
