/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the parts of the plugin. */
#ifndef COHERENCE_H
#define COHERENCE_H

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "model.h"
#include "qemu-plugin-api.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#define MAX_CPUS 32
#define GRANULE_SHIFT (model->halfwords ? 1 : 2)
#define PAGE_SHIFT 12
#define PAGE_SIZE (1ull << PAGE_SHIFT)
#define NEVER UINT32_MAX
#define MAX_INSN 16

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
enum verdict { VIOLATION, TRANSIENT, SUPPRESSED };

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
	uint64_t rewrite;	/* offset of what is about to be rewritten, or ~0 */
	uint16_t before[4];
} __attribute__((aligned(128)));

struct block {
	uint64_t va;
	uint64_t off[2];	/* at most two pages of guest RAM */
	uint32_t len[2];
	uint32_t need;
};

struct task {
	uint64_t stack;
	uint32_t poked;		/* last store of text_poke_step() */
	uint64_t label;		/* jump label that it has patched under the mutex */
	bool poking;		/* is in it */
};

extern const struct model *model;
extern struct cpu cpus[MAX_CPUS];
extern uint64_t ram_size;
extern uint8_t *ram;
extern pthread_mutex_t lock;

/* symbols.c */
struct symbol {
	uint64_t va;
	char *name;
};
extern struct symbol *symbols;
extern size_t n_symbols;
extern uint64_t link_base, text_start, text_end, code_end, init_end, text_delta;

/* Not user space, nor the kernel before it has its page tables. */
static inline bool in_kernel(uint64_t va)
{
	return va >> 63 || (va >= text_start && va < text_end);
}

void read_symbols(const char *file);
const struct symbol *find_symbol(uint64_t va);
uint64_t link_address(uint64_t va);
const char *symbol_name(uint64_t va);
void print_symbol(FILE *f, uint64_t va);

/* report.c */
extern FILE *out;
extern struct timespec started;
extern uint32_t kernel_began;

void __attribute__((noreturn, format(printf, 1, 2))) refuse(const char *fmt, ...);
void read_suppressions(const char *file);
void report(enum verdict verdict, const char *rule, enum missing missing, unsigned int cpu,
	    uint64_t va, uint64_t pa, uint64_t store, bool own, const char *what);
void print_reports(void);

/* model.c */
extern qemu_plugin_u64 sync_at;
extern uint32_t broadcast_began;

static inline uint32_t sync_of(unsigned int cpu)
{
	return qemu_plugin_u64_get(sync_at, cpu);
}

void init_model(void);
uint32_t tick(void);
void synchronise(unsigned int cpu);
uint32_t intern_pc(uint64_t pc);
uint64_t store_pc(uint64_t store);
void clean(struct cpu *c, uint64_t off);
void invalidate(struct cpu *c, uint64_t off);
void invalidate_all(struct cpu *c);
void barrier(struct cpu *c);
uint32_t need_of_block(const struct block *b);
void on_block(unsigned int cpu, void *data);
void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t va, void *data);
uint32_t last_store(unsigned int cpu, uint64_t va, uint64_t len);
bool was_fetched(uint64_t off);
void fetch(uint64_t off, unsigned int size, uint64_t va);

/* hooks.c */
extern qemu_plugin_u64 owes;
extern bool may_defer;
extern uint32_t last_poke;
extern uint64_t obligations;

void find_hooks(void);
bool may_hook(uint64_t va, size_t n);
void hook_insn(struct qemu_plugin_insn *insn, uint64_t va, const struct insn *decoded,
	       const uint8_t *host);
bool can_be_patched(uint64_t va);
void on_owing(unsigned int cpu, void *data);
bool follow_int3(unsigned int cpu, uint64_t off, unsigned int size,
		 qemu_plugin_meminfo_t info, uint32_t time, uint64_t va);

/* coherence.c */
uint64_t read_reg(struct cpu *c, struct qemu_plugin_register *reg);
uint64_t translate(unsigned int cpu, uint64_t va);

#endif
