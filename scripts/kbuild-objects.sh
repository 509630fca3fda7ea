# shellcheck shell=bash
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
	local src=$1 o=$2 srcarch=$3 f folder
	case $3 in
	x86_64 | i386) srcarch=x86 ;;
	esac
	lists=()
	for f in "${@:4}"; do
		case $f in
		arch/"$srcarch"/*/*) folder=${f#arch/*/} folder=arch/$srcarch/${folder%%/*} ;;
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
