# shellcheck shell=bash disable=SC2034
# Sourced by all scripts: paths, stages, architectures, kernel trees, builds and boots.
set -euo pipefail
# Without this, a script goes on if Ctrl-C has ended only QEMU.
trap 'exit 130' INT TERM

# A user's environment and configuration must not change results.
unset CDPATH CROSS_COMPILE KBUILD_OUTPUT LLVM KCFLAGS MAKEFLAGS
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX
unset GIT_CONFIG_PARAMETERS GIT_TEMPLATE_DIR GIT_DIFF_OPTS GIT_EXTERNAL_DIFF
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(realpath -m -- "${TEXT_POKE_BUILD:-$top/build}")
[ -z "${TEXT_POKE_BUILD:-}" ] || export TEXT_POKE_BUILD=$build
logs=$build/log
results=$build/results
tree=$build/linux
cache=$(realpath -m -- "${TEXT_POKE_CACHE:-$build/cache}")
started=${TEXT_POKE_STARTED:-$(date +%s)}
export TEXT_POKE_STARTED=$started
jobs=${JOBS:-$(nproc)}
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git_config=("user.name=text-poke series" user.email=text-poke@project.invalid core.hooksPath=/dev/null
	core.attributesFile=/dev/null core.excludesFile=/dev/null gc.auto=0 "safe.directory=*"
	advice.detachedHead=false)
for i in "${!git_config[@]}"; do
	export "GIT_CONFIG_KEY_$i=${git_config[i]%%=*}" "GIT_CONFIG_VALUE_$i=${git_config[i]#*=}"
