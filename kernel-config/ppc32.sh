# shellcheck shell=bash disable=SC2034,SC2100
. "$top/kernel-config/powerpc.sh"
console=ttyS0
qemu=qemu-system-ppc
machine=(-machine g3beige -cpu max)
