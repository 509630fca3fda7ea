# shellcheck shell=bash disable=SC2034,SC2100
karch=x86_64
debian=amd64
cross=x86_64-linux-gnu-
target=bzImage
image=arch/x86/boot/bzImage
console=ttyS0
qemu=qemu-system-x86_64
# A kernel without ACPI finds one CPU of each socket.
machine=(-machine pc -cpu max -smp "4,sockets=4")
# With a thread for each CPU, QEMU 10.0 may translate an instruction again after it has noticed
# a write to it and before it writes. The CPU then runs an int3 that memory no longer has.
accel=tcg,thread=single
packages="qemu-system-x86 seabios"
qemu_package=qemu-system-x86
kunit=1
full=1
# With call depth tracking, retpolines and full preemption.
more_boots() {
	BOOT_ARGS="-cpu Skylake-Server" \
		run x86_64 x86_64-stuffing retbleed=stuff spectre_v2=retpoline preempt=full \
			ftrace=function ftrace_filter=panic
}