done
export GIT_CONFIG_COUNT=${#git_config[@]}
export LC_ALL=C
# Builds in different directories share the cache. What is not in it is not preprocessed first.
export CCACHE_BASEDIR=$build CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
# shellcheck source=/dev/null
. "$top/kernel-config/base"

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

say() {
	local s=$(($(date +%s) - started))
	printf '[%3d:%02d] %s\n' $((s / 60)) $((s % 60)) "$*"
}

# stage NAME LOG COMMAND...: run COMMAND in a subshell and say how it ended; if it fails,
# show the end of the log. COMMAND may be a function that uses variables of its caller,
# hence the underscores.
stage() {
	local _name=$1 _log=$2 _rc=0 _begin _ticker
	shift 2
	mkdir -p "$(dirname "$_log")"
	_begin=$(date +%s)
	while sleep 60 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
		say "$_name ... $(wc -l <"$_log") lines of log"
	done 8>&- 9>&- &	# not the locks of fetch-qemu and tree
	_ticker=$!
	("$@") >"$_log" 2>&1 </dev/null || _rc=$?
	kill "$_ticker" 2>/dev/null || true
	if [ $_rc = 0 ]; then
		say "$_name: ok ($(($(date +%s) - _begin)) s)"
		return
	fi
	say "$_name: FAILED (exit $_rc)"
	tail -n 20 "$_log" | sed 's/^/    /'
	echo "    full log: ${_log#"$top/"}"
	return $_rc
}

# counted NAME COMMAND...: a stage that may fail, for total.
passed=0 failed=0
counted() {
	stage "$1" "$logs/$(tr -cs 'A-Za-z0-9_\n' - <<<"$1").log" "${@:2}" && passed=$((passed + 1)) || failed=$((failed + 1))
}

# total TABLE WHAT: a line for scripts/check, and whether all passed
total() {
	printf '%s\t%s\t%d\t%d\t0\n' "$1" "$2" $passed $failed >"$results/$1.tsv"
	[ $failed = 0 ]
}

# --- architectures

# arch_vars ARCH: the variables of kernel-config/ARCH.sh.
arch_vars() {
	[ -e "$top/kernel-config/$1.sh" ] || die "unknown architecture '$1', see kernel-config/*.sh"
	cross='' llvm='' target=vmlinux shutdown=reboot image='' console='' qemu='' machine=() packages='' qemu_package=''
	accel=tcg,thread=multi has_hooks=1 full='' kunit='' icount_accel='' fragments_of=$1 debian=$1
	# shellcheck disable=SC2317
	more_boots() { :; }
	. "$top/kernel-config/$1.sh"
	[[ $(uname -m):$cross != @(x86_64:x86_64-*|aarch64:aarch64-*) ]] || cross=
}

# all_arches [VARIABLE]: the architectures for which ARCH.sh sets it. "full" are those that
# all verbs know, "kunit" those with hooks.
all_arches() {
	(cd "$top/kernel-config" && grep -lx "${1:-full}=1" -- *.sh) | sed 's/\.sh$//' | xargs
}

# arches LIST [VARIABLE]: "all" or a list, to a list.
arches() {
	local a
	[ "${1:-}" != all ] || set -- "$(all_arches "${2:-}")"
	for a in ${1:-x86_64}; do
		(arch_vars "$a") || exit 1
	done
	echo "${1:-x86_64}"
}

# fragments ARCH [FLAVOUR...]: the files of kernel-config/ for it, in order.
fragments() {
	local arch=$1 f
	shift
	for f in common "$arch" "$@"; do
		echo "$top/kernel-config/$f.config"
		[ ! -e "$top/kernel-config/$f.$arch.config" ] || echo "$top/kernel-config/$f.$arch.config"
	done
}

# merge_fragments FILE...: one line for each symbol; the last file wins.
merge_fragments() {
	awk '/^(# )?CONFIG_/ { name = $1 == "#" ? $2 : substr($1, 1, index($1, "=") - 1); line[name] = $0 }
		END { for (name in line) print line[name] }' "$@" | sort
}

# --- trees of the kernel

series_patches() {
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$top/series"
}

# worktree DIR [COMMIT]: another tree of the kernel, at COMMIT, without edits.
worktree() {
	local commit
	commit=$(git -C "$tree" rev-parse "${2:-base}")
	if ! git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1 || [ ! -e "$1/.git" ]; then
		rm -rf "$1"
		git -C "$tree" worktree prune
		stage "${1#"$build/"}: worktree" "$logs/worktree.log" git -C "$tree" worktree add -q --detach "$1" "$commit" || return 1
	elif [ $# -gt 1 ]; then
		git -C "$1" checkout -q -f --detach "$commit"
	fi
}

# Not "make kernelversion", which refuses a path with a space.
kernel_version() {
	awk '$2 == "=" { v[$1] = $3 } $1 == "EXTRAVERSION" { print v["VERSION"] "." v["PATCHLEVEL"] "." v["SUBLEVEL"] $3; exit }' "$tree/Makefile"
}

# apply_patches DIR PATCH...: onto the base, in a worktree with only the files of the patches;
# stays there. In a function that stage runs, set -e does nothing.
apply_patches() {
	local p
	rm -rf "$1"
	git -C "$tree" worktree prune
	git -C "$tree" worktree add -q --no-checkout --detach "$1" base && cd "$1" || return 1
	sed -n 's,^+++ b/,/,p; s,^--- a/,/,p' "${@:2}" | sort -u | git sparse-checkout set --no-cone --stdin &&
		git checkout -q --detach base || return 1
	for p in "${@:2}"; do
		git am -q -3 --committer-date-is-author-date "$p" || { echo "error: ${p##*/} does not apply"; return 1; }
	done
}

# --- builds and boots

# prepare LIST: packages, the tree and, meanwhile, QEMU_DIR for these architectures. Fails without QEMU 10.
prepare() {
	"$top/scripts/setup" boot $1 || exit 1
	exec 7< <("$top/scripts/fetch-qemu" "$1")
	"$top/scripts/tree" || exit 1
	export QEMU_DIR=
	read -r QEMU_DIR <&7
}

# ccache_cc [COMPILER]: the value of CC for make
# shellcheck disable=SC2120
ccache_cc() {
	local cc=${1:-${llvm:+clang$llvm}}
	cc=${cc:-${cross}gcc}
	command -v ccache >/dev/null && echo "ccache $cc" || echo "$cc"
}

# mk SRC OUT ARGUMENT...: make, for the architecture of arch_vars, with make_args too.
make_args=()
mk() {
	make -C "$1" O="$2" ARCH="$karch" ${llvm:+LLVM="$llvm"} ${cross:+CROSS_COMPILE="$cross"} CC="$(ccache_cc)" -j"$jobs" "${make_args[@]}" "${@:3}"
}

# objects SRC OUT FILE...: the objects that the configuration builds from these sources, as
# make lists them. They need not exist.
objects() {
	mk "$1" "$2" prepare >&2 || return 1
	comm -12 <(printf '%s\n' "${@:3}" | sed -n 's/\.[cS]$/.o/p' | sort -u) \
		<(mk "$1" "$2" -n -k kernel/ mm/ lib/ net/ "arch/$(sed 's/^\(x86\)_64$\|^i386$/x86/' <<<"$karch")/" 2>/dev/null |
			sed -nE "s/.*echo '  (CC|AS) +(\[M\])? *([^ ']+\.o)'.*/\3/p" | sort -u)
}

# warnings SRC LOG: those of compilers, sparse, kernel-doc, objtool, modpost and the linker, without lines
warnings() {
	sed -nE "/^make/d; s,0x[0-9a-f]+,N,g; s,^((Warning|Error): )?(\.\./linux|$1)/,\1,
		s,^(Warning|Error): ([^ :]+):[0-9]+:? *,\2 kernel-doc: ,p
		s,^([^ :]+)(:[0-9]+)*: ((warning|error): .*),\1 \3,p
		/^WARNING: modpost: |^[^ ]*ld: .*warning: /p" "$2" | sort -u
}

# seeded SRC OUT REGEX ARGUMENT...: make must say REGEX of faults that are there, in $log.seed
seeded() {
	mkdir -p "$build/seed"
	echo 'obj-m := seed.o' >"$build/seed/Makefile"
	printf '#include <linux/types.h>\nint seeded(void __user *p, int a) { a = a; return *(int *)p; }\n' >"$build/seed/seed.c"
	mk "$1" "$2" "${@:4}" M="$build/seed" seed.o >"$log.seed" 2>&1 || true
	grep -qE "$3" "$log.seed" || { echo "A seeded fault is not found: log/${log##*/}.seed"; return 1; }
}

# unmet OUT: the symbols of OUT/wanted that OUT/.config lacks.
unmet() {
	awk -F= '{ sub(/^# /, ""); sub(/ is not set$/, "=n"); value = substr($0, index($0, "=") + 1) }
		!/^CONFIG_[^ ]*=/ { next }
		FNR == NR { has[$1] = value; next }
		{ is = $1 in has ? has[$1] : "n" }
		is != value && !(value == "" && is == "n") { print substr($1, 8) "=" is ", wanted " value }' "$1/.config" "$1/wanted"
}

# configure SRC OUT FRAGMENT...: nothing to do if it was configured like this before. CONFIGURE
# may be another target of the kernel's make. The fragments are added to a *defconfig.
configure() {
	local src=$1 out=$2
	shift 2
	mkdir -p "$out"
	merge_fragments "$@" >"$out/wanted.new" || return 1
	if [ ! -e "$out/.config" ] || ! cmp -s "$out/wanted.new" "$out/wanted"; then
		cp "$out/wanted.new" "$out/.config"
		KCONFIG_ALLCONFIG=$out/wanted.new mk "$src" "$out" "${CONFIGURE:-olddefconfig}" || return 1
		[[ ${CONFIGURE:-} != *defconfig ]] ||
			{ cat "$out/wanted.new" >>"$out/.config" && mk "$src" "$out" olddefconfig; } || return 1
		cp "$out/wanted.new" "$out/wanted"
	fi
	[ -z "$(unmet "$out")" ] || { echo "error: .config has $(unmet "$out")"; rm "$out/wanted"; return 1; }
}

# boot OUT ARCH SECONDS ARGUMENT...: the KUnit suites of a kernel; the console is stdout.
# BOOT_ARGS has more arguments of QEMU.
boot() {
	# A machine that is stuck may not heed the first signal.
	timeout --foreground -k 5 "$3" "$top/scripts/qemu" "$2" "$1" "kunit.enable=1 kunit_shutdown=$shutdown ${*:4}" \
		-serial stdio ${BOOT_ARGS:-} </dev/null
}
