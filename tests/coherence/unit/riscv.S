/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Machine mode, two harts. Hart 0 writes a function and calls it; then it writes
 * another by text_poke_step() and tells hart 1 to call it.
 *   NO_FENCE         hart 0 calls without fence.i
 *   EARLY_FENCE      ... with fence.i before the store
 *   NO_REMOTE_FENCE  hart 1 calls without fence.i
 *   NO_WAIT          text_poke_sync() does not wait for hart 1
 *   DEFER            ... because hart 1 is asleep, and executes fence.i when it wakes up
 *   DEFER_LATE       ... after it has executed something that can be patched
 *   OWN              hart 0 replaces an instruction that it has executed, without
 *                    fence.i: other harts may execute either, itself only the new one
 *   NO_COPY_SYNC     patch_text_nosync() returns without a fence.i of hart 1
 *   NO_LABEL_SYNC    jump_label_mutex is unlocked without a fence.i of hart 1
 */
#include "riscv-end.h"
#ifdef DEFER_LATE
#define DEFER
#endif
#ifdef DEFER
#define NO_WAIT
	.globl text_poke_sync_this_cpu
	.set text_poke_sync_this_cpu, set_cpu_online
#endif
	.globl _start, text_poke_step, text_poke_sync, set_cpu_online, _text, _end
_text:
_start:
	csrr	t0, mhartid
	la	sp, stack0
	bnez	t0, hart1
	li	a1, 1
	call	set_cpu_online
1:	lw	t0, online
	beqz	t0, 1b

	la	a0, local
#ifdef EARLY_FENCE
	fence.i
#endif
	call	write
#if !defined(NO_FENCE) && !defined(EARLY_FENCE)
	fence.i
#endif
	la	t0, local
	jalr	t0

#ifdef OWN
	la	a0, local
	li	t0, 0x00200513		/* li a0, 2 */
	sw	t0, 0(a0)
	jalr	a0
#endif
#ifdef NO_COPY_SYNC
	la	a0, remote
	li	a2, 8
	call	patch_text_nosync
#endif
#ifdef NO_LABEL_SYNC
	la	a0, entry
	call	arch_jump_label_transform_queue
	la	a0, jump_label_mutex
	call	mutex_unlock
#endif
	la	a0, remote
	call	text_poke_step
	fence.i
	call	text_poke_sync
	li	t0, 1
	la	t1, go
	sw	t0, (t1)
1:	lw	t0, finished
	beqz	t0, 1b
	END

hart1:
	la	sp, stack1
	li	a1, 1
	call	set_cpu_online
	la	t1, online
	li	t0, 1
	sw	t0, (t1)
	j	asleep

__noinstr_text_start:
asleep:
1:	lw	t0, ask
	beqz	t0, 1b
#ifdef NO_WAIT
	/* too late for text_poke_sync(), in time for the call */
1:	lw	t0, go
	beqz	t0, 1b
#endif
#ifdef DEFER_LATE
	call	set_cpu_online
#endif
#ifndef NO_REMOTE_FENCE
	fence.i
#endif
	j	awake
__noinstr_text_end:

awake:
	li	t0, 1
	la	t1, answer
	sw	t0, (t1)
1:	lw	t0, go
	beqz	t0, 1b
	la	t0, remote
	jalr	t0
	la	t1, finished
	li	t0, 1
	sw	t0, (t1)
1:	wfi
	j	1b

/* li a0, 1; ret */
write:
	li	t0, 0x00100513
	sw	t0, 0(a0)
	li	t0, 0x00008067
	sw	t0, 4(a0)
	ret

patch_text_nosync:
	addi	sp, sp, -16
	sd	ra, 0(sp)
	call	write
	fence.i
	ld	ra, 0(sp)
	addi	sp, sp, 16
	ret

arch_jump_label_transform_queue:
	la	t0, label
	li	t1, 0x00000013		/* nop */
	sw	t1, 0(t0)
	fence.i
	ret

mutex_unlock:
	ret

text_poke_step:
	addi	sp, sp, -16
	sd	ra, 0(sp)
	call	write
	ld	ra, 0(sp)
	addi	sp, sp, 16
	ret

text_poke_sync:
	li	t0, 1
	la	t1, ask
	sw	t0, (t1)
#ifndef NO_WAIT
1:	lw	t0, answer
	beqz	t0, 1b
#endif
	ret

set_cpu_online:
	ret

#include "data.h"
