from ..qemu_config import QemuArchParams

# Without SLOF (x-vof) the kernel is there in a second instead of ten.
QEMU_ARCH = QemuArchParams(linux_arch='powerpc',
                           kconfig='',
                           qemu_arch='ppc64',
                           kernel_path='vmlinux',
                           kernel_command_line='console=hvc0',
                           extra_qemu_params=['-machine', 'pseries,x-vof=on', '-cpu', 'power9',
                                              '-smp', '4'])
