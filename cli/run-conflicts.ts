/** Arguments of `vmexit run` that are right by themselves, but not together. */
import type { RunOptions } from './run-options';
import { UserError } from './user-error';

/** Throws UserError. */
export function requireConsistent(options: RunOptions): void {
  if (options.trace !== undefined && options.bare) throw new UserError('--trace with --bare: a bare machine has no VM exits to trace; leave one of them out');
  if (options.wait && options.gdb === undefined) throw new UserError('--wait: there is no debugger to wait for; give --gdb too');
  if (options.gdb !== undefined && options.maxInstructions !== undefined)
    throw new UserError('--max-instructions with --gdb: how far the guest runs is up to the debugger; leave one of them out');
  if (options.traceFormat !== undefined && options.trace === undefined) throw new UserError('--trace-format: give --trace FILE too');
  if (options.record !== undefined && options.gdb !== undefined)
    throw new UserError('--record with --gdb: a debugger keeps its own history; leave one of them out');
  if (options.snapshotDisk && options.drive.length === 0) throw new UserError('--snapshot-disk: there is no disk; give --drive FILE too');
  const rewound = options.record !== undefined ? '--record' : options.gdb !== undefined ? '--gdb' : undefined;
  if (rewound !== undefined && !options.snapshotDisk && options.drive.some(({ readOnly }) => !readOnly))
    throw new UserError(`${rewound} with a --drive that the guest writes: going back needs the disk as it was; give --snapshot-disk, or --drive FILE,readonly`);
  const virtioConsoles = options.device.filter(({ kind }) => kind === 'virtio-console').length;
  if (virtioConsoles > 1) throw new UserError(`--device: ${virtioConsoles} virtio consoles were given; give one`);
  if (virtioConsoles > 0 && rewound !== undefined)
    throw new UserError(`${rewound} with --device virtio-console: what comes in at its port is not recorded; leave one of them out`);
}
