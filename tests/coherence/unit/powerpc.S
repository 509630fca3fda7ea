/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Real mode under the pseries hypervisor, big endian. Writes a function, makes it
 * visible and calls it.
 *   NO_CLEAN NO_SYNC NO_INVAL NO_ISYNC   that step is missing
 *   LWSYNC        lwsync for sync
 *   WRONG_LINE    maintenance of the line before
 */
	.globl _start, _text, _end
_text:
_start:
	bl	1f
1:	mflr	31
	addi	30, 31, (code - 1b)
	lis	3, 0x3860		/* li r3, 1 */
	ori	3, 3, 1
	stw	3, 0(30)
	lis	3, 0x4e80		/* blr */
	ori	3, 3, 0x20
	stw	3, 4(30)
	mr	29, 30
#ifdef WRONG_LINE
	addi	29, 30, -128
#endif
#ifndef NO_CLEAN
	dcbst	0, 29
#endif
#ifdef LWSYNC
	lwsync
#elif !defined(NO_SYNC)
	sync
#endif
#ifndef NO_INVAL
	icbi	0, 29
#endif
	sync
#ifndef NO_ISYNC
	isync
#endif
	mtctr	30
	bctrl
	/* RTAS power-off through QEMU's own call */
	lis	3, 0
	ori	3, 3, 0xf000
	addi	4, 31, (rtas - 1b)
	sc	1
2:	b	2b
	.balign	8
rtas:	.long	0x2003, 2, 1, 0, 0, 0
	.balign 4096
	.skip	128
code:	.skip	128
_end:
