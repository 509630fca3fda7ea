// SPDX-License-Identifier: GPL-2.0-only
/*
 * The init of the kernels that are measured with and without
 * CONFIG_TEXT_POKE_SYNC_DEFER: what a system call costs, in instructions of the whole
 * way there and back. With a CPU as argument, stay in user space there. Built with the
 * nolibc of the kernel tree.
 */
#include "nolibc.h"

#define CALLS 10000

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	long long start;

	/* The kernel hands unknown arguments to init. */
	if (getpid() != 1 && argc == 2) {
		unsigned long mask = 1UL << atoi(argv[1]);

		syscall(__NR_sched_setaffinity, 0, sizeof(mask), &mask);
		for (;;)
			;
	}
	start = now();
	for (int i = 0; i < CALLS; i++)
		syscall(__NR_getppid);
	printf("bench: a system call: instructions = %lld/%d\nbench: done\n", now() - start, CALLS);
	reboot(RB_AUTOBOOT);
	return 1;
}
