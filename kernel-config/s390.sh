# shellcheck shell=bash disable=SC2034,SC2100
karch=s390
cross=s390x-linux-gnu-
target=bzImage
image=arch/s390/boot/bzImage
console=ttyS0
qemu=qemu-system-s390x
machine=(-machine s390-ccw-virtio -cpu qemu -smp 4)
packages="qemu-system-s390x|qemu-system-misc"
qemu_package=qemu-system-s390x
kunit=1
debian=s390x
