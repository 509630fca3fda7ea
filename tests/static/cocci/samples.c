// SPDX-License-Identifier: GPL-2.0-only
/*
 * What scripts/coccinelle/api/text_poke.cocci must find, in the lines that end in
 * "found", and what it must leave alone. Never compiled.
 */

static void *fine(const void *code, size_t len)
{
	void *p = execmem_text_alloc(EXECMEM_BPF, len, 8);

	if (p && !text_poke_copy(p, code, len))
		return p;
	execmem_text_free(p);
	return NULL;
}

static int other_memory(struct thing *t, const void *code, size_t len)
{
	void *p = execmem_text_alloc(EXECMEM_BPF, len, 8);
	void *buf = kmalloc(len, GFP_KERNEL);

	memcpy(buf, code, len);
	memcpy(t->copy, p, len);
	p = vmalloc(len);
	memcpy(p, code, len);
	vfree(p);
	kfree(buf);
	set_memory_rw((unsigned long)t, 1);
	return text_poke_copy_nosync(p, code, len);
}

static void wrong(struct thing *t, const void *code, size_t len, unsigned long addr)
{
	void *p = execmem_text_alloc(EXECMEM_BPF, len, 8);
	void *q = execmem_text_alloc_locked(EXECMEM_FTRACE, len, 8);

	t->slot = get_insn_slot();
	t->image = bpf_image_alloc(len);
	if (p)
		memcpy(p, code, len);				/* found */
	*(u32 *)t->slot = 0;					/* found */
	memset(t->image + 4, 0, len - 4);			/* found */
	text_poke_copy(p, code, len);				/* found */
	(void)text_poke_copy_nosync(p, code, len);		/* found */
	set_memory_rox((unsigned long)q, 1);			/* found */
	execmem_free(q);					/* found */
	/* Without the allocator. */
	set_memory_rw(addr, 1);
	memcpy((void *)addr, code, len);			/* found */
	set_memory_rox(addr, 1);
}
