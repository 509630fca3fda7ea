// The life of one object on three CPUs, twice: allocated, written, published, run, taken
// down, freed, trapped, synchronised, granted again. Who runs what it found through the
// pointer must find the bytes of that owner.
//
// Data is sequentially consistent here; that is what lkmm/ is for. The architectures differ
// in what a CPU may hold: fetched ahead (pf) or in its instruction cache (ic).
// X86		a store of another CPU discards what was fetched, unless the CPU has run the
//		range since it serialised. That is what the document argues, not the manual
// POWERPC	dcbst, icbi and sync reach all caches; for pf the same assumption as X86
// ARM64	DC, DSB, IC and DSB reach all caches; pf stays until an ISB
// RISCV	pf and ic stay until the hart executes fence.i. ZICCID: ic may go earlier
// DEFER	CPU 1 goes idle and wakes up; CONFIG_TEXT_POKE_SYNC_DEFER; NMIs
// HOTPLUG	CPU 2 goes off and on. On its way up it may run the object once, before it is in
//		the mask, where new code needs no broadcast
//
// of: kernel/text-patching.c text_poke_copy get_state_text_poke_sync poll_state_text_poke_sync
// of: kernel/text-patching.c text_poke_sync_since text_poke_sync_counted smp_text_poke_sync_each_cpu
// of: kernel/text-patching.c text_poke_sync_must_interrupt text_poke_sync_this_cpu
// of: mm/execmem_text.c REUSE_WAITS block_is_covered block_drain block_set_trapped pool_reclaim
// of: include/linux/context_tracking.h ct_state_inc_watching text_poke_sync_if_behind
// of: kernel/context_tracking.c ct_nmi_enter
// of: arch/x86/kernel/alternative.c arch_text_poke_sync_core
// of: arch/x86/kernel/smpboot.c start_secondary
// of: arch/arm64/kernel/patching.c arch_text_poke_flush
// of: arch/arm64/kernel/smp.c secondary_start_kernel
// of: arch/riscv/mm/cacheflush.c flush_icache_all
// of: arch/riscv/kernel/smpboot.c smp_callin
// of: arch/powerpc/lib/code-patching.c arch_text_poke_flush
// expect x86: holds -DX86
// expect x86-hotplug: holds -DX86 -DHOTPLUG
// expect x86-defer: holds -DX86 -DDEFER
// expect arm64: holds -DARM64
// expect arm64-hotplug: holds -DARM64 -DHOTPLUG
// expect riscv: holds -DRISCV
// expect riscv-ziccid: holds -DRISCV -DZICCID
// expect riscv-hotplug: holds -DRISCV -DHOTPLUG
// expect powerpc: holds -DPOWERPC
// expect powerpc-hotplug: holds -DPOWERPC -DHOTPLUG
// mutant free-reuse-without-sync of x86: s/ended >= state/true/
// mutant free-reuse-without-sync of powerpc: s/ended >= state/true/
// mutant free-traps-before of x86: /grace period/d
// same free-cookie-before-trap of x86: s/poke(TRAP); \/\* drain \*\//state = COOKIE; poke(TRAP);/; /state = COOKIE; \/\* drain/d
// mutant free-reclaim-without-sync of x86: s/sync_since(state, OWNER)/skip/; s/ended >= state/trapped/
// mutant generic-cookie-one-early of x86: s/define COOKIE.*/define COOKIE begun/
// mutant generic-cookie-one-early of arm64: s/define COOKIE.*/define COOKIE begun/
// mutant generic-broadcast-does-not-wait of x86: /acknowledged/d
// mutant generic-broadcast-does-not-wait of riscv: /acknowledged/d
// mutant generic-ended-before-acknowledged of arm64: s/atomic { begun++; nr = begun }/&; ended = nr/
// mutant generic-broadcast-before-write of arm64: s/poke(g); \/\* copy \*\//skip;/; s/ptr = g; \/\* publish/poke(g); &/
// mutant x86-handler-does-not-serialise of x86: s/serialise(c); \/\* interrupt \*\//skip;/
// mutant x86-store-discards-nothing of x86: s/pf\[c\] = NONE; \/\* snoop/skip; \/*/
// mutant powerpc-store-discards-nothing of powerpc: s/pf\[c\] = NONE; \/\* snoop/skip; \/*/
// mutant arm64-not-cleaned of arm64: /pou = mem;/d
// mutant arm64-not-invalidated of arm64: /IC IVAU/d
// mutant arm64-invalidated-before-cleaned of arm64: s/pou = mem;/d_step { ic[0] = NONE; ic[1] = NONE; ic[2] = NONE };/; s/d_step.*IC IVAU.*/pou = mem/
// mutant arm64-new-code-not-synced of arm64: s/sync_since(COOKIE, OWNER)/skip/
// mutant arm64-handler-does-not-serialise of arm64: s/serialise(c); \/\* interrupt \*\//skip;/
// mutant riscv-new-code-not-synced of riscv: s/sync_since(COOKIE, OWNER)/skip/
// mutant riscv-new-code-not-synced of riscv-ziccid: s/sync_since(COOKIE, OWNER)/skip/
// mutant riscv-sync-local-only of riscv: s/request([12], me)/skip/
// mutant riscv-sync-none of riscv: s/serialise(c); \/\* interrupt \*\//skip;/
// mutant powerpc-not-invalidated of powerpc: /IC IVAU/d
// mutant powerpc-not-cleaned of powerpc: /pou = mem;/d
// mutant defer-not-compared of x86-defer: s/look(c); \/\* wake/skip; \/*/
// mutant defer-compared-before-watched of x86-defer: s/watching\[c\] = true; \/\* wakes/look(c); &/; s/look(c); \/\* wake/skip; \/*/
// mutant defer-nmi-not-compared of x86-defer: s/nmi_look(c); \/\* NMI, watched/skip; \/*/
// mutant defer-seen-written-first of x86-defer: s/serialise(c); \/\* behind/seen[c] = l; \/*/; s/seen\[c\] = l; \/\* caught up/serialise(c); \/*/
// mutant defer-seen-read-after of x86-defer: s/seen\[c\] = l; \/\* caught up/seen[c] = begun; \/*/
// mutant defer-none-interrupted of x86-defer: s/:: watching\[c\] -> ipi/:: false -> ipi/
// mutant defer-counted-late of x86-defer: s/atomic { begun++; nr = begun };/nr = begun + 1;/; s/.*acknowledged.*/begun = nr;&/
// mutant x86-online-not-synced of x86-hotplug: s/serialise(c) \/\* online/skip \/*/
// mutant arm64-online-not-synced of arm64-hotplug: s/serialise(c) \/\* online/skip \/*/
// mutant riscv-online-not-synced of riscv-hotplug: s/serialise(c) \/\* online/skip \/*/
// mutant powerpc-online-not-synced of powerpc-hotplug: s/serialise(c) \/\* online/skip \/*/
// mutant x86-online-runs-twice of x86-hotplug: s/if \/\* bring-up/if :: find(c) -> runs(c) :: skip fi; &/
// mutant arm64-online-runs of arm64-hotplug: s/online\[c\] = true;/if :: find(c) -> runs(c) :: skip fi; &/
#define NONE	15
#define TRAP	0
#define OWNER	1	/* who sends: a bit of ipi[] */
#define OTHER	2
#if defined(ARM64) || defined(RISCV)
#define NEW_SYNC
#endif

