# shellcheck shell=bash
# What a configuration is, and what Kbuild makes of it.

# unmet DIR: what DIR/wanted has and DIR/.config has not: NAME=VALUE, wanted VALUE.
unmet() {
	awk '{ if ($1 == "#") { name = $2; value = "n"; if ($NF != "set") next }
		else { name = substr($0, 1, index($0, "=") - 1); value = substr($0, index($0, "=") + 1) } }
		name !~ /^CONFIG_/ { next }
		FNR == NR { has[name] = value; next }
		{ is = name in has ? has[name] : "n" }
		is != value && !(value == "" && is == "n") {
			print substr(name, 8) "=" is ", wanted " value }' "$1/.config" "$1/wanted"
}

# unmet_works DIR: a check that finds nothing in what is wrong would pass everything.
unmet_works() {
	mkdir -p "$1"
	printf '%s\n' CONFIG_A=y '# CONFIG_B is not set' CONFIG_C=8 CONFIG_D=m CONFIG_E=y >"$1/.config"
	printf '%s\n' CONFIG_A=y '# CONFIG_B is not set' CONFIG_C=8 '# CONFIG_F is not set' >"$1/wanted"
	[ -z "$(unmet "$1")" ] || return 1
	printf '%s\n' '# CONFIG_A is not set' CONFIG_B=y CONFIG_C=4 CONFIG_D=y CONFIG_F=y CONFIG_E=y >"$1/wanted"
	[ "$(unmet "$1" | cut -d= -f1 | tr '\n' ' ')" = "A B C D F " ]
}

# What Kbuild would compile, without compiling it: its lists of objects and folders, read
# once for each folder by kbuild-objects.mk.
declare -A lists=()
words() {
	[ -n "${lists[$3]+x}" ] || lists[$3]=" $(make -s -f "$top/scripts/kbuild-objects.mk" srctree="$1" objtree="$2" \
		SRCARCH="$srcarch" src="$3" 2>/dev/null | tr -s ' \n' ' ' || true) "
}

# Is OBJECT below FOLDER on its lists, or on those of a folder that they lead to?
reached() {
	local src=$1 o=$2 folder=$3 object=$4 next
	words "$src" "$o" "$folder"
	[[ ${lists[$folder]} != *" $object "* ]] || return 0
	case $object in
	*/*)	next=${object%%/*}
		[[ ${lists[$folder]} == *" $next/ "* ]] && reached "$src" "$o" "$folder/$next" "${object#*/}" ;;
	*)	return 1 ;;
	esac
}

# kbuild_objects SRC OUT KARCH FILE...: the objects of those of these sources that the
# configuration in OUT has.
kbuild_objects() {
	local src=$1 o=$2 srcarch=$3 f folder next
	case $3 in
	x86_64 | i386) srcarch=x86 ;;
	esac
	lists=()
	for f in "${@:4}"; do
		case $f in
		# Folders that are not in its Kbuild are in its Makefile: lib/.
		arch/"$srcarch"/*/*) folder=arch/$srcarch next=${f#arch/*/} next=${next%%/*}
			grep -qs "[[:space:]/]$next/" "$src/$folder/Kbuild" || folder=$folder/$next ;;
		net/*)	grep -q '^CONFIG_NET=y' "$o/include/config/auto.conf" || continue
			folder=net ;;
		kernel/* | mm/* | lib/*) folder=${f%%/*} ;;
		*) continue ;;
		esac
		f=${f%.*}.o
		if [ -e "$src/${f%.o}.c" ] || [ -e "$src/${f%.o}.S" ]; then
			! reached "$src" "$o" "$folder" "${f#"$folder"/}" || echo "$f"
		fi
	done
}
