/* SPDX-License-Identifier: GPL-2.0-only */
/* The data of the programs for riscv and loongarch. */
	.balign 4096
local:	.skip	64
remote:	.skip	64
label:	.skip	64
	.balign 4096
online:	.word	0
ask:	.word	0
answer:	.word	0
go:	.word	0
finished: .word	0
jump_label_mutex: .word	0
entry:	.word	label - .
	/* two kernel stacks of 16 KiB */
	.balign 16384
	.skip	16000
stack0:	.skip	384
	.skip	16000
stack1:	.skip	384
_end:
