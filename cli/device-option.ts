import { DEVICE_NAMES, type DeviceName } from '../hypervisor/pci-functions';
import { parseSerial, type SerialTarget } from './serial-option';
import { UserError } from './user-error';

export interface DebugExitDevice {
  readonly kind: 'isa-debug-exit';
  readonly iobase: number;
  /** Ports from iobase on. */
  readonly iosize: number;
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

/** Where test kernels expect it, and as large. QEMU's own defaults are 0x501 and 2, which hardly anybody uses. */
const DEFAULT_IOBASE = 0xf4;
const DEFAULT_IOSIZE = 4;
const IOSIZES: readonly number[] = [1, 2, 4];
const PORTS = 0x1_0000;

const CONSOLE = 'virtio-console,chardev=file:PATH';

/** stdin and stdout belong to the serial port and to the keys of the terminal. */
function parseConsole(text: string, [property = '', ...rest]: readonly string[]): ConsoleDevice {
  const place = property.startsWith('chardev=') && rest.length === 0 ? property.slice('chardev='.length) : '';
  if (place === 'stdio') throw new UserError(`--device ${text}: stdio is the serial port's; give chardev=file:PATH, unix:PATH or none`);
  if (!/^(none$|file:.|unix:.)/.test(place)) throw new UserError(`--device ${text}: say where its port goes, with chardev=file:PATH, unix:PATH or none`);
  return { kind: 'virtio-console', chardev: parseSerial(place) };
}

function parseDebugExit(text: string, properties: readonly string[]): DebugExitDevice {
  let iobase = DEFAULT_IOBASE;
  let iosize = DEFAULT_IOSIZE;
  for (const property of properties) {
    const [, key, value] = /^(iobase|iosize)=(0x[0-9a-f]+|\d+)$/i.exec(property) ?? [];
    const number = Number(value);
    if (key === 'iobase' && number < PORTS) iobase = number;
    else if (key === 'iosize' && IOSIZES.includes(number)) iosize = number;
    else
      throw new UserError(
        `--device ${text}: "${property}" is not understood; give iobase=0x${DEFAULT_IOBASE.toString(16)} or another port, and iosize=1, iosize=2 or iosize=4`,
      );
  }
  if (iobase + iosize > PORTS) throw new UserError(`--device ${text}: the last port is 0xffff; give at most iobase=0x${(PORTS - iosize).toString(16)}`);
  return { kind: 'isa-debug-exit', iobase, iosize };
}

/** `isa-debug-exit[,iobase=0xf4][,iosize=4]`, `edu`, `virtio-rng`, as QEMU writes them, or `virtio-console,chardev=PLACE`. Throws UserError. */
export function parseDevice(text: string): DebugExitDevice | ConsoleDevice | NamedDevice {
  const [name, ...properties] = text.split(',');
  const kind = DEVICE_NAMES.find((known) => known === text);
  if (kind !== undefined) return { kind };
  if (name === 'virtio-console') return parseConsole(text, properties);
  if (name !== 'isa-debug-exit')
    throw new UserError(
      `--device ${text}: there is no device "${text}"; there are isa-debug-exit[,iobase=0xf4][,iosize=4], ${CONSOLE}, ${DEVICE_NAMES.join(', ')}`,
    );
  return parseDebugExit(text, properties);
}
