/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two CPUs, without DAT. CPU 0 writes a function and calls it, which is fine at the same
 * address; then it writes another by text_poke_step() and tells CPU 1 to call it.
 *   NO_SERIALISE     CPU 1 calls without serialising
 *   BCR_13           ... with a branch that is never taken, but does not serialise
 *   BCR_14, LPSWE, CS  ... with these instead of BCR 15,0
 *   NO_WAIT          text_poke_sync() does not wait for CPU 1
 *   NO_LABEL_SYNC    jump_label_mutex is unlocked before CPU 1 has serialised
 *   NEIGHBOUR        then STURG changes other bytes of the doubleword
 *   REWRITE          ... and these
 */
	.globl _start, text_poke_step, text_poke_sync, set_cpu_online, _text, _end

	.macro	when flag
99:	lrl	%r0, \flag
	cije	%r0, 0, 99b
	.endm
	.macro	say flag
	larl	%r1, \flag
	mvhi	0(%r1), 1
	.endm

_text:
_start:
	larl	%r15, stack0
	lghi	%r3, 1
	brasl	%r14, set_cpu_online
	larl	%r1, restart
	mvc	0x1a0(16), 0(%r1)
	lghi	%r4, 1
1:	sigp	%r6, %r4, 6
	jnz	1b
	when	online

	larl	%r2, local
	brasl	%r14, write
	larl	%r1, local
	basr	%r14, %r1

#ifdef NO_LABEL_SYNC
	larl	%r2, entry
	brasl	%r14, arch_jump_label_transform_queue
	larl	%r2, jump_label_mutex
	brasl	%r14, mutex_unlock
#endif
	larl	%r2, remote
	brasl	%r14, text_poke_step
	bcr	15, 0
	brasl	%r14, text_poke_sync
#if defined(NEIGHBOUR) || defined(REWRITE)
	larl	%r4, remote
	lg	%r5, 0(%r4)
#ifdef NEIGHBOUR
	xilf	%r5, 1
#else
	xihf	%r5, 2			/* lghi %r2, 3 */
#endif
	sturg	%r5, %r4
#endif
	say	go
	when	finished
	larl	%r1, stop
	lpswe	0(%r1)

core1:
	larl	%r15, stack1
	lghi	%r3, 1
	brasl	%r14, set_cpu_online
	say	online
	when	ask
#ifdef NO_WAIT
	/* too late for text_poke_sync(), in time for the call */
	when	go
#endif
#if defined(BCR_13)
	bcr	13, 0
#elif defined(BCR_14)
	bcr	14, 0
#elif defined(LPSWE)
	larl	%r1, next
	lpswe	0(%r1)
#elif defined(CS)
	larl	%r1, answer
	cs	%r0, %r0, 0(%r1)
#elif !defined(NO_SERIALISE)
	bcr	15, 0
#endif
awake:	say	answer
	when	go
	larl	%r1, remote
	basr	%r14, %r1
	say	finished
	larl	%r1, stop
	lpswe	0(%r1)

/* lghi %r2, 1; br %r14. Not by MVC, of which QEMU does not tell. */
write:
	iilf	%r0, 0xa7290001
	st	%r0, 0(%r2)
	lhi	%r0, 0x07fe
	sth	%r0, 4(%r2)
	br	%r14

arch_jump_label_transform_queue:
	larl	%r1, label
	iilf	%r0, 0x07000700		/* nopr; nopr */
	st	%r0, 0(%r1)
	bcr	15, 0
	br	%r14

mutex_unlock:
	br	%r14

text_poke_step:
	lgr	%r13, %r14
	brasl	%r14, write
	lgr	%r14, %r13
	br	%r14

text_poke_sync:
	say	ask
#ifndef NO_WAIT
	when	answer
#endif
	br	%r14

set_cpu_online:
	br	%r14

	.balign	4096
local:	.skip	64
remote:	.skip	64
label:	.skip	64
	.balign	4096
restart: .quad	0x0000000180000000, core1
next:	.quad	0x0000000180000000, awake
	/* QEMU ends when the last CPU waits at this address */
stop:	.quad	0x0002000180000000, 0xfff
online:	.long	0
ask:	.long	0
answer:	.long	0
go:	.long	0
finished: .long	0
jump_label_mutex: .long	0
entry:	.long	label - .
	/* two kernel stacks of 16 KiB */
	.balign	16384
	.skip	16000
stack0:	.skip	384
	.skip	16000
stack1:	.skip	384
_end:
