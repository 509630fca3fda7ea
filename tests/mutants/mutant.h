/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_MUTANT_H
#define _LINUX_MUTANT_H

/* Of a kernel with generated mutants. "mutant=N" on the command line activates one. */
#include <linux/cleanup.h>
#include <linux/mutex.h>
#include <linux/types.h>

#define MUTANTS 16384
extern int mutant_active;
extern u8 mutant_reached[MUTANTS];

/* The number stands in the object file if the mutant is compiled. */
static __always_inline bool mutant(int number)
{
	asm volatile(".pushsection .discard.mutants, \"\"\n"
		     ".long %c0\n"
		     ".popsection" : : "i" (number));
	mutant_reached[number] = 1;
	return mutant_active == number;
}

/* Three mutants of a condition: true, false, negated. */
static __always_inline bool mutant_condition(int number, bool value)
{
	if (mutant(number))
		return true;
	if (mutant(number + 1))
		return false;
	return value ^ mutant(number + 2);
}

/* A guard that may have no mutex, which DEFINE_GUARD() forbids. */
DEFINE_CLASS(mutant_mutex, struct mutex *, if (_T) mutex_unlock(_T),
	     ({ if (lock) mutex_lock(lock); lock; }), struct mutex *lock)
DEFINE_CLASS_IS_UNCONDITIONAL(mutant_mutex);

#endif
