import { DEVICE_NAMES, type DeviceName } from '../hypervisor/pci-functions';
import { UserError } from './user-error';

export interface DebugExitDevice {
  readonly kind: 'isa-debug-exit';
  readonly iobase: number;
}

/** A PCI function that needs nothing but its name. */
export interface NamedDevice {
  readonly kind: DeviceName;
}

const DEFAULT_IOBASE = 0xf4;
const IO_SIZE = 4;
const LAST_PORT = 0xffff - IO_SIZE + 1;

/** `isa-debug-exit[,iobase=0xf4][,iosize=4]`, `edu` or `virtio-rng`, as QEMU writes them. Throws UserError. */
export function parseDevice(text: string): DebugExitDevice | NamedDevice {
  const [name, ...properties] = text.split(',');
  const kind = DEVICE_NAMES.find((known) => known === text);
  if (kind !== undefined) return { kind };
  if (name !== 'isa-debug-exit')
    throw new UserError(`--device ${text}: there is no device "${text}"; there are isa-debug-exit[,iobase=0xf4], ${DEVICE_NAMES.join(', ')}`);
  let iobase = DEFAULT_IOBASE;
  for (const property of properties) {
    const [key, value] = property.split('=', 2);
    const number = /^(0x[0-9a-f]+|\d+)$/i.test(value ?? '') ? Number(value) : NaN;
    if (key === 'iobase' && number >= 0 && number <= LAST_PORT) iobase = number;
    else if (key === 'iosize' && number === IO_SIZE) continue;
    else throw new UserError(`--device ${text}: "${property}" is not understood; give iobase=0x0 to iobase=0x${LAST_PORT.toString(16)}, iosize=${IO_SIZE}`);
  }
  return { kind: 'isa-debug-exit', iobase };
}
