/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * EL1, MMU off. Writes a function, makes it visible and calls it.
 *   NO_CLEAN NO_DSB1 NO_INVAL NO_DSB2 NO_ISB   that step is missing
 *   WRONG_LINE     clean and invalidate the line before
 *   ZERO           executes a line after DC ZVA, which QEMU reports as stores of bytes
 *   NO_START       the CPU keeps what it fetched before it was set up
 *   BRANCH_LIVE    exchanges B for NOP in executed code without anything: allowed
 *                  while it is under way
 *   BRANCH_LATE    the same, but the CPU has gone on without maintenance
 *   MOV_LIVE       the same with MOV: not allowed
 */
	.globl _start, _text, _end
_text:
_start:
#ifndef NO_START
	ic	iallu
	dsb	nsh
	isb
#endif
	ldr	x0, =code
#if defined(BRANCH_LIVE) || defined(BRANCH_LATE) || defined(MOV_LIVE)
	adr	x0, live
	bl	live
#ifndef MOV_LIVE
	ldr	w1, =0x14000001		/* b .+4 */
#else
	ldr	w1, =0xd2800020		/* mov x0, #1 */
#endif
	str	w1, [x0]
#ifdef BRANCH_LATE
	ldr	x2, =table
	mov	x3, #4000
1:	str	x3, [x2]
	subs	x3, x3, #1
	b.ne	1b
#endif
	bl	live
	b	end
#endif
	ldr	w1, =0xd2800020		/* mov x0, #1 */
	ldr	w2, =0xd65f03c0		/* ret */
	stp	w1, w2, [x0]
	mov	x3, x0
#ifdef WRONG_LINE
	sub	x3, x0, #64
#endif
#ifndef NO_CLEAN
	dc	cvau, x3
#endif
#ifndef NO_DSB1
	dsb	ish
#endif
#ifndef NO_INVAL
	ic	ivau, x3
#endif
#ifndef NO_DSB2
	dsb	ish
#endif
#ifndef NO_ISB
	isb
#endif
#ifdef ZERO
	/* With the MMU off DC ZVA faults, so turn it on with blocks of 1 GiB. */
	ldr	x4, =table
	ldr	x5, =0x40000705		/* normal, inner shareable, accessed */
	str	x5, [x4, #8]
	msr	ttbr0_el1, x4
	mov	x5, #0xff
	msr	mair_el1, x5
	ldr	x5, =0x3519		/* 39 bits, cached walks */
	msr	tcr_el1, x5
	dsb	ish
	isb
	mrs	x5, sctlr_el1
	orr	x5, x5, #1
	orr	x5, x5, #4
	msr	sctlr_el1, x5
	isb
	add	x3, x0, #64
	dc	zva, x3			/* zeroes are UDF: goes to the vectors */
	adr	x6, vectors
	msr	vbar_el1, x6
	isb
	br	x3
#endif
	blr	x0
end:
	ldr	x0, =0x84000008		/* PSCI SYSTEM_OFF */
	hvc	#0
1:	wfi
	b	1b

live:	nop
	ret

	.balign 2048
vectors:
	.rept	16
	.balign	128
	b	end
	.endr
	.ltorg
	.balign 4096
	.skip	64
code:	.skip	128
	.balign 4096
table:	.skip	4096
_end:
