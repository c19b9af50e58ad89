/** Ports that exist for the benefit of whoever develops the guest: ISA debug exit and debug consoles. */
import type { AccessSize, PortBus, PortDevice } from './bus';
import { BytePorts } from './byte-ports';

/** Status with which a run ends when the guest writes `value` to the debug exit port: always odd, so never "success" by accident. */
export function debugExitStatus(value: number): number {
  return ((value << 1) | 1) >>> 0;
}

/** A write of any size ends the run. Test kernels expect four ports at F4h. */
export class DebugExit implements PortDevice {
  /** @param exit receives {@link debugExitStatus} of the value. */
  constructor(
    private readonly exit: (status: number) => void,
    private readonly base = 0xf4,
    private readonly count = 4,
  ) {}

  attach(ports: PortBus): void {
    ports.register(this.base, this.count, this);
  }

  readPort(): number {
    return 0;
  }

  writePort(_port: number, _size: AccessSize, value: number): void {
    this.exit(debugExitStatus(value));
  }
}

/** Byte for byte to the host. Reading gives E9h, by which guests find out that it is there. */
export class DebugConsole extends BytePorts {
  /** @param port E9h (Bochs) or 402h (SeaBIOS, OVMF). */
  constructor(
    private readonly port: number,
    private readonly output: (byte: number) => void,
  ) {
    super();
  }

  attach(ports: PortBus): void {
    ports.register(this.port, 1, this);
  }

  protected readByte(): number {
    return 0xe9;
  }

  protected writeByte(_port: number, value: number): void {
    this.output(value);
  }
}
