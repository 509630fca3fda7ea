# shellcheck shell=bash disable=SC2034,SC2100
# Big-endian, with the compiler and the fragments of powerpc.
. "$top/kernel-config/powerpc.sh"
fragments_of=powerpc