byte mem, pou, ptr;
byte pf[3] = NONE, ic[3] = NONE, sec[3], ipi[3];
bool ran[3], online[3] = true, watching[3] = true;
byte seen[3], begun, ended, state, sending;
bool dead, trapped, text_mutex, sync_lock;
bool nmi_left = true;
#ifdef DEFER
#define DEFERS	(true)
#else
#define DEFERS	(false)
#endif
#define COOKIE	(begun + 1)

/* --- hardware */

inline fetch(c)
{
#ifdef X86
	pf[c] = mem;
#else
	if
#ifdef RISCV
	:: ic[c] == NONE -> ic[c] = mem
#else
	:: ic[c] == NONE -> ic[c] = pou
#endif
	:: else
	fi;
	pf[c] = ic[c];
#endif
}

inline serialise(c)
{
	d_step {
		pf[c] = NONE;
		ran[c] = false;
#ifdef RISCV
		ic[c] = NONE;
#endif
	}
}

inline snoop(c)
{
	if
	:: !ran[c] -> pf[c] = NONE; /* snoop */
	:: else
	fi
}

/* arch_text_poke_write() and arch_text_poke_flush() */
inline poke(v)
{
#ifdef X86
	d_step { mem = v; snoop(0); snoop(1); snoop(2) }
#else
	mem = v;
#ifndef RISCV
	pou = mem;
	d_step { ic[0] = NONE; ic[1] = NONE; ic[2] = NONE }; /* IC IVAU, icbi */
#endif
#ifdef POWERPC
	d_step { snoop(0); snoop(1); snoop(2) }
#endif
#endif
}

proctype prefetcher()
{
end:	do
	:: atomic { pf[0] == NONE -> fetch(0) }
	:: atomic { pf[1] == NONE -> fetch(1) }
	:: atomic { pf[2] == NONE -> fetch(2) }
#ifdef ZICCID
	:: ic[0] = NONE
	:: ic[1] = NONE
	:: ic[2] = NONE
#endif
	od
}

/* --- a CPU */

inline find(c)
{
	atomic { ptr != 0 -> sec[c] = ptr }
}

