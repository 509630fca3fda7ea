// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory and work that pieces of code cost. Built into the base and into the patched kernel by
 * tests/bench/run, runs at the end of start-up, prints lines "bench: NAME = VALUE/NUMBER", and
 * ends. Rows with one name are compared.
 * With QEMU's -icount shift=0 a nanosecond of the guest is an instruction.
 */
#include <linux/bpf.h>
#include <linux/execmem.h>
#include <linux/fdtable.h>
#include <linux/filter.h>
#include <linux/ftrace.h>
#include <linux/hrtimer.h>
#include <linux/kprobes.h>
#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/perf_event.h>
#include <linux/prandom.h>
#include <linux/reboot.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/task_work.h>
#include <linux/text-patching.h>
#include <linux/uio.h>
#include <linux/umh.h>

#define OPS	200	/* operations that are timed */
#define CODE	SZ_1M	/* what is written at most */
#define MANY	1000000	/* objects at most */

/* text_bench.quick: nothing with more than 10,000 of anything. */
static bool quick;
module_param(quick, bool, 0);
/* text_bench.only: one of writes, objects, mapping, patching, users, sync; or nothing. */
static char *only = "";
module_param(only, charp, 0);

int kern_sys_bpf(int cmd, union bpf_attr *attr, unsigned int size);
extern const struct bpf_link_ops bpf_struct_ops_link_lops;

static u8 *code;
static void **live;
static size_t *sizes;
static bool one_cpu;
static struct rnd_state rnd;

#define result(v, n, fmt, ...)	pr_info("bench: " fmt " = %ld/%u\n", ##__VA_ARGS__, (long)(v), n)
#define missing(row)		pr_info("bench: FAILED: " row "\n")

/* Nothing is measured after that. */
static void end_if(bool failed, const char *what)
{
	if (!failed)
		return;
	pr_info("bench: FAILED: %s\n", what);
	kernel_restart(NULL);
}

#define TIMED(n, what, fmt, ...) do {					\
	u64 start_ = ktime_get_ns();					\
	for (unsigned int i_ = 0; i_ < (n); i_++) {			\
		what;							\
	}								\
	result(ktime_get_ns() - start_, n, fmt ": instructions", ##__VA_ARGS__); \
} while (0)

enum { BROADCASTS, FLUSHES, CHANGES, GROWS, SHRINKS, RECORDS, BYTES, INTERRUPTS, SYNCS, NR_KINDS };
#define MAX_SYMBOLS	5
/* Calls of functions that reach beyond this CPU, or change a mapping. */
static const struct {
	const char *name;
	const char *symbols[MAX_SYMBOLS];
} counted[NR_KINDS] = {
	[BROADCASTS] = { "broadcasts", { "smp_call_function_many_cond", "sbi_remote_fence_i" } },
	[FLUSHES] = { "TLB flushes", { "flush_tlb_kernel_range", "flush_tlb_all", "cpa_flush",
				       "radix__flush_tlb_kernel_range" } },
	[CHANGES] = { "attribute changes", { "change_page_attr_set_clr", "change_memory_common",
					     "__change_memory_common", "__set_memory",
					     "change_memory_attr" } },
	/* The pools of the series, the packs of the base. */
	[GROWS] = { "grows", { "execmem_alloc_traps", "bpf_jit_alloc_exec" } },
	[SHRINKS] = { "shrinks", { "execmem_free_traps", "bpf_jit_free_exec" } },
	[RECORDS] = { "perf records", { "perf_output_begin" } },
	[BYTES] = { "bytes for perf", { "perf_output_begin" } },
	/* Of other CPUs than 0, which calls. Rows of their own have them. */
	[INTERRUPTS] = { NULL, { "generic_smp_call_function_single_interrupt" } },
	/* What the interrupts of a broadcast call. */
	[SYNCS] = { NULL, { "text_poke_sync_interrupt", "text_poke_sync_catch_up", "do_sync_core",
			    "do_nothing", "ipi_remote_fence_i" } },
};

static struct kprobe probes[NR_KINDS][MAX_SYMBOLS];
static atomic_long_t hits[NR_KINDS];
static bool known[NR_KINDS];

static int hit(struct kprobe *p, struct pt_regs *regs)
{
	int kind = (p - probes[0]) / MAX_SYMBOLS;

	if (kind == BYTES)
		atomic_long_add((u32)regs_get_kernel_argument(regs, 3), &hits[kind]);
	else if (kind < INTERRUPTS || raw_smp_processor_id())
		atomic_long_inc(&hits[kind]);
	return 0;
}
NOKPROBE_SYMBOL(hit);

