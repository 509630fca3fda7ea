# shellcheck shell=bash disable=SC2034
# What all scripts share: where things are, the table of architectures, and how
# a stage is run and reported.
set -euo pipefail

# What a user's shell may export: where cd goes, another compiler, another folder.
unset CDPATH CROSS_COMPILE KBUILD_OUTPUT
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

# shellcheck source=/dev/null
. "$top/kernel-config/base"

# A user's configuration and hooks must not change results.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_CONFIG_COUNT=8
export GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0="text-poke series"
export GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1="text-poke@project.invalid"
export GIT_CONFIG_KEY_2=core.hooksPath GIT_CONFIG_VALUE_2=/dev/null
export GIT_CONFIG_KEY_3=gc.auto GIT_CONFIG_VALUE_3=0
export GIT_CONFIG_KEY_4=safe.directory GIT_CONFIG_VALUE_4="*"
export GIT_CONFIG_KEY_5=advice.detachedHead GIT_CONFIG_VALUE_5=false
export GIT_CONFIG_KEY_6=core.attributesFile GIT_CONFIG_VALUE_6=/dev/null
export GIT_CONFIG_KEY_7=core.excludesFile GIT_CONFIG_VALUE_7=/dev/null
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_PREFIX
unset GIT_CONFIG_PARAMETERS GIT_TEMPLATE_DIR GIT_DIFF_OPTS GIT_EXTERNAL_DIFF
export LC_ALL=C
# The same file compiled in another clone, for a mutant or for bisect is a hit.
export CCACHE_BASEDIR=$build CCACHE_NOHASHDIR=1

ALL_ARCHES="x86_64 arm64 riscv powerpc"

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Sets karch, cross and qemu for an architecture.
arch_vars() {
	case $1 in
	x86_64)  karch=x86_64  cross=x86_64-linux-gnu-       qemu=qemu-system-x86_64 ;;
	arm64)   karch=arm64   cross=aarch64-linux-gnu-      qemu=qemu-system-aarch64 ;;
	riscv)   karch=riscv   cross=riscv64-linux-gnu-      qemu=qemu-system-riscv64 ;;
	powerpc) karch=powerpc cross=powerpc64le-linux-gnu-  qemu=qemu-system-ppc64 ;;
	*) die "unknown architecture '$1': one of $ALL_ARCHES or all" ;;
	esac
	if [ "$(uname -m)" = x86_64 ] && [ "$1" = x86_64 ]; then
		cross=
	fi
	if [ "$(uname -m)" = aarch64 ] && [ "$1" = arm64 ]; then
		cross=
	fi
	export karch cross qemu
}

# "all" or a list, to a list.
arches() {
	local a
	if [ "${1:-}" = all ]; then
		echo "$ALL_ARCHES"
		return
	fi
	for a in ${1:-x86_64}; do
		(arch_vars "$a") || exit 1
	done
	echo "${1:-x86_64}"
}

# The fragments of an architecture, with flavours: NAME.config, and NAME.ARCH.config
# for what one architecture has in addition.
fragments() {
	local arch=$1 f
	shift
	for f in common "$arch" "$@"; do
		echo "$top/kernel-config/$f.config"
		[ ! -e "$top/kernel-config/$f.$arch.config" ] || echo "$top/kernel-config/$f.$arch.config"
	done
}

# merge_fragments FILE...: one line for each symbol. Where two files differ the last one is
# right; kunit.py would refuse them.
merge_fragments() {
	awk '/^(# )?CONFIG_/ { name = $1 == "#" ? $2 : substr($1, 1, index($1, "=") - 1); line[name] = $0 }
		END { for (name in line) print line[name] }' "$@" | sort
}

# ccache_cc [COMPILER]: what make gets as CC
ccache_cc() {
	local cc=${1:-${cross}gcc}
	if command -v ccache >/dev/null; then
		echo "ccache $cc"
	else
		echo "$cc"
	fi
}

elapsed() {
	local s=$(($(date +%s) - started))
	printf '[%3d:%02d]' $((s / 60)) $((s % 60))
}

say() {
	printf '%s %s\n' "$(elapsed)" "$*"
}

# A process and all that it has started.
descendants() {
	local p
	# shellcheck disable=SC2013
	for p in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		descendants "$p"
	done
	echo "$1"
}

