// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU fetches instructions coherently, hardware need not. This plugin follows
 * stores, cache maintenance and executions, and reports when a CPU executes
 * bytes that its architecture does not yet promise it (rule "execution"), when a
 * broadcast has returned although a CPU has not synchronised (rule "obligation"),
 * and when a phase of x86's int3 protocol begins too early (rule "protocol").
 * See model.c and hooks.c. Here is what QEMU calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "coherence.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = COHERENCE_API;

static __thread unsigned int this_cpu;	/* in translation, which is not told */
static qemu_plugin_u64 executed;

/* ---- registers and addresses ---- */

uint64_t read_reg(struct cpu *c, struct qemu_plugin_register *reg)
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
uint64_t translate(unsigned int cpu, uint64_t va)
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

/* ---- instructions that matter ---- */

static inline void *pack(const struct insn *i)
{
	return (void *)((uintptr_t)i->effect | (uintptr_t)i->reg << 8);
}

static void on_effect(unsigned int cpu, void *data)
{
	enum effect effect = (uintptr_t)data & 0xff;
	unsigned int reg = (uintptr_t)data >> 8;
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
	/* STURG has a real address. */
	if (effect == EFFECT_REWRITE) {
		c->rewrite = va < ram_size && !(va & 7) ? va : ~0ull;
		if (c->rewrite != ~0ull)
			memcpy(c->before, ram + va, sizeof(c->before));
		return;
	}
	off = translate(cpu, va);
	if (off == ~0ull)
		return;
	if (effect == EFFECT_CLEAN)
		clean(c, off);
	else if (effect == EFFECT_INVAL)
		invalidate(c, off);
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
		uint64_t at = faults[i].va + link_base - va + off;

		if (at >= ram_size - sizeof(faults[i].bytes))
			refuse("fault= outside of the kernel");
		fprintf(out, "NOTE fault at 0x%llx %s:", (unsigned long long)faults[i].va,
			symbol_name(faults[i].va + link_base));
		for (unsigned int b = 0; b < faults[i].n; b++) {
			fprintf(out, " %02x->%02x", ram[at + b], faults[i].bytes[b]);
			ram[at + b] = faults[i].bytes[b];
		}
		fputc('\n', out);
	}
	fflush(out);
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

static bool in_any_line(uint64_t va)
{
	const struct symbol *s = find_symbol(va);

	for (const char *const *f = model->any_line; s && f && *f; f++)
		if (!strcmp(s->name, *f))
			return true;
	return false;
}

static void on_vector(unsigned int cpu, void *data)
{
	const struct block *b = data;

	if (model->vector(b->va, cpus[cpu].vbar))
		synchronise(cpu);
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block block = { .va = qemu_plugin_tb_vaddr(tb) }, *b;
	bool hooked = may_hook(block.va, n), vector, patched;
	uint32_t pc_ids[n];

	(void)id;
	pthread_mutex_lock(&lock);
	if (!ram)
		find_ram();
	for (size_t i = 0; i < n; i++)
		pc_ids[i] = intern_pc(qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, i)));
	pthread_mutex_unlock(&lock);

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

			if (!text_delta && va >= text_start && va < text_end) {
				text_delta = va - (off + model->ram_base);
				kernel_began = tick();
			}
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
							       pack(&decoded));
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
	if (sscanf(d->name, "%*1[xr]%u%c", &n, &more) == 1 && n < 31)
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
	uint64_t blocks = 0, stores = 0, cleans = 0, invals = 0, syncs = 0;

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
	print_reports();
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
		&model_x86, &model_arm64, &model_riscv, &model_powerpc, &model_loongarch,
		&model_s390
	};
	const char *symbols_file = NULL, *suppress_file = NULL;
	struct qemu_plugin_scoreboard *board;

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
		} else if (!strncmp(argv[i], "base=", 5)) {
			link_base = strtoull(argv[i] + 5, NULL, 0);
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
	/* What exceeds 256 MiB is at another address. */
	if (model == &model_loongarch && ram_size > 256ull << 20)
		refuse("at most 256 MiB");
	if (symbols_file)
		read_symbols(symbols_file);
	if (suppress_file)
		read_suppressions(suppress_file);
	find_hooks();

	init_model();
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
