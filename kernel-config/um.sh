# shellcheck shell=bash disable=SC2034,SC2100
# Its kernel is a program: no QEMU.
karch=um
target=linux
image=linux
has_hooks=
