# shellcheck shell=bash disable=SC2034,SC2100
karch=arm
cross=arm-linux-gnueabihf-
target=zImage
image=arch/arm/boot/zImage
console=ttyAMA0
qemu=qemu-system-arm
machine=(-machine virt)
has_hooks=
