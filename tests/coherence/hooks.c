// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the kernel that promise something when they return or when they begin: the
 * rules of obligation and protocol.
 */
#include <string.h>

#include "coherence.h"

/* THREAD_SIZE: a kernel stack identifies a task, also when it migrates. */
#define STACK_SHIFT 14

qemu_plugin_u64 owes;
uint64_t obligations;

static struct task tasks[1024];
uint32_t last_poke;

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
bool may_defer;
static const struct unpatched {
	const char *start, *end;
} unpatched[] = {
	{ "__noinstr_text_start", "__noinstr_text_end" },
	{ "__cpuidle_text_start", "__cpuidle_text_end" },
	{ "__entry_text_start", "__entry_text_end" },
};
static uint64_t unpatched_start[ARRAY_SIZE(unpatched)], unpatched_end[ARRAY_SIZE(unpatched)];

bool can_be_patched(uint64_t va)
{
	const struct symbol *s;

	if (!in_kernel(va))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(unpatched); i++)
		if (va >= unpatched_start[i] && va < unpatched_end[i])
			return false;
	/* Thunks of calls and returns. */
	s = find_symbol(va);
	return !s || !(strstr(s->name, "__x86_") || strstr(s->name, "__SCT__"));
}

void on_owing(unsigned int cpu, void *data)
{
	const struct block *b = data;
	uint64_t since = qemu_plugin_u64_get(owes, cpu);

	qemu_plugin_u64_set(owes, cpu, 0);
	if (sync_of(cpu) <= since)
		report(VIOLATION, "obligation", MISSING_SYNC, cpu, b->va, 0, 0, false, "deferred sync");
}

static void check_all_synced(const char *rule, const char *what, uint64_t va, uint32_t since,
			     bool deferrable)
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
			report(VIOLATION, rule, MISSING_SYNC, i, va, 0, 0, false, what);
	}
}

/*
 * Places that the int3 protocol has trapped and not yet released. Phases are
 * told apart by the stores through the alias: a single int3 opens, bytes after
 * it follow, the byte itself closes.
 */
#define MAX_TRAPPED 1024
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
static void check_int3(unsigned int cpu, uint64_t off, bool several, uint64_t va)
{
	unsigned int online = 0;

	for (unsigned int i = 0; i < MAX_CPUS; i++)
		online += READ_ONCE(cpus[i].online);
	if (several && online > 1 && was_fetched(off))
		report(VIOLATION, "protocol", MISSING_SYNC, cpu, va, 0, 0, false, "no-int3");
}

/*
 * Outside of the kernel's code an int3 near another one opens nothing: memory of the API
 * is filled with them, also where the model has lost track of the task that does it. In
 * the code, that of __init functions included, such a byte can also be one of those that
 * follow an int3.
 */
bool follow_int3(unsigned int cpu, uint64_t off, unsigned int size,
		 qemu_plugin_meminfo_t info, uint32_t time, uint64_t va)
{
	static __thread uint64_t next_byte;
	bool is_int3 = size == 1 && qemu_plugin_mem_get_value(info).data.u8 == 0xcc;
	bool text = va >= text_start && va < code_end;
	bool code = va >= text_start && va < init_end;
	bool goes_on = off == next_byte;
	const char *what = NULL;
	uint32_t since = 0;
	unsigned int i;

	next_byte = off + size;
	pthread_mutex_lock(&lock);
	i = find_trapped(off);
	if (i == n_trapped || (code && is_int3 && off > trapped[i].off + 1 && !goes_on)) {
		if (is_int3 && n_trapped < MAX_TRAPPED) {
			trapped[n_trapped].off = off;
			trapped[n_trapped].trapped = time;
			trapped[n_trapped++].tail = 0;
		}
		pthread_mutex_unlock(&lock);
		if (text && !is_int3)
			check_int3(cpu, off, size > 1 || goes_on, va);
		return is_int3;
	}
	if (off > trapped[i].off) {
		what = "int3-then-tail";
		since = trapped[i].trapped;
		trapped[i].tail = time;
	} else if (!is_int3) {
		what = trapped[i].tail ? "tail-then-first" : "int3-then-first";
		since = trapped[i].tail ? trapped[i].tail : trapped[i].trapped;
		trapped[i] = trapped[--n_trapped];
		last_protocol = time;
	}
	pthread_mutex_unlock(&lock);
	check_all_synced("protocol", what, va, since, false);
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
	{ "arch_disarm_kprobe", HOOK_PROTOCOL, 0, 0 },
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

void find_hooks(void)
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

/* Its code field holds the distance to the label. */
static uint64_t label_of(unsigned int cpu, uint64_t entry)
{
	uint64_t off = translate(cpu, entry);
	int32_t code;

	if (off == ~0ull)
		return 0;
	memcpy(&code, ram + off, sizeof(code));
	if (big_endian)
		code = __builtin_bswap32(code);
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
		check_all_synced("obligation", k->name, k->start, since,
				 k->kind == HOOK_SYNC || k->kind == HOOK_NEW || k->kind == HOOK_BATCH);
		/* The hook may end in a jump to something else, so both. */
		if (k->kind == HOOK_BROADCAST || k->kind == HOOK_SYNC) {
			pthread_mutex_lock(&lock);
			if (done[i].began > broadcast_began)
				WRITE_ONCE(broadcast_began, done[i].began);
			pthread_mutex_unlock(&lock);
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

void hook_insn(struct qemu_plugin_insn *insn, uint64_t va, const struct insn *decoded,
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

/* Is any of a block's instructions in a function of the list? */
bool may_hook(uint64_t va, size_t n)
{
	if (va < text_start || va >= text_end)
		return false;
	for (size_t h = 0; h < ARRAY_SIZE(hooks); h++)
		if (va < hooks[h].end && va + MAX_INSN * n > hooks[h].start)
			return true;
	return false;
}
