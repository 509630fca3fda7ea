/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two cores. Core 0 writes a function and calls it; then it writes another by
 * text_poke_step() and tells core 1 to call it.
 *   NO_IBAR          core 0 calls without ibar
 *   EARLY_IBAR       ... with ibar before the store
 *   HINT             ... with ibar 1, which need not do anything
 *   ERTN             ... with ertn, which is not said to do the same
 *   NO_REMOTE_IBAR   core 1 calls without ibar
 *   NO_WAIT          text_poke_sync() does not wait for core 1
 *   OWN              core 0 replaces an instruction that it has executed, without
 *                    ibar: other cores may execute either, itself only the new one
 *   NO_LABEL_SYNC    jump_label_mutex is unlocked without an ibar of core 1
 */
	.globl _start, text_poke_step, text_poke_sync, set_cpu_online, _text, _end

	.macro	when flag
99:	la.pcrel $t0, \flag
	ld.w	$t0, $t0, 0
	beqz	$t0, 99b
	.endm
	.macro	say flag
	la.pcrel $t1, \flag
	li.w	$t0, 1
	st.w	$t0, $t1, 0
	.endm

_text:
_start:
	la.pcrel $sp, stack0
	li.w	$a1, 1
	bl	set_cpu_online

	/* QEMU's firmware waits for an address in its mailbox, which it clears first. */
1:	la.pcrel $t0, core1
	slli.d	$t0, $t0, 32
	li.d	$t1, 0x80010000		/* wait; core 1 */
	or	$t0, $t0, $t1
	li.w	$t2, 0x1048
	iocsrwr.d $t0, $t2
	li.w	$t2, 0x1040
	iocsrwr.w $t1, $t2
	la.pcrel $t0, online
	ld.w	$t0, $t0, 0
	beqz	$t0, 1b

	la.pcrel $a0, local
#ifdef EARLY_IBAR
	ibar	0
#endif
	bl	write
#if defined(HINT)
	ibar	1
#elif defined(ERTN)
	la.pcrel $t0, 1f
	csrwr	$zero, 1
	csrwr	$t0, 6
	ertn
1:
#elif !defined(NO_IBAR) && !defined(EARLY_IBAR)
	ibar	0
#endif
	la.pcrel $t0, local
	jirl	$ra, $t0, 0

#ifdef OWN
	la.pcrel $a0, local
	li.w	$t0, 0x02800804		/* li.w $a0, 2 */
	st.w	$t0, $a0, 0
	jirl	$ra, $a0, 0
#endif
#ifdef NO_LABEL_SYNC
	la.pcrel $a0, entry
	bl	arch_jump_label_transform_queue
	la.pcrel $a0, jump_label_mutex
	bl	mutex_unlock
#endif
	la.pcrel $a0, remote
	bl	text_poke_step
	ibar	0
	bl	text_poke_sync
	say	go
	when	finished
	/* ACPI's sleep register ends the machine */
	li.d	$t0, 0x100e001c
	li.w	$t1, 0x34
	st.b	$t1, $t0, 0
1:	b	1b

core1:
	la.pcrel $sp, stack1
	li.w	$a1, 1
	bl	set_cpu_online
	say	online
	when	ask
#ifdef NO_WAIT
	/* too late for text_poke_sync(), in time for the call */
	when	go
#endif
#ifndef NO_REMOTE_IBAR
	ibar	0
#endif
	say	answer
	when	go
	la.pcrel $t0, remote
	jirl	$ra, $t0, 0
	say	finished
1:	idle	0
	b	1b

/* li.w $a0, 1; ret */
write:
	li.w	$t0, 0x02800404
	st.w	$t0, $a0, 0
	li.w	$t0, 0x4c000020
	st.w	$t0, $a0, 4
	ret

arch_jump_label_transform_queue:
	la.pcrel $t0, label
	li.w	$t1, 0x03400000		/* nop */
	st.w	$t1, $t0, 0
	ibar	0
	ret

mutex_unlock:
	ret

text_poke_step:
	addi.d	$sp, $sp, -16
	st.d	$ra, $sp, 0
	bl	write
	ld.d	$ra, $sp, 0
	addi.d	$sp, $sp, 16
	ret

text_poke_sync:
	say	ask
#ifndef NO_WAIT
	when	answer
#endif
	ret

set_cpu_online:
	ret

#include "data.h"