static void counters_start(void)
{
	for (int k = 0; k < NR_KINDS; k++) {
		for (int i = 0; i < MAX_SYMBOLS && counted[k].symbols[i]; i++) {
			probes[k][i].symbol_name = counted[k].symbols[i];
			probes[k][i].pre_handler = hit;
			known[k] |= !register_kprobe(&probes[k][i]);
		}
	}
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

/* Blocks that are given back some seconds after they are empty do not count for the next row. */
static void let_trim(void)
{
	if (!one_cpu)
		schedule_timeout_uninterruptible(12 * HZ);
}

/* As if memory were short. Blocks are given back once they have been empty for a second. */
static void give_back(void)
{
	schedule_timeout_uninterruptible(HZ + HZ / 2);
	drop_slab();
	kvfree_rcu_barrier();
	/* Where the metadata of a block of 32 KiB, or of a larger page, came from. */
	kmem_cache_shrink(kmalloc_caches[KMALLOC_NORMAL][ilog2(max(SZ_4K, PAGE_SIZE / 8))]);
	settle();
}

/* Cached huge pages count as free, or what their first user needs would hide what others do. */
static unsigned long rox_free_bytes(void)
{
	unsigned long bytes = 0;
#ifdef CONFIG_ARCH_HAS_EXECMEM_ROX
	struct {
		struct mutex mutex;
		struct maple_tree busy_areas, free_areas;
	} *cache = (void *)kallsyms_lookup_name("execmem_cache");
	void *area;

	guard(mutex)(&cache->mutex);
	MA_STATE(mas, &cache->free_areas, 0, ULONG_MAX);
	mas_for_each(&mas, area, ULONG_MAX)
		bytes += mas.last - mas.index + 1;
#endif
	return bytes;
}

/* Of vmalloc memory; to the page, so with what the one CPU has not summed up yet. */
static unsigned long executable_bytes(void)
{
	long pages = global_node_page_state_pages(NR_VMALLOC) +
		raw_cpu_read(NODE_DATA(0)->per_cpu_nodestats->vm_node_stat_diff[NR_VMALLOC]);

	return pages * PAGE_SIZE - rox_free_bytes();
}

static unsigned long free_bytes(void)
{
	drain_local_pages(NULL);
	return global_zone_page_state(NR_FREE_PAGES) * PAGE_SIZE;
}

/* Nanoseconds that tasks have run: this one, and the workers that it leaves work to. */
static long busy_ns(void)
{
	struct task_struct *p, *t;
	u64 ns = 0;

	guard(rcu)();
	for_each_process_thread(p, t)
		ns += task_sched_runtime(t);
	return ns;
}

static struct { long held, mem, busy; } at_start;	/* when usage_start() was called */
static long usage_busy;					/* what the end costs itself */
static bool perf_listens;

static void usage_start(void)
{
	settle();
	/* Where memory is measured nothing may be kept. */
	if (one_cpu)
		give_back();
	at_start.held = executable_bytes();
	at_start.mem = free_bytes() + rox_free_bytes();
	memset(hits, 0, sizeof(hits));
	at_start.busy = busy_ns();
}

#define NO_MEMORY	(-1)
static char name[96];

/* @n times; @data bytes of vmalloc memory are no code. A few say nothing about time. */
static void usage_print(unsigned int n, long data)
{
	settle();
	if (one_cpu && n >= 10)
		result(busy_ns() - at_start.busy - usage_busy, n, "%s: instructions", name);
	if (one_cpu && data >= 0) {
		result(executable_bytes() - at_start.held - data, n,
		       "%s: bytes of executable memory", name);
		result(at_start.mem - free_bytes() - rox_free_bytes(), n, "%s: bytes in all", name);
	}
	for (int k = 0; k < INTERRUPTS; k++) {
		if (known[k] && perf_listens == (k >= RECORDS))
			result(atomic_long_read(&hits[k]), n, "%s: %s", name, counted[k].name);
	}
}

#define usage_end(n, data, ...)	(snprintf(name, sizeof(name), __VA_ARGS__), usage_print(n, data))

/* A loop that is measured. If it is left early, there is no row. */
#define for_usage(i, n, data, fmt, ...)						\
	for (unsigned int i = (usage_start(), 0);				\
	     i < (n) || (usage_end(n, data, fmt, ##__VA_ARGS__), false); i++)

#define PROGRAM	0
#define MIXED	1	/* every second one is a slot or a trampoline */

static size_t size_of(size_t size, unsigned int i)
{
	/* As measured for BPF: half below 500 bytes, three quarters below 2 KiB, 1152 on average. */
	static const size_t programs[] = { 64, 120, 200, 256, 320, 400, 440, 480,
					   560, 800, 1200, 1800, 2200, 2600, 3000, 4000 };
	static const size_t slots[] = { 8, 16, 24, 40, 64, 100, 180, 256 };

	if (size > MIXED)
		return size;
	if (size == MIXED && i % 2 == 0)
		return slots[i / 2 % ARRAY_SIZE(slots)];
	return programs[(size == MIXED ? i / 2 : i) * 7 % ARRAY_SIZE(programs)];
}

#ifndef DEFINE_TEXT_POKE_BATCH
#define SERIES				0
/* What BPF does: a bitmap for each 2 MB. */
#define own_alloc(size)			bpf_prog_pack_alloc(size, bpf_jit_fill_hole_with_zero, false)
#define own_free(p, size)		bpf_prog_pack_free(p, size)
#ifdef CONFIG_S390
#define own_write(p, size)		({ s390_kernel_write(p, code, size); 0; })
#else
#define own_write(p, size)		IS_ERR_OR_NULL(bpf_arch_text_copy(p, code, size))
#endif
#define image_alloc			arch_alloc_bpf_trampoline
#define image_protect			arch_protect_bpf_trampoline
#define image_free			arch_free_bpf_trampoline
#define prepare_trampoline		bpf_struct_ops_prepare_trampoline
#define pack_alloc(prog, ...)		bpf_jit_binary_pack_alloc(__VA_ARGS__, false)
#define finalize			bpf_jit_binary_pack_finalize
#define DEFINE_TEXT_POKE_BATCH(name)
#define text_poke_batch_end(batch)	do { } while (0)
#else
#define SERIES				1
/* Programs have 128 MB on riscv, slots have more. */
#define own_alloc(size) \
	execmem_text_alloc(EXECMEM_KPROBES, size, (size) < 64 ? 8 : (size) % 3 ? 64 : 16)
#define own_write(p, size)		text_poke_copy(p, code, size)
#define own_free(p, size)		execmem_text_free(EXECMEM_KPROBES, p)
#define image_alloc			bpf_image_alloc
#define image_protect(p, size)		0
#define image_free			bpf_image_free
#define prepare_trampoline(tnodes, node, model, stub, image, size, may_allocate) ({	\
	*(image) = bpf_struct_ops_prepare_trampoline(&batch, tnodes, node, model, stub, size); \
	PTR_ERR_OR_ZERO(*(image)); })
#define pack_alloc(prog, ...)		bpf_jit_binary_pack_alloc(__VA_ARGS__, prog)
#define finalize(...)			bpf_jit_binary_pack_finalize(NULL, __VA_ARGS__)
#endif

static void make(unsigned int at, size_t size, bool write)
{
	sizes[at] = size;
	live[at] = own_alloc(size);
	end_if(!live[at] || (write && own_write(live[at], size)), "objects");
}

static void fill(unsigned int from, unsigned int to, size_t size, bool write)
{
	for (unsigned int i = from; i < to; i++)
		make(i, size_of(size, i), write);
}

static void free_each(unsigned int from, unsigned int to, unsigned int step)
{
	for (unsigned int i = from; i < to; i += step)
		own_free(live[i], sizes[i]);
}

/* Object @at goes, another one comes. */
static void replace(unsigned int at, size_t size, bool write)
{
	own_free(live[at], sizes[at]);
	make(at, size, write);
}

static void bench(size_t size, unsigned int n)
{
	const char *what = size == MIXED ? "of mixed sizes" : "of 64 bytes";

	for_usage(i, n, 0, "%u objects %s", n, what)
		make(i, size_of(size, i), n <= 10000);
	/* Holes of all sizes. */
	if (size == MIXED)
		for_usage(i, n, NO_MEMORY, "free + allocate, each of %u objects %s", n, what) {
			replace(prandom_u32_state(&rnd) % n, size_of(size, i), false);
			if (i % 1000 == 0)
				schedule_timeout_uninterruptible(msecs_to_jiffies(20));
		}
	/* The live ones stay as many. */
	if (n >= 1000)
		for_usage(i, max(10 * OPS, n / 10), NO_MEMORY,
			  "free + allocate + write, %u objects %s", n, what)
			replace(prandom_u32_state(&rnd) % n, size_of(size, i), true);
	free_each(0, n, 1);
	let_trim();
}

/* Small programs come and go: what each 64 KiB cost that are freed and used again. */
static void bench_churn(unsigned int kb)
{
	unsigned int n = kb * 1000 / 1152;
	unsigned long freed = 0;

	fill(0, n, PROGRAM, false);
	usage_start();
	for (unsigned int i = 0; i < 10 * OPS; i++) {
		unsigned int at = i * 7919 % n;

		freed += sizes[at];
		replace(at, size_of(PROGRAM, i), true);
		/* Let the worker trap what was freed: time passes between programs. */
		if (i % 100 == 99)
			schedule_timeout_uninterruptible(msecs_to_jiffies(20));
	}
	usage_end(freed / SZ_64K, NO_MEMORY, "64 KiB of programs freed and used again, %u KB live", kb);
	free_each(0, n, 1);
}

static void come_and_go(unsigned int from, unsigned int to)
{
	free_each(from, to, 1);
	schedule_timeout_uninterruptible(msecs_to_jiffies(50));
	fill(from, to, PROGRAM, true);
}

/* Programs come and go, beside others that stay. After the first time all should be there. */
static void bench_rounds(void)
{
	const unsigned int baseline = 50 * 1000 / 1152, all = 250 * 1000 / 1152;

	fill(0, all, PROGRAM, false);
	come_and_go(baseline, all);
	let_trim();
	for_usage(i, 100, NO_MEMORY, "load and unload 200 KB of programs once more")
		come_and_go(baseline, all);
	free_each(0, all, 1);
}

/* What the system gets back of code that was freed. */
static void bench_pressure(unsigned int n)
{
	static const char * const when[] = { "at once", "12 s later", "under pressure" };
	long before;

	for (int w = 0; w < ARRAY_SIZE(when); w++) {
		/* What earlier rows have left goes back meanwhile. */
		schedule_timeout_uninterruptible(60 * HZ);
		settle();
		before = free_bytes();
		fill(0, n, MIXED, false);
		/* All but every 16th at first. */
		for (int all = 0; all < 2; all++) {
			for (unsigned int i = !all; i < (all ? 1 : 16); i++)
				free_each(i, n, 16);
			settle();
			if (w == 1)
				schedule_timeout_uninterruptible(12 * HZ);
			else if (w == 2)
				give_back();
			settle();
			result(before - free_bytes(), n, "%s of %u objects freed: bytes of each that stay, %s",
			       all ? "all" : "15/16", n, when[w]);
		}
	}
}

/*
 * The longest stretch with interrupts off, in instructions: how late the interrupt of a timer is
 * at worst, as its phase moves over the work. A timer that expires in the stretch waits for its
 * end. What the interrupt itself takes is what it is late with nothing done, and is subtracted.
 * The tick, soft interrupts and other tasks have stretches of their own: what comes soon after one
 * of them does not count, and the work has its longest stretch in each of several rounds. On
 * powerpc the replay of the interrupt that was masked is part of it.
 */
static struct hrtimer late_timer;
static struct task_struct *late_task;
static unsigned long late_nr, late_skip, late_others;
static u64 late_least, late_most, late_entry = U64_MAX;

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
		late_least = min(late_least, late);
		late_most = max(late_most, late);
	}
	/* Another distance each time, or equal work is met at one place. The interrupt needs less. */
	hrtimer_set_expires(t, ns_to_ktime(now + 10007 + ++late_nr * 6185 % 10007));
	return HRTIMER_RESTART;
}

/* Returns whether it can be measured. Without a write, the stretches of others are left. */
static bool bench_irqs_off(void *p, size_t len)
{
	u64 longest = U64_MAX, start;

	late_task = current;
	hrtimer_setup(&late_timer, late_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	for (int round = 0; round < 3; round++) {
		late_least = U64_MAX;
		late_most = 0;
		start = ktime_get_ns();
		hrtimer_start(&late_timer, 10007, HRTIMER_MODE_REL_PINNED_HARD);
		/* A long write may have one stretch: enough of them. */
		for (int i = 0; i < 100 || ktime_get_ns() - start < 50 * NSEC_PER_MSEC; i++) {
			if (len)
				end_if(own_write(p, len), "writes");
			else
				cpu_relax();
		}
		hrtimer_cancel(&late_timer);
		/* Nothing counted. */
		if (!late_most)
			continue;
		if (!len)
			late_entry = min(late_entry, late_least);
		longest = min(longest, max(late_most, late_entry) - late_entry);
	}
	if (longest > (len ? S64_MAX : 1000)) {
		missing("interrupts off");
		return false;
	}
	result(longest, 1, "write %zu bytes: longest stretch with interrupts off", len);
	return true;
}

/* Parts of a large object, from the start of a page on. */
static void bench_writes(void)
{
	static const size_t lens[] = { 8, 64, SZ_4K, SZ_64K, CODE };
	void *p = own_alloc(CODE + PAGE_SIZE), *at = PTR_ALIGN(p, PAGE_SIZE);
	bool bad = false;

	end_if(!p, "writes");
	for (int l = 0; l < ARRAY_SIZE(lens); l++)
		TIMED(20, bad |= own_write(at, lens[l]), "write %zu bytes", lens[l]);
	/* The optimizer of kprobes may still have stretches of its own. */
	settle();
	/* Timers of the highest resolution there is, or it says nothing. */
	if (hrtimer_resolution == 1 && bench_irqs_off(at, 0)) {
		for (int l = 0; l < ARRAY_SIZE(lens); l++)
			bench_irqs_off(at, lens[l]);
	}
#if SERIES
	/* What a write consists of besides the copy. */
	struct page **pages;

	TIMED(OPS, guard(mutex)(&text_mutex), "part of a write: text_mutex");
	TIMED(OPS, bad |= execmem_find_pages(at, 64, &pages), "part of a write: the check");
	TIMED(OPS, text_poke_sync(), "part of a write on arm64 and riscv: text_poke_sync()");
#endif
	end_if(bad, "writes");
	own_free(p, CODE + PAGE_SIZE);
}

static struct bpf_insn insns[1024];

/* @size bytes, of four for each instruction on each architecture; or calls of @n subprograms. */
static struct bpf_prog *bpf_load(size_t size, unsigned int n)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SYSCALL,
		.prog_flags = BPF_F_SLEEPABLE,
		.insns = (unsigned long)insns,
		.license = (unsigned long)"GPL",
	};
	unsigned int len = 0;
	struct bpf_prog *prog;
	int fd;

	for (; len < n; len++)
		insns[len] = BPF_RAW_INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, n + len);
	if (!n)
		insns[len++] = BPF_MOV64_IMM(BPF_REG_0, 1);
	while (len + 8 < size / 4)
		insns[len++] = BPF_ALU64_IMM(BPF_ADD, BPF_REG_0, 1);
	insns[len++] = BPF_EXIT_INSN();
	for (unsigned int i = 0; i < n; i++) {
		insns[len++] = BPF_MOV64_IMM(BPF_REG_0, i);
		insns[len++] = BPF_EXIT_INSN();
	}
	attr.insn_cnt = len;
	fd = kern_sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
	prog = bpf_prog_get(fd);
	close_fd(fd);
	/* Only on the way to user space would the file be closed. */
	task_work_run();
	end_if(IS_ERR(prog), "programs");
	return prog;
}

