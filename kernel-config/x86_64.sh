# shellcheck shell=bash disable=SC2034,SC2100
karch=x86_64
cross=x86_64-linux-gnu-
target=bzImage
image=arch/x86/boot/bzImage
console=ttyS0
qemu=qemu-system-x86_64
machine=(-machine pc -cpu max -smp 4)
packages="qemu-system-x86 seabios"
