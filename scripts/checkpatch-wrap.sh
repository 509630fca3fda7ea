#!/usr/bin/env bash
# checkpatch --strict on every patch of the series. What it may say is listed in
# tests/static/checkpatch-waivers, one a line with the reason; a waiver that
# nothing needs is an error. usage: checkpatch-wrap.sh [PATCH...]
. "$(dirname "$0")/common.sh"

waivers=$top/tests/static/checkpatch-waivers
mkdir -p "$logs"
used=$logs/checkpatch-waivers.used
: >"$used"
bad=0
patches=("$@")
if [ $# = 0 ]; then
	while read -r p; do
		patches+=("$top/patches/$p")
	done < <(series_patches)
fi
for p in "${patches[@]}"; do
	slug=${p##*/}
	slug=${slug#[0-9][0-9][0-9][0-9]-}
	slug=${slug%.patch}
	# --no-signoff: a machine may not sign off; the submitter does, with git am -s.
	while IFS= read -r line; do
		type=$(sed -n 's/^[^:]*:[0-9]*: [A-Z]*:\([A-Z_0-9]*\): .*/\1/p; s/^[A-Z]*:\([A-Z_0-9]*\): .*/\1/p' <<<"$line" | head -n 1)
		if [ -n "$type" ] && grep -qE "^($slug|\\*)[[:space:]]+${type}[[:space:]]+#" "$waivers"; then
			grep -E "^($slug|\\*)[[:space:]]+${type}[[:space:]]+#" "$waivers" >>"$used"
			continue
		fi
		echo "${p##*/}: $line"
		bad=$((bad + 1))
	done < <(cd "$tree" && perl scripts/checkpatch.pl --root="$tree" --no-tree --strict --no-signoff \
		--show-types --terse --no-summary "$p" | sed 's,^[^ ]*/\([^/ ]*:[0-9]*: \),\1,')
done
if [ $# = 0 ]; then
	while IFS= read -r w; do
		case $w in '#'* | '') continue ;; esac
		grep -qxF "$w" "$used" || {
			echo "waiver that nothing needs: $w"
			bad=$((bad + 1))
		}
	done <"$waivers"
fi
[ $bad = 0 ]
