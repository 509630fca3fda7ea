// SPDX-License-Identifier: GPL-2.0-only
/* The symbols of the guest's kernel. */
#include <stdlib.h>
#include <string.h>

#include "coherence.h"

struct symbol *symbols;
size_t n_symbols;
uint64_t text_start, text_end, code_end, init_end;
/* What the boot loader adds to the addresses of the symbols (s390). */
uint64_t link_base;
/* Virtual minus physical address of the kernel's image, once known. */
uint64_t text_delta;

void read_symbols(const char *file)
{
	FILE *f = fopen(file, "r");
	char name[512], type;
	unsigned long long va;
	size_t max = 0;

	if (!f)
		refuse("cannot read symbols=%s", file);
	while (fscanf(f, "%llx %c %511s", &va, &type, name) == 3) {
		if (name[0] == '$' || type == 'a' || type == 'A' || !strncmp(name, "__pfx_", 6))
			continue;
		va += link_base;
		if (n_symbols == max) {
			max = max ? max * 2 : 1 << 16;
			symbols = realloc(symbols, max * sizeof(*symbols));
		}
		symbols[n_symbols].va = va;
		symbols[n_symbols++].name = strdup(name);
		if (!strcmp(name, "_text"))
			text_start = va;
		else if (!strcmp(name, "_end"))
			text_end = va;
		else if (!strcmp(name, "_etext"))
			code_end = va;
		else if (!strcmp(name, "_einittext"))
			init_end = va;
	}
	fclose(f);
	if (!n_symbols)
		refuse("no symbols in %s", file);
}

const struct symbol *find_symbol(uint64_t va)
{
	size_t lo = 0, hi = n_symbols;

	if (va < text_start || va >= text_end)
		return NULL;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (symbols[mid].va <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &symbols[lo - 1] : NULL;
}

/* Code that runs before the kernel's page tables, or in real mode. */
uint64_t link_address(uint64_t va)
{
	if (va >= text_start && va < text_end)
		return va;
	if (text_delta && va + text_delta >= text_start && va + text_delta < text_end)
		return va + text_delta;
	return va;
}

const char *symbol_name(uint64_t va)
{
	const struct symbol *s = find_symbol(link_address(va));

	return s ? s->name : "?";
}

void print_symbol(FILE *f, uint64_t va)
{
	uint64_t link = link_address(va);
	const struct symbol *s = find_symbol(link);

	if (s)
		fprintf(f, "%s+0x%llx", s->name, (unsigned long long)(link - s->va));
	else
		fputs("?", f);
}
