/* SPDX-License-Identifier: GPL-2.0-only */
/* QEMU's test device: ends the machine. */
#define END				\
	li	t0, 0x5555;		\
	li	t1, 0x100000;		\
	sw	t0, (t1);		\
99:	j	99b
