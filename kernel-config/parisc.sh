# shellcheck shell=bash disable=SC2034,SC2100
# Only built.
karch=parisc
cross=hppa-linux-gnu-
target=vmlinux
has_hooks=
