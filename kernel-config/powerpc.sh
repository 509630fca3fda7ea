# shellcheck shell=bash disable=SC2034,SC2100
karch=powerpc
debian=ppc64el
cross=powerpc64le-linux-gnu-
target=vmlinux
image=vmlinux
console=hvc0
qemu=qemu-system-ppc64
# Without SLOF (x-vof) the kernel starts after one second instead of ten.
machine=(-machine "pseries,x-vof=on" -cpu power9 -smp 4)
packages="qemu-system-ppc qemu-system-data"
qemu_package=qemu-system-ppc
kunit=1
full=1
# With the other MMU: another alias, another flush.
more_boots() {
	run powerpc powerpc-hash disable_radix
}