/* @n programs of field-like sizes, or with @subprograms each. */
static void bench_bpf(unsigned int n, unsigned int subprograms)
{
	const char *with = subprograms ? " with 8 subprograms" : "";
	long data = 0;

	for_usage(i, n, data, "load %u BPF programs%s", n, with) {
		live[i] = bpf_load(subprograms ? 0 : size_of(PROGRAM, i), subprograms);
		/* The structure lives in vmalloc memory as well. */
		data += ((struct bpf_prog *)live[i])->pages * PAGE_SIZE;
	}
	for_usage(i, n, NO_MEMORY, "unload %u BPF programs%s", n, with)
		bpf_prog_put(live[i]);
	let_trim();
}

static void bpf_fill(void *p, unsigned int size)
{
	memset(p, 0, size);
}

/* The memory of a program, without the verifier and the JIT, beside another one. */
static void bench_bpf_memory(unsigned int size)
{
	struct bpf_prog *prog = bpf_load(64, 0);
	struct bpf_binary_header *ro, *rw;
	u8 *image, *rw_image;

	for_usage(i, OPS, NO_MEMORY, "memory of a program of %u bytes: allocate + write + free", size) {
		ro = pack_alloc(prog, size - 32, &image, 4, &rw, &rw_image, bpf_fill);
		/* On s390 the base cannot write to such memory. */
		if (!ro || finalize(ro, rw)) {
			missing("memory of a program");
			break;
		}
		bpf_jit_binary_pack_free(ro, NULL);
	}
	bpf_prog_put(prog);
}

