/** Chipset ports that reset the machine, open A20, or show how far firmware has come: 80h, 92h, CF9h. */
import type { Stateful } from '../memory/stateful';
import type { A20Gate } from './a20-gate';
import type { PortBus } from './bus';
import { BytePorts } from './byte-ports';

/** `init`: INIT# to the processors (CF9h soft reset, port 92h). `reset`: PLTRST#, everything. `power-cycle`: the same through S5. */
export type ResetKind = 'init' | 'reset' | 'power-cycle';

const PORT_92 = { INIT_NOW: 0x01, ALT_A20_GATE: 0x02 } as const;
const RST_CNT = { SYS_RST: 0x02, RST_CPU: 0x04, FULL_RST: 0x08, implemented: 0x0e } as const;

export interface SystemPortsOptions {
  readonly a20: A20Gate;
  readonly reset: (kind: ResetKind) => void;
  /** Called with each byte written to port 80h. */
  readonly post?: (code: number) => void;
}

export interface SystemPortsState {
  port92: number;
  resetControl: number;
  postCode: number;
}

export class SystemPorts extends BytePorts implements Stateful<SystemPortsState> {
  private port92: number = PORT_92.ALT_A20_GATE;
  private resetControl = 0;
  private postCode = 0;

  constructor(private readonly options: SystemPortsOptions) {
    super();
  }

  /** Attach after PCI: CF9h lies inside the dword of CONFIG_ADDRESS, which takes dword accesses only. */
  attach(ports: PortBus): void {
    ports.register(0x80, 1, this);
    ports.register(0x92, 1, this);
    ports.register(0xcf9, 1, this);
  }

  protected readByte(port: number): number {
    if (port === 0x92) return this.port92;
    return port === 0xcf9 ? this.resetControl : this.postCode;
  }

  protected writeByte(port: number, value: number): void {
    if (port === 0x92) this.writePort92(value);
    else if (port === 0xcf9) this.writeResetControl(value);
    else {
      this.postCode = value;
      this.options.post?.(value);
    }
  }

  private writePort92(value: number): void {
    const rising = value & ~this.port92;
    this.port92 = value & (PORT_92.INIT_NOW | PORT_92.ALT_A20_GATE);
    this.options.a20.set('port92', (value & PORT_92.ALT_A20_GATE) !== 0);
    if (rising & PORT_92.INIT_NOW) this.options.reset('init');
  }

  /** Reset Control Register: a reset happens when RST_CPU goes from 0 to 1; the other bits choose which. */
  private writeResetControl(value: number): void {
    const rising = value & ~this.resetControl;
    this.resetControl = value & RST_CNT.implemented;
    if ((rising & RST_CNT.RST_CPU) === 0) return;
    // The machine that comes out of reset reads 0 here.
    this.resetControl = 0;
    if ((value & RST_CNT.SYS_RST) === 0) this.options.reset('init');
    else this.options.reset(value & RST_CNT.FULL_RST ? 'power-cycle' : 'reset');
  }

  saveState(): SystemPortsState {
    const { port92, resetControl, postCode } = this;
    return { port92, resetControl, postCode };
  }

  restoreState(state: SystemPortsState): void {
    Object.assign(this, state);
    this.options.a20.set('port92', (this.port92 & PORT_92.ALT_A20_GATE) !== 0);
  }
}