# On a full disk the log cannot say that it is full.
disk_full() {
	grep -q 'No space left on device' "$1" 2>/dev/null ||
		[ "$(df -Pk "$build" | awk 'NR == 2 { print $4 }')" -lt 64 ] 2>/dev/null
}

# Dies of the signal, for to the shell that has called "exit 130" is a failure like any
# other, after which it may go on.
stop_stage() {
	# shellcheck disable=SC2046
	kill $(descendants "$_st_pid") 2>/dev/null
	wait "$_st_pid" || true
	trap - INT TERM
	kill -"$1" "$BASHPID"
	exit 130
}

# stage NAME LOG COMMAND...: one line when it ends; progress meanwhile; the end
# of the log and where to find the rest if it fails.
# Its own names start with _st_, for COMMAND may be a function that uses the
# variables of the caller.
stage() {
	local _st_name=$1 _st_log=$2 _st_pid _st_rc=0 _st_t=0 _st_begin
	shift 2
	mkdir -p "$(dirname "$_st_log")"
	_st_begin=$(date +%s)
	"$@" >"$_st_log" 2>&1 </dev/null &
	_st_pid=$!
	# The job must not outlive Ctrl-C, nor what is in a group of its own, as below timeout.
	trap 'stop_stage INT' INT
	trap 'stop_stage TERM' TERM
	while kill -0 "$_st_pid" 2>/dev/null; do
		sleep 1
		_st_t=$((_st_t + 1))
		if [ -t 1 ]; then
			printf '\r%s %s ... %s lines of log' "$(elapsed)" "$_st_name" "$(wc -l <"$_st_log")"
		elif [ $((_st_t % 60)) = 0 ]; then
			say "$_st_name ... $(wc -l <"$_st_log") lines of log"
		fi
	done
	wait "$_st_pid" || _st_rc=$?
	trap - INT TERM
	[ -t 1 ] && printf '\r\033[K'
	if [ $_st_rc = 0 ]; then
		say "$_st_name: ok ($(($(date +%s) - _st_begin)) s)"
		return 0
	fi
	say "$_st_name: FAILED (exit $_st_rc)"
	if disk_full "$_st_log"; then
		echo "    the disk is full: free some space, then run the same command again"
	fi
	tail -n 20 "$_st_log" | sed 's/^/    /'
	echo "    full log: ${_st_log#"$top/"}"
	return $_st_rc
}

series_patches() {
	sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$top/series"
}

# Identifies base and series, to know whether something must be done again.
series_hash() {
	(cd "$top" && { cat kernel-config/base series; series_patches | sed 's,^,patches/,' |
		xargs -r cat; } | sha256sum | cut -d' ' -f1)
}

# worktree DIR: another tree of the kernel, of some commit. What an older build/linux left
# behind is no use.
worktree() {
	[ ! -e "$1/.git" ] || ! git -C "$1" rev-parse -q --verify HEAD >/dev/null 2>&1 || return 0
	rm -rf "$1"
	git -C "$tree" worktree prune
	stage "${1#"$build/"}: worktree" "$logs/worktree.log" git -C "$tree" worktree add -q --detach "$1" base
}

# The unpatched kernel, in build/base.
base_worktree() {
	worktree "$build/base" || return 1
	[ "$(git -C "$build/base" rev-parse HEAD)" = "$(git -C "$tree" rev-parse base)" ] ||
		git -C "$build/base" checkout -q -f --detach base
}

# private_apt DIR SUITE [ARCH]: the rest of the script's apt-get calls use a configuration
# of their own in DIR, with SUITE from the mirror of the machine, for ARCH as Debian calls
# it instead of the machine's. What the machine is set up for is not touched.
private_apt() {
	local dir=$1 suite=$2 arch=${3:-$(dpkg --print-architecture)} mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	command -v apt-get >/dev/null && [ -f $keyring ] || return 1
	# shellcheck disable=SC2016
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
		awk '$2 !~ /-/ { print $1; exit }')
	[ -n "$mirror" ] || return 1
	mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial "$dir"/etc
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$dir/etc/sources.list"
	cat >"$dir/apt.conf" <<-END
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		Dir::State "$dir/state";
		Dir::State::status "/var/lib/dpkg/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::SourceList "$dir/etc/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		APT::Sandbox::User "";
		Debug::NoLocking "1";
	END
	export APT_CONFIG=$dir/apt.conf
	apt-get update
}
