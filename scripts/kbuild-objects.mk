# SPDX-License-Identifier: GPL-2.0-only
# What Kbuild would build in one folder of the kernel, without building it.
# usage: make -s -f kbuild-objects.mk srctree=<source> objtree=<build> SRCARCH=<arch> src=<folder>
#
# "make kernel/kprobes.o" compiles that file even where the configuration leaves it out,
# so somebody has to read the lists.
include $(objtree)/include/config/auto.conf

BITS := $(if $(CONFIG_64BIT),64,32)
obj := $(src)
include $(firstword $(wildcard $(srctree)/$(src)/Kbuild $(srctree)/$(src)/Makefile))

# The Makefile that was included may have targets: ours must be the one.
.DEFAULT_GOAL := words
.PHONY: words
words: ; @printf '%s\n' $(obj-y) $(obj-m) $(lib-y) $(lib-m)