static void bench_trampolines(unsigned int n)
{
	const unsigned int size = 300;

	for_usage(i, n, 0, "memory of %u BPF trampolines: allocate + write", n) {
		live[i] = image_alloc(size);
		end_if(IS_ERR_OR_NULL(live[i]) || own_write(live[i], size) ||
		       image_protect(live[i], size), "trampolines");
	}
	while (n--)
		image_free(live[n], size);
}

/* What maps with 16 members do when they are registered. */
static void bench_struct_ops(unsigned int maps)
{
	const struct btf_func_model model = { .ret_size = 4, .nr_args = 1, .arg_size = { 8 } };
	static struct bpf_tramp_nodes tnodes[BPF_TRAMP_MAX];
	struct bpf_tramp_link *link = kzalloc(sizeof(*link), GFP_KERNEL);
	struct bpf_prog *prog = bpf_load(64, 0);
	unsigned int n = 0, bytes = 0;

	end_if(!link, "struct_ops");
	bpf_tramp_link_init(link, BPF_LINK_TYPE_STRUCT_OPS, &bpf_struct_ops_link_lops, prog, 0, 0);
	for_usage(m, maps, NO_MEMORY, "a map of struct_ops with 16 members") {
		DEFINE_TEXT_POKE_BATCH(batch);
		void *image = NULL;
		unsigned int first = n;
		u32 used = 0;

		for (int i = 0; i < 16; i++) {
			end_if(prepare_trampoline(tnodes, &link->node, &model, hit, &image, &used, true),
			       "struct_ops");
			if (!n || image != live[n - 1]) {
				live[n] = image;
				sizes[n++] = SERIES ? used : PAGE_SIZE;
			}
		}
		text_poke_batch_end(&batch);
		for (; first < n; bytes += sizes[first++])
			end_if(image_protect(live[first], sizes[first]), "struct_ops");
	}
	if (one_cpu)
		result(bytes, maps, "a map of struct_ops with 16 members: bytes of images");
	while (n--)
		image_free(live[n], sizes[n]);
	bpf_link_put(&link->link);
}

/* On arm64 a nop needs no slot. */
#if defined(CONFIG_ARM64)
#define INSN		"add	x0, x0, #1"
#define SLOT_OF(p)	((p)->ainsn.xol_insn)
#elif defined(CONFIG_RISCV)
#define INSN		"nop"
#define SLOT_OF(p)	((p)->ainsn.api.insn)
#else
#define INSN		"nop"
#define SLOT_OF(p)	((p)->ainsn.insn)
#endif

/* Functions of 101 instructions. The first hundred are probed, and none ever runs. */
asm(".pushsection .text\n"
    ".macro text_bench_function\n"
    "text_bench_function_\\@:\n"
    ".rept 101\n"
    "	" INSN "\n"
    ".endr\n"
    ".endm\n"
    ".balign 16\n"
    "text_bench_functions:\n"
    ".rept 101\n"
    "	text_bench_function\n"
    ".endr\n"
    ".popsection\n");
extern const u8 text_bench_functions[];

/* Readers take turns, so that they would disturb each other if they could. */
static void read_kallsyms(unsigned int readers, unsigned int n)
{
	int (*open)(struct inode *i, struct file *f) = (void *)kallsyms_lookup_name("kallsyms_open");
	const struct kvec vec = { code, PAGE_SIZE };
	struct file files[2] = { };
	struct kiocb kiocbs[2];
	struct iov_iter iter;
	long bytes = 0, before;
	u64 start;

	end_if(!open, "kallsyms");
	for (int r = 0; r < readers; r++) {
		files[r].f_cred = current_cred();
		open(NULL, &files[r]);
		init_sync_kiocb(&kiocbs[r], &files[r]);
	}
	start = ktime_get_ns();
	do {
		before = bytes;
		for (int r = 0; r < readers; r++) {
			iov_iter_kvec(&iter, ITER_DEST, &vec, 1, PAGE_SIZE);
			bytes += seq_read_iter(&kiocbs[r], &iter);
		}
	} while (bytes > before);
	result(ktime_get_ns() - start, readers, "read kallsyms, %u kprobes, %u at a time: instructions",
	       n, readers);
	result(bytes, readers, "read kallsyms, %u kprobes, %u at a time: bytes", n, readers);
	for (int r = 0; r < readers; r++)
		seq_release_private(NULL, &files[r]);
}

static struct kprobe many_probes[10000], *many_list[10000];

static void kprobe_make(unsigned int i)
{
	const unsigned int insn = IS_ENABLED(CONFIG_X86) ? 1 : 4;

	many_list[i] = &many_probes[i];
	memset(&many_probes[i], 0, sizeof(*many_probes));
	many_probes[i].addr = (void *)(text_bench_functions + (i + i / 100) * insn);
	end_if(register_kprobe(&many_probes[i]), "kprobes");
	live[i] = SLOT_OF(&many_probes[i]);
	sizes[i] = 4;
}

static void kprobes_unregister(unsigned int n)
{
	for (unsigned int i = 0; i < n; i += 100)
		unregister_kprobes(many_list + i, min(n - i, 100u));
}

