# shellcheck shell=bash disable=SC2034,SC2100
karch=loongarch
cross=loongarch64-linux-gnu-
target=vmlinux.elf
image=arch/loongarch/boot/vmlinux.elf
console="ttyS0 kunit_shutdown=poweroff"
qemu=qemu-system-loongarch64
machine=(-machine virt -device pvpanic-pci -cpu max)
has_hooks=
