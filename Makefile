# SPDX-License-Identifier: GPL-2.0-only
# Each verb is a script of the same name in scripts/ or tests/; mbox is one of export.
#
#   ARCH=<name>|all	which architecture, see kernel-config/*.sh
#   LINUX=<dir>	use this kernel source instead of fetching one
#   JOBS=<n>	number of parallel compilers

ARCH ?= x86_64
#   TEXT_POKE_BUILD=<dir>	work there instead of in build/
#   FILTER=suite[.case]	run only these tests (make kunit)
#   FLAVOUR=kasan	add kernel-config/kasan.config (make kunit)
#   KARGS=<arguments>	more kernel arguments (make kunit)
#   QUICK=1	leave out the slow parts (make bench, make matrix)
#   M="<name> ..."	only these (make mutants, make models)
#   N=<number>	only generated mutants, a sample of this many (make mutants)
#   SEED=<number>	the seed of the sample, instead of the date (make mutants)
#   CHECK=<pattern>	only these checks (make static)
#   FROM=<version>	the version to compare with (make range-diff)
#   BASE=<dir or tag>	the new base (make rebase)
#   BOOTS="kernel user shake programs"	only these boots, the last two only if asked for (make suites)
#   TESTS="progs/fexit* ..."	only these units of the boot "programs" (make suites)
#   BOOT=1	boot each kernel instead (make bisect)
#   TIME=<seconds>	how long, instead of 60 (make hardware)
#   C="<pattern> ..."	only these configurations (make matrix)
#   KEEP=1	keep the built kernels (make matrix)
#   FORCE=1	run everything again (make matrix); drop commits (make tree)
# Not for the kernel's make, where M= means something else.
MAKEOVERRIDES =
export LINUX JOBS FILTER FORCE BOOT BOOTS FLAVOUR KARGS KERNEL QUICK KEEP TEXT_POKE_BUILD

help:			## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16
	@echo
	@sed -n 's,^#   \(.*\),  \1,p' Makefile | expand -t 42

kunit:			## build, boot with 4 CPUs under QEMU, run the KUnit suites (ARCH=...)
	@scripts/kunit $(ARCH)

check:			## everything that CI runs, on x86_64, arm64, riscv and powerpc
	@scripts/check

tree:			## the patched kernel as a git tree in build/linux
	@scripts/tree

export:			## write the commits of build/linux to patches/ and series
	@scripts/export

rebase:			## move the commits of build/linux to another kernel (BASE=...)
	@scripts/rebase "$(BASE)"

range-diff:		## show the changes since a version with git range-diff (FROM=v1)
	@scripts/range-diff "$(FROM)"

build:			## build the patched kernel (ARCH=...)
	@scripts/tree && scripts/build $(ARCH)

apply:			## apply the series in each way that the README names, and compare
	@tests/apply/run

static:			## checkpatch, sparse, coccinelle, W=1, clang, Sphinx, spelling (CHECK=..., ARCH=...)
	@tests/static/run $(if $(filter command line,$(origin CHECK)),-c "$(CHECK)") $(if $(filter command line,$(origin ARCH)),$(ARCH),all)

bench:			## measure memory and instructions of base and patched kernel (ARCH=...)
	@tests/bench/run $(ARCH)

coherence:		## run the KUnit suites under a model of stale instruction fetch (ARCH=..., KERNEL=<build dir>)
	@tests/coherence/check $(if $(KERNEL),$(ARCH),$(if $(filter command line,$(origin ARCH)),$(ARCH),all))

hardware:		## what the series relies on, tried on the processor of this machine (TIME=...)
	@tests/hardware/run $(if $(filter command line,$(origin TIME)),"$(TIME)")

suites:			## run existing suites on base and patched kernel, and compare (ARCH=...)
	@tests/suites/run $(ARCH)

mutants:		## break the series on purpose; the tests must notice (M=name, N=..., SEED=..., ARCH=...)
	@[ -n "$(N)" ] || tests/mutants/run $(if $(M),-m "$(M)") $(if $(filter command line,$(origin ARCH)),$(ARCH),all)
	@[ -n "$(M)" ] || tests/mutants/generated -k $(if $(N),-n "$(N)") $(if $(SEED),-s "$(SEED)") $(ARCH)

bisect:			## build every patch with W=1 on every architecture (resumes; BOOT=1 boots them)
	@scripts/bisect $(if $(filter command line,$(origin ARCH)),$(ARCH),all)

matrix:			## build, and boot, many configurations and two compilers (resumes; C="...")
	@set -f; tests/matrix/run $(C)

mbox:			## write the series as mails: build/text-poke.mbox, and its postings: build/posting-*.mbox
	@scripts/export --mbox

models:			## models of the protocols and of the allocator, their mutants (M="<model> ...")
	@tests/models/run $(M)

robustness:		## work as another user, without a network, with a hostile configuration, interrupted
	@tests/robustness

# Remove nothing from a TEXT_POKE_BUILD in which nothing was built.
ours = out=$${TEXT_POKE_BUILD:-build}; [ ! -e "$$out" ] || [ "$$out" = build ] || [ -e "$$out/tree.lock" ] || \
	{ echo "error: nothing was built in $$out, so nothing is removed" >&2; exit 1; }

clean:			## remove everything built, keep everything fetched
	@$(ours); [ ! -e "$$out" ] || find "$$out/" -mindepth 1 -maxdepth 1 ! -name cache ! -name 'qemu-*' ! -name 'busybox-*' \
		! -name pahole ! -name tree.lock -exec rm -rf {} +

distclean:		## remove everything that is not in the repository
	@$(ours); rm -rf "$$out"

.PHONY: help kunit check tree export rebase range-diff build apply static suites coherence hardware bench mutants bisect matrix mbox models robustness clean distclean
