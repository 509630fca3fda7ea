from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='riscv',
                           kconfig='',
                           qemu_arch='riscv64',
                           kernel_path='arch/riscv/boot/Image',
                           kernel_command_line='console=ttyS0',
                           extra_qemu_params=['-machine', 'virt', '-cpu', 'rv64', '-smp', '4'])