static void bench_kprobes(unsigned int n)
{
	unsigned int yes = 0;

	for_usage(i, n, 0, "register %u kprobes", n)
		kprobe_make(i);
	if (one_cpu) {
		TIMED(10 * OPS, yes += kernel_text_address((unsigned long)live[i_ * 7919 % n]),
		      "kernel_text_address() of a slot, %u kprobes", n);
		end_if(yes != 10 * OPS, "kernel_text_address()");
		read_kallsyms(1, n);
		read_kallsyms(2, n);
	}
	usage_start();
	kprobes_unregister(n);
	usage_end(n, NO_MEMORY, "unregister %u kprobes", n);
}

static void notrace trace_hit(unsigned long ip, unsigned long parent, struct ftrace_ops *op,
		      struct ftrace_regs *fregs)
{
}

static DEFINE_STATIC_KEY_FALSE(bench_key);
#define BRANCH		if (static_branch_unlikely(&bench_key)) n++;
#define TEN(what)	what what what what what what what what what what

static noinline int branches(void)
{
	int n = 0;

	TEN(TEN(TEN(BRANCH)))
	return n;
}

/* A thousand places that one key changes. */
static void toggle_branches(bool on)
{
	(on ? static_key_enable : static_key_disable)(&bench_key.key);
	end_if(on && branches() != 1000, "jump labels");
}

#define MISS_CALLS	20000
#define TLB_ENTRIES	48	/* the first level for instructions of Arm's Neoverse N1 */
static unsigned long tlb[20000];

/* Bytes that the entry of @addr maps, or its run with the contiguous bit; below 0 if nothing. */
static long entry_size(unsigned long addr)
{
	p4d_t *p4d = p4d_offset(pgd_offset_k(addr), addr);
	pud_t *pud;
	pmd_t *pmd;
	pte_t *pte;
	long size;

	if (p4d_none(p4dp_get(p4d)))
		return -P4D_SIZE;
	pud = pud_offset(p4d, addr);
	if (pud_leaf(pudp_get(pud)) || pud_none(pudp_get(pud)))
		return pud_leaf(pudp_get(pud)) ? PUD_SIZE : -PUD_SIZE;
	pmd = pmd_offset(pud, addr);
	if (pmd_leaf(pmdp_get(pmd)) || pmd_none(pmdp_get(pmd)))
		return pmd_leaf(pmdp_get(pmd)) ? PMD_SIZE : -PMD_SIZE;
	pte = pte_offset_kernel(pmd, addr);
	size = arch_vmap_pte_range_unmap_size(addr, pte);
	return pte_present(ptep_get(pte)) ? size : -size;
}

static unsigned long direct_map_entries(void)
{
	unsigned long end = (unsigned long)high_memory, addr, n = 0;
	long size;

	for (addr = PAGE_OFFSET; addr < end; addr = ALIGN(addr + 1, abs(size))) {
		size = entry_size(addr);
		n += size > 0;
	}
	return n;
}

enum order { IN_TURN, RANDOM, OFTEN };	/* a tenth of them in nine cases of ten */

/* Misses of a fully associative LRU TLB of @nr entries: @runs of @n objects, from end to end. */
static unsigned long tlb_misses(u32 nr, u32 n, u32 runs, enum order order)
{
	unsigned long addr, entry, size, misses = 0;
	unsigned int at, i;

	memset(tlb, 0, sizeof(tlb));
	for (unsigned int run = 0; run < runs; run++) {
		at = order == IN_TURN ? run : prandom_u32_state(&rnd) % n;
		if (order == OFTEN && prandom_u32_state(&rnd) % 10)
			at %= n / 10;
		for (addr = (unsigned long)live[at]; addr < (unsigned long)live[at] + sizes[at];
		     addr = entry + size) {
			size = entry_size(addr);
			entry = ALIGN_DOWN(addr, size);
			for (i = 0; i < nr - 1 && tlb[i] && tlb[i] != entry; i++)
				;
			misses += tlb[i] != entry;
			memmove(&tlb[1], &tlb[0], i * sizeof(*tlb));
			tlb[0] = entry;
		}
	}
	return misses;
}

static void bench_mapping(unsigned int n, const char *what, bool probes)
{
	static unsigned long entries;

	/* What is split stays split, so this has to come before everything else. */
	entries = entries ?: direct_map_entries();
	for_usage(i, n, 0, "memory of %u %s", n, what) {
		if (probes)
			kprobe_make(i);
		else
			make(i, size_of(PROGRAM, i), false);
	}
	result(tlb_misses(ARRAY_SIZE(tlb), n, n, IN_TURN), 1,
	       "memory of %u %s: entries that map it", n, what);
	result(direct_map_entries() - entries, 1, "memory of %u %s: entries added to the direct map",
	       n, what);
	for (int order = RANDOM; order <= OFTEN && n == 1000; order++)
		result(tlb_misses(TLB_ENTRIES, n, MISS_CALLS, order), MISS_CALLS,
		       "run %u programs%s: misses of a TLB of %u entries, each run", n,
		       order == OFTEN ? ", a tenth of them often" : "", TLB_ENTRIES);
	if (probes)
		kprobes_unregister(n);
	else
		free_each(0, n, 1);
}

/*
 * The longest hold, in instructions that the holder executes from the call of mutex_lock() to the
 * call of mutex_unlock(). A holder that had to wait is included with what that took, and so are
 * the hooks: see "nothing". Other tasks and, with CONFIG_IRQ_TIME_ACCOUNTING, interrupts are not.
 */
static struct hold {
	const char *name;
	unsigned long start, size;
	u64 longest, since[16];	/* by task */
} holds[] = {
	{ "text_mutex", (unsigned long)&text_mutex, sizeof(text_mutex) },
	{ "the allocator's mutex" },
};

