/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Protected mode with 4 MiB pages; the first 4 MiB are there twice. Executes a
 * function, changes it and executes it again.
 *   NO_SERIALISE  changed through the alias, nothing after
 *   EARLY         CPUID before the store
 *   SAME_ADDRESS  changed where it is executed, nothing after: allowed
 *   INT3          changed through the alias as the kernel does it
 *   INT3_EARLY    ... without CPUID between the int3 and the bytes after it
 *   TAIL_EARLY    ... without CPUID between those and the first byte
 *   FINISH_EARLY  ... without CPUID before the function returns
 *   DISARM_EARLY  ... which is arch_disarm_kprobe()
 *   NEW           never executed before, written through the alias: allowed
 */
#ifdef DISARM_EARLY
#define FINISH_EARLY
#define smp_text_poke_batch_finish arch_disarm_kprobe
#endif
#if defined(INT3_EARLY) || defined(TAIL_EARLY) || defined(FINISH_EARLY)
#define INT3
#endif
	.section .multiboot, "ax"
	.long	0x1badb002, 0, -0x1badb002
	.text
	.code32
	.globl _start, set_cpu_online, smp_text_poke_batch_finish, _text, _end
_text:
_start:
	movl	$stack, %esp
	movl	$table, %edi
	movl	$0x83, (%edi)		/* present, writable, 4 MiB */
	movl	$0x83, 4(%edi)
	movl	%edi, %cr3
	movl	%cr4, %eax
	orl	$0x10, %eax
	movl	%eax, %cr4
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	jmp	1f
1:
#ifndef NEW
	call	code
#endif
#ifdef EARLY
	xorl	%eax, %eax
	cpuid
#endif
#ifdef SAME_ADDRESS
	movl	$code, %edi
#else
	movl	$code + 0x400000, %edi
#endif
#ifdef INT3
	movl	$1, %esi
	call	set_cpu_online
	call	smp_text_poke_batch_finish
#else
	movl	$2, 1(%edi)
#endif
#ifdef NEW
	movl	$code + 0x400100, %edi
	movl	$0xc3c3c3c3, (%edi)
	call	code + 0x100
#endif
#if !defined(INT3) && !defined(NO_SERIALISE) && !defined(EARLY) && !defined(SAME_ADDRESS) && !defined(NEW)
	xorl	%eax, %eax
	cpuid
#endif
#ifndef NEW
	call	code
#endif
	movw	$0xf4, %dx
	xorl	%eax, %eax
	outb	%al, %dx
1:	hlt
	jmp	1b

set_cpu_online:
	ret

smp_text_poke_batch_finish:
	movb	$0xcc, (%edi)
#ifndef INT3_EARLY
	xorl	%eax, %eax
	cpuid
#endif
	movl	$2, 1(%edi)
#ifndef TAIL_EARLY
	xorl	%eax, %eax
	cpuid
#endif
	movb	$0xb8, (%edi)
#ifndef FINISH_EARLY
	xorl	%eax, %eax
	cpuid
#endif
	ret

	.balign 4096
code:	movl	$1, %eax
	ret
	.balign 4096
table:	.skip	4096
	.skip	4096
stack:
_end:
