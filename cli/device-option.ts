import { DEVICE_NAMES, type DeviceName } from '../hypervisor/pci-functions';
import { parseSerial, type SerialTarget } from './serial-option';
import { UserError } from './user-error';

export interface DebugExitDevice {
  readonly kind: 'isa-debug-exit';
  readonly iobase: number;
}

/** A PCI function that needs nothing but its name. */
export interface NamedDevice {
  readonly kind: DeviceName;
}

/** Its port is at /dev/hvc0 of a Linux guest. */
export interface ConsoleDevice {
  readonly kind: 'virtio-console';
  readonly chardev: SerialTarget;
}

const DEFAULT_IOBASE = 0xf4;
const IO_SIZE = 4;
const LAST_PORT = 0xffff - IO_SIZE + 1;

const CONSOLE = 'virtio-console,chardev=file:PATH';

/** stdin and stdout belong to the serial port and to the keys of the terminal. */
function parseConsole(text: string, [property = '', ...rest]: readonly string[]): ConsoleDevice {
  const place = property.startsWith('chardev=') && rest.length === 0 ? property.slice('chardev='.length) : '';
  if (place === 'stdio') throw new UserError(`--device ${text}: stdio is the serial port's; give chardev=file:PATH, unix:PATH or none`);
  if (!/^(none$|file:.|unix:.)/.test(place)) throw new UserError(`--device ${text}: say where its port goes, with chardev=file:PATH, unix:PATH or none`);
  return { kind: 'virtio-console', chardev: parseSerial(place) };
}

/** `isa-debug-exit[,iobase=0xf4][,iosize=4]`, `edu`, `virtio-rng`, as QEMU writes them, or `virtio-console,chardev=PLACE`. Throws UserError. */
export function parseDevice(text: string): DebugExitDevice | ConsoleDevice | NamedDevice {
  const [name, ...properties] = text.split(',');
  const kind = DEVICE_NAMES.find((known) => known === text);
  if (kind !== undefined) return { kind };
  if (name === 'virtio-console') return parseConsole(text, properties);
  if (name !== 'isa-debug-exit')
    throw new UserError(`--device ${text}: there is no device "${text}"; there are isa-debug-exit[,iobase=0xf4], ${CONSOLE}, ${DEVICE_NAMES.join(', ')}`);
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