/* Called by mutex_lock(), where @op has something private, and by mutex_unlock(). */
static void notrace hold_hit(unsigned long ip, unsigned long parent, struct ftrace_ops *op,
			     struct ftrace_regs *fregs)
{
	unsigned long mutex = ftrace_regs_get_argument(fregs, 0);

	for (struct hold *h = holds; h < holds + ARRAY_SIZE(holds); h++) {
		u64 *since = &h->since[current->pid % ARRAY_SIZE(h->since)];

		if (mutex - h->start >= h->size)
			continue;
		if (op->private)
			*since = task_sched_runtime(current);
		else
			h->longest = max(h->longest, task_sched_runtime(current) - *since);
	}
}

/* Workers hold them too for what was left to them. */
#define HOLD(what, fmt, ...) do {						\
	settle();								\
	holds[0].longest = holds[1].longest = 0;				\
	what;									\
	settle();								\
	for (int h_ = 0; h_ < ARRAY_SIZE(holds); h_++)				\
		result(holds[h_].longest, 1, "longest hold of %s: " fmt,	\
		       holds[h_].name, ##__VA_ARGS__);				\
} while (0)

/* Every second object, so that no two of them are trapped together. */
static void free_every_second(unsigned int n)
{
	/* The worker comes when all of them were freed. */
	if (SERIES)
		preempt_disable();
	free_each(0, n, 2);
	if (SERIES)
		preempt_enable();
}

static void hold_frees(unsigned int n)
{
	fill(0, 2 * n, 64, false);
	HOLD(free_every_second(2 * n), "%u objects freed, none next to another", n);
	HOLD(make(2 * n, SZ_1M, false), "%u such holes, made usable for what does not fit", n);
	free_each(2 * n, 2 * n + 1, 1);
	HOLD(fill(2 * n, 2 * n + OPS, 128, false),
	     "%u such holes, searched for what does not fit", n);
	free_each(2 * n, 2 * n + OPS, 1);
	free_each(1, 2 * n, 2);
}

static void bench_holds(void)
{
	static struct ftrace_ops ops[] = { { .func = hold_hit, .private = holds },
					   { .func = hold_hit } };
	const unsigned long at[] = { (unsigned long)mutex_lock, (unsigned long)mutex_unlock };

	holds[1].start = kallsyms_lookup_name(SERIES ? "pools" : "pack_mutex");
	kallsyms_lookup_size_offset(holds[1].start, &holds[1].size, NULL);
	end_if(!holds[1].size, "holds");
	for (int i = 0; i < ARRAY_SIZE(ops); i++)
		end_if(ftrace_set_filter_ip(&ops[i], at[i], 0, 0) ||
		       register_ftrace_function(&ops[i]), "holds");
	HOLD(mutex_lock(&text_mutex); mutex_unlock(&text_mutex), "nothing");
	hold_frees(64);
	if (!quick)
		hold_frees(100000);
	HOLD(toggle_branches(true); toggle_branches(false), "toggle 1,000 jump labels");
	HOLD(for (int i = 0; i < 1000; i++)
		kprobe_make(i);
	     kprobes_unregister(1000), "register and unregister 1,000 kprobes");
	for (int i = 0; i < ARRAY_SIZE(ops); i++)
		unregister_ftrace_function(&ops[i]);
}

/* How many of @others CPUs that need not know are interrupted. */
static void bench_sync_loads(unsigned int n, unsigned int others, const char *which)
{
	settle();
	memset(hits, 0, sizeof(hits));
	for (int i = 0; i < n; i++)
		live[i] = bpf_load(size_of(PROGRAM, i), 0);
	result(atomic_long_read(&hits[INTERRUPTS]), 1,
	       "load %u BPF programs: interrupts of %u %s CPUs", n, others, which);
	if (known[SYNCS])
		result(atomic_long_read(&hits[SYNCS]), 1,
		       "load %u BPF programs: %u %s CPUs: interrupts of broadcasts", n, others, which);
	for (int i = 0; i < n; i++)
		bpf_prog_put(live[i]);
}

static void bench_sync_idle(void)
{
	const unsigned int others = num_online_cpus() - 1;
	char cpu[] = "1", *argv[] = { "/init", cpu, NULL }, *envp[] = { NULL };
	bool spins = false;

	end_if(!known[INTERRUPTS], "idle CPUs");
	set_cpus_allowed_ptr(current, cpumask_of(0));
#if SERIES
	memset(hits, 0, sizeof(hits));
	for (int i = 0; i < OPS; i++) {
		/* Let the others go to sleep. */
		schedule_timeout_uninterruptible(2);
		text_poke_sync();
	}
	result(atomic_long_read(&hits[INTERRUPTS]), OPS,
	       "text_poke_sync(): interrupts of %u idle CPUs", others);
#endif
	bench_sync_loads(1000, others, "idle");
	/* See syscalls.c. Without an initramfs there is no such program. */
	for (cpu[0] = '1'; cpu[0] <= '4'; cpu[0]++)
		spins = !call_usermodehelper(argv[0], argv, envp, UMH_WAIT_EXEC);
	if (spins)
		/* The emulator hardly runs CPU 0 then. */
		bench_sync_loads(100, others, "idle and busy");
	set_cpus_allowed_ptr(current, cpu_possible_mask);
}

