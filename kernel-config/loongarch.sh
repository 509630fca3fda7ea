# shellcheck shell=bash disable=SC2034,SC2100
karch=loongarch
cross=loongarch64-linux-gnu-
# Instead of GCC, which Debian 12 does not have for it.
llvm=-19
target=vmlinux.elf
image=arch/loongarch/boot/vmlinux.elf
console=ttyS0
shutdown=poweroff
qemu=qemu-system-loongarch64
machine=(-machine virt -device pvpanic-pci -cpu max -smp 4)
packages="qemu-system-misc"
qemu_package=qemu-system-misc
kunit=1
# With -icount QEMU 10.0 can only read the time in the last instruction of a block.
icount_accel=one-insn-per-tb=on
# The only suite that has it.
debian=loong64 debian_suite=sid
