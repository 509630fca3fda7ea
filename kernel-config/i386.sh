# shellcheck shell=bash disable=SC2034,SC2100
. "$top/kernel-config/x86_64.sh"
karch=i386
qemu=qemu-system-i386
machine=(-cpu max -smp 4)