/* Each ops with a trampoline of its own. */
static void bench_ftrace(unsigned int n)
{
	struct ftrace_ops *all __free(kvfree) = kvcalloc(n, sizeof(*all), GFP_KERNEL);

	for_usage(i, n, 0, "register %u ftrace_ops", n) {
		all[i].func = trace_hit;
		end_if(ftrace_set_filter_ip(&all[i], (unsigned long)branches, 0, 0) ||
		       register_ftrace_function(&all[i]), "ftrace");
	}
	branches();
	for_usage(i, n, NO_MEMORY, "unregister %u ftrace_ops", n)
		unregister_ftrace_function(&all[i]);
}

DECLARE_BPF_DISPATCHER(text_bench)
DEFINE_BPF_DISPATCHER(text_bench)

static void bench_x86(void)
{
	static struct ftrace_ops ops = { .func = trace_hit };
	struct bpf_dispatcher *d = BPF_DISPATCHER_PTR(text_bench);
	const unsigned int max = BPF_DISPATCHER_MAX;

	for (int i = 0; i < max; i++)
		live[i] = bpf_load(64, 0);
	/* All of them come, then all of them go. */
	for_usage(i, 2 * max, NO_MEMORY, "update a dispatcher")
		bpf_dispatcher_change_prog(d, i < max ? NULL : live[i % max], i < max ? live[i] : NULL);
	for (int i = 0; i < max; i++)
		bpf_prog_put(live[i]);
	bench_ftrace(1);
	bench_ftrace(200);
	/* A trampoline without the rest of the registration. */
	for_usage(i, OPS, NO_MEMORY, "make and free a trampoline of ftrace") {
		ops.flags = FTRACE_OPS_FL_DYNAMIC;
		arch_ftrace_update_trampoline(&ops);
		end_if(!ops.trampoline, "trampoline of ftrace");
		arch_ftrace_trampoline_free(&ops);
	}
}

static void bench_users(void)
{
	bench_bpf(1, 0);
	bench_bpf(1000, 0);
	bench_bpf(100, 8);
	bench_bpf_memory(64);
	bench_bpf_memory(SZ_1K);
	bench_bpf_memory(SZ_8K);
	bench_trampolines(1000);
	bench_struct_ops(10);
	bench_kprobes(1);
	bench_kprobes(1000);
	/* Calls are counted with a thousand. */
	if (!quick && one_cpu)
		bench_kprobes(10000);
	if (IS_ENABLED(CONFIG_X86))
		bench_x86();
}

/* What somebody gets who asked perf for all that is known about code. */
static void bench_perf(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
		.ksymbol = 1, .bpf_event = 1, .text_poke = 1,
	};
	int cpu;

	for_each_online_cpu(cpu)
		end_if(IS_ERR(perf_event_create_kernel_counter(&attr, cpu, NULL, NULL, NULL)), "perf");
	perf_listens = true;
	bench_users();
}

static bool wanted(const char *what)
{
	return !*only || !strcmp(only, what);
}

static int __init text_bench(void)
{
	static const unsigned int counts[] = { 1, 100, 1000, 10000, 100000, MANY };
	static struct ftrace_ops trace = { .func = trace_hit };	/* as the function tracer does */
	unsigned int nr = quick ? 4 : ARRAY_SIZE(counts);

	pr_info("bench: cpus %u\n", num_online_cpus());
	if (!strcmp(only, "nothing"))
		return 0;

	one_cpu = num_online_cpus() == 1;
	live = vcalloc(MANY, sizeof(*live));
	sizes = vcalloc(MANY, sizeof(*sizes));
	code = vzalloc(CODE);
	end_if(!live || !sizes || !code, "memory");
	prandom_seed_state(&rnd, 1);
	result(ktime_get_ns(), 1, "from the start of time to here: instructions");
	/* Probes would be counted as instructions. */
	if (!one_cpu)
		counters_start();
	usage_start();
	settle();
	usage_busy = busy_ns() - at_start.busy;

	for (int c = 0; c < 4 && wanted("mapping") && one_cpu; c++)
		bench_mapping(counts[c], "programs", false);
	if (wanted("mapping") && one_cpu)
		bench_mapping(10000, "kprobes", true);
	if (wanted("writes") && one_cpu)
		bench_writes();
	if (wanted("writes") && !one_cpu) {
		/* First, because thousands of programs leave blocks with few in each. */
		bench_rounds();
		bench_churn(50);
		bench_churn(500);
		bench_churn(5000);
		let_trim();
	}
	if (wanted("objects") && !one_cpu)
		bench(64, 10000);
	for (int c = 0; c < nr && wanted("objects") && one_cpu; c++) {
		/* Packs of a million would be searched for an hour; for holes, those of fewer. */
		if (SERIES || counts[c] < MANY)
			bench(64, counts[c]);
		if (counts[c] >= 1000 && (SERIES || counts[c] <= 10000) &&
		    /* There, a million of 635 bytes does not fit into the 256 MiB for code. */
		    (!IS_ENABLED(CONFIG_LOONGARCH) || counts[c] < MANY))
			bench(MIXED, counts[c]);
	}
	if (wanted("objects") && one_cpu)
		bench_pressure(quick ? 1000 : 20000);
	if (wanted("patching") && one_cpu) {
		TIMED(1, end_if(register_ftrace_function(&trace), "tracer"), "trace every function");
		TIMED(1, unregister_ftrace_function(&trace), "stop tracing every function");
		TIMED(20, toggle_branches(i_ % 2 == 0), "toggle 1,000 jump labels");
		bench_holds();
	}
	if (wanted("users"))
		bench_users();
	if (wanted("sync") && !one_cpu)
		bench_sync_idle();
	if (wanted("users") && !one_cpu)
		bench_perf();
	pr_info("bench: done\n");
	kernel_restart(NULL);
	return 0;
}
late_initcall_sync(text_bench);
