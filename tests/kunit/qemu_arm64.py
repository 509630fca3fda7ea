from ..qemu_config import QemuArchParams

QEMU_ARCH = QemuArchParams(linux_arch='arm64',
                           kconfig='',
                           qemu_arch='aarch64',
                           kernel_path='arch/arm64/boot/Image',
                           kernel_command_line='console=ttyAMA0',
                           extra_qemu_params=['-machine', 'virt,gic-version=3', '-cpu', 'max',
                                              '-smp', '4'])
