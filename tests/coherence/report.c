// SPDX-License-Identifier: GPL-2.0-only
/* Reports: one for each place, step and store, counted; and those that are permitted. */
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "coherence.h"

static const char *const missing_names[] = { "nothing", "clean", "invalidate", "sync" };
static const char *const verdict_names[] = { "VIOLATION", "TRANSIENT", "SUPPRESSED" };

FILE *out;
struct timespec started;
uint32_t kernel_began = NEVER;

void refuse(const char *fmt, ...)
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

static struct suppression {
	char rule[32], sym[128], store[128];
} *suppressions;
static size_t n_suppressions;

void read_suppressions(const char *file)
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
static size_t n_places;

static double seconds_since_start(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec - started.tv_sec + (t.tv_nsec - started.tv_nsec) / 1e9;
}

void report(enum verdict verdict, const char *rule, enum missing missing, unsigned int cpu,
	    uint64_t va, uint64_t pa, uint64_t store, bool own, const char *what)
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

void print_reports(void)
{
	uint64_t distinct[3] = { 0 };

	for (size_t i = 0; i < n_places; i++) {
		print_place(place_list[i]);
		distinct[place_list[i]->verdict]++;
	}
	fprintf(out, "SUMMARY violations=%llu transient=%llu suppressed=%llu",
		(unsigned long long)distinct[VIOLATION], (unsigned long long)distinct[TRANSIENT],
		(unsigned long long)distinct[SUPPRESSED]);
}
