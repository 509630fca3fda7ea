# shellcheck shell=bash disable=SC2034,SC2100
karch=riscv
debian=riscv64
cross=riscv64-linux-gnu-
target=Image
image=arch/riscv/boot/Image
console=ttyS0
qemu=qemu-system-riscv64
machine=(-machine virt -cpu rv64 -smp 4)
packages="qemu-system-riscv|qemu-system-misc opensbi"
qemu_package=qemu-system-riscv
kunit=1
full=1