inline runs(c)
{
	atomic {
		if
		:: pf[c] == NONE -> fetch(c)
		:: else
		fi;
		assert(pf[c] == sec[c]);
		ran[c] = true;
		sec[c] = 0
	}
}

/* ct_nmi_enter() */
inline nmi(c)
{
	if
	:: nmi_left ->
		nmi_left = false;
		if
		:: watching[c] ->
			nmi_look(c); /* NMI, watched */
			nmi_runs(c)
		:: else ->
			watching[c] = true;
			nmi_look(c);
			nmi_runs(c);
			watching[c] = false
		fi
	:: skip
	fi
}

inline nmi_look(c)
{
	nl = begun;
	if
	:: nl != seen[c] -> serialise(c); seen[c] = nl
	:: else
	fi;
	nl = 0 /* fewer states */
}

inline nmi_runs(c)
{
	if
	:: find(c) -> runs(c)
	:: else
	fi
}

/* text_poke_sync_if_behind() */
inline look(c)
{
	l = begun;
	if
	:: l != seen[c] ->
		serialise(c); /* behind */
		nmi(c);
		seen[c] = l; /* caught up */
	:: else
	fi;
	l = 0
}

inline idle(c)
{
	watching[c] = false;
	nmi(c);
	watching[c] = true; /* wakes up */
	nmi(c);
	look(c); /* wake up */
}

inline interrupt(c)
{
	atomic {
#ifdef DEFER
		if
		:: begun != seen[c] -> seen[c] = begun; serialise(c) /* interrupt, behind */
		:: else
		fi;
#else
		serialise(c); /* interrupt */
#endif
		ipi[c] = 0
	}
}

proctype cpu(byte c)
{
	byte l, nl;

end:	do
	:: find(c) -> runs(c)
	:: ipi[c] != 0 -> interrupt(c)
#ifdef DEFER
	:: c == 1 -> idle(c)
#endif
#ifdef HOTPLUG
	/* Going off waits for senders, coming on does not. */
	:: atomic { c == 2 && sending == 0 && ipi[c] == 0 -> online[c] = false };
		serialise(c);
#ifdef ARM64
		ic[c] = NONE;
#endif
#ifndef NEW_SYNC
		if /* bring-up */
		:: find(c) -> runs(c)
		:: skip
		fi;
#endif
		online[c] = true;
		serialise(c) /* online */
#endif
	od
}

/* --- kernel/text-patching.c */

inline request(c, me)
{
	if
	:: online[c] && may_defer ->
		if
		:: watching[c] -> ipi[c] = ipi[c] | me
		:: else
		fi
	:: online[c] && !may_defer -> ipi[c] = ipi[c] | me
	:: else
	fi
}

/* text_poke_sync_counted() */
inline counted(me)
{
	atomic { begun++; nr = begun };
	sending++;
#ifdef DEFER
	request(1, me);
#endif
	atomic {
		request(0, me);
#ifndef DEFER
		request(1, me);
#endif
		request(2, me)
	};
	!((ipi[0] | ipi[1] | ipi[2]) & me); /* acknowledged */
	sending--;
	d_step {
		if
		:: ended < nr -> ended = nr
		:: else
		fi
	}
}

inline sync_since(cookie, me)
{
	st = cookie;
	atomic { !sync_lock -> sync_lock = true };
	if
	:: ended < st -> may_defer = DEFERS; counted(me)
	:: else
	fi;
	sync_lock = false
}

/* Another caller of text_poke_sync(), or live patching. */
proctype other()
{
	byte st, nr;
	bool may_defer;

	if
	:: sync_since(COOKIE, OTHER)
	:: may_defer = false; counted(OTHER)
	fi
}

/* --- mm/execmem_text.c */

proctype worker()
{
end:	do
	:: dead && !trapped ->
		atomic { !text_mutex -> text_mutex = true };
		poke(TRAP); /* drain */
		state = COOKIE; /* drain */
		trapped = true;
		text_mutex = false
	od
}

proctype owner()
{
	byte g, st, nr;
	bool may_defer;

	for (g : 1 .. 2) {
		do
		:: !dead -> break
		:: trapped ->
#ifdef NEW_SYNC
			d_step { dead = false; trapped = false }
#else
			if
			:: ended >= state -> d_step { dead = false; trapped = false }
			:: else -> sync_since(state, OWNER)
			fi
#endif
		od;
		/* text_poke_copy() */
		atomic { !text_mutex -> text_mutex = true };
		poke(g); /* copy */
		text_mutex = false;
#ifdef NEW_SYNC
		sync_since(COOKIE, OWNER);
#endif
		ptr = g; /* publish */
		ptr = 0;
		sec[0] != g && sec[1] != g && sec[2] != g; /* grace period */
		dead = true
	}
}

init
{
	atomic {
		run cpu(0); run cpu(1); run cpu(2);
		run prefetcher(); run owner(); run worker(); run other()
	}
}
