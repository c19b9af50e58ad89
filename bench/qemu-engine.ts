/** QEMU's TCG: loads kernels itself. */
import { commandExists, emulatorBoot, emulatorLoops, firstLine } from './emulator-process';
import type { Engine } from './measurement';
import { BENCH_GUEST, INITRD, KERNEL, KERNEL_COMMAND_LINE, MEMORY_MIB } from './workload';

const QEMU = 'qemu-system-x86_64';
const COMMON = ['-accel', 'tcg', '-nographic', '-no-reboot', '-m', String(MEMORY_MIB), '-net', 'none'];

export const QEMU_TCG: Engine = {
  id: 'qemu',
  title: 'QEMU TCG',
  ours: false,
  missing: () => (commandExists(QEMU) ? undefined : `${QEMU} is not installed (apt-get install qemu-system-x86)`),
  version: () => firstLine(QEMU, ['--version'], /version \S+/).replace('version', 'QEMU'),
  loops: (quick) => emulatorLoops({ command: QEMU, args: ['-kernel', BENCH_GUEST, '-append', quick ? 'quick' : ' ', ...COMMON] }),
  boot: () => emulatorBoot({ command: QEMU, args: ['-machine', 'q35', '-kernel', KERNEL, '-initrd', INITRD, '-append', KERNEL_COMMAND_LINE, ...COMMON] }),
};
