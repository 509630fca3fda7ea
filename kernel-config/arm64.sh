# shellcheck shell=bash disable=SC2034,SC2100
karch=arm64
cross=aarch64-linux-gnu-
target=Image
image=arch/arm64/boot/Image
console=ttyAMA0
qemu=qemu-system-aarch64
machine=(-machine "virt,gic-version=3" -cpu max -smp 4)
packages="qemu-system-arm"
qemu_package=qemu-system-arm
kunit=1
full=1
