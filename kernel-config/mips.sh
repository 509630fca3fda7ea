# shellcheck shell=bash disable=SC2034,SC2100
karch=mips
cross=mips64el-linux-gnuabi64-
target=vmlinuz
image=vmlinuz
console=ttyS0
qemu=qemu-system-mips64el
machine=(-machine malta -cpu 5KEc)
has_hooks=
