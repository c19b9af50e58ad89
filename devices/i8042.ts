/**
 * The 8042 keyboard controller of a PC with PS/2 auxiliary port: ports 60h (data) and 64h (status, command); IRQ1 and IRQ12.
 *
 * The input buffer is always empty: commands and data take no time.
 */
import type { Stateful } from '../memory/stateful';
import type { A20Gate } from './a20-gate';
import type { InterruptLine, PortBus } from './bus';
import { BytePorts } from './byte-ports';
import type { Ps2Device, Ps2State } from './ps2-device';
import { SET2_TO_SET1 } from './ps2-translation';

const DATA = 0x60;
const COMMAND_STATUS = 0x64;
const STATUS = { OBF: 0x01, SYS: 0x04, A2: 0x08, notInhibited: 0x10, AUX: 0x20, timeout: 0x40 } as const;
/** Controller command byte. */
const CCB = { KBDINT: 0x01, AUXINT: 0x02, SYS: 0x04, KBDDIS: 0x10, AUXDIS: 0x20, XLATE: 0x40 } as const;
const OUTPUT_PORT = { notReset: 0x01, A20: 0x02, kbdInterrupt: 0x10, auxInterrupt: 0x20, writable: 0xcf } as const;
const COMMAND = {
  readRam: 0x20,
  writeRam: 0x60,
  auxDisable: 0xa7,
  auxEnable: 0xa8,
  auxTest: 0xa9,
  selfTest: 0xaa,
  keyboardTest: 0xab,
  keyboardDisable: 0xad,
  keyboardEnable: 0xae,
  readInputPort: 0xc0,
  readOutputPort: 0xd0,
  writeOutputPort: 0xd1,
  writeKeyboardBuffer: 0xd2,
  writeAuxBuffer: 0xd3,
  writeAuxDevice: 0xd4,
  a20Disable: 0xdd,
  a20Enable: 0xdf,
  readTestInputs: 0xe0,
  pulseOutputPort: 0xf0,
} as const;
/** Break codes in set 2 are the make code behind this prefix; in set 1, the make code with bit 7. */
const SET2_BREAK = 0xf0;
const REPLY_LIMIT = 16;

type Source = 'keyboard' | 'aux' | 'timeout';
interface Reply {
  byte: number;
  source: Source;
}

export interface I8042Options {
  readonly irq1: InterruptLine;
  readonly irq12: InterruptLine;
  readonly a20: A20Gate;
  /** Output port bit 0 went low: INIT# to the processor. */
  readonly reset: () => void;
  readonly keyboard?: Ps2Device;
  /** What is plugged into the auxiliary port, if anything. */
  readonly mouse?: Ps2Device;
}

export interface I8042State {
  status: number;
  output: number;
  command: number;
  outputPort: number;
  ram: number[];
  replies: Reply[];
  breakPending: boolean;
  keyboard: Ps2State | null;
  mouse: Ps2State | null;
}

export class I8042 extends BytePorts implements Stateful<I8042State> {
  /** OBF, AUX and timeout describe `output`. */
  private status: number = 0;
  private output = 0;
  /** Command whose data byte is awaited, 0 for none. */
  private command = 0;
  private outputPort: number = OUTPUT_PORT.notReset | OUTPUT_PORT.A20 | 0xcc;
  /** Byte 0 is the command byte. */
  private ram = new Array<number>(32).fill(0);
  /** What the controller itself has to say; goes before the devices. */
  private replies: Reply[] = [];
  private breakPending = false;

  constructor(private readonly options: I8042Options) {
    super();
    this.ram[0] = CCB.KBDINT | CCB.AUXINT | CCB.SYS | CCB.XLATE;
    if (options.keyboard) options.keyboard.onData = () => this.fillOutput();
    if (options.mouse) options.mouse.onData = () => this.fillOutput();
  }

  attach(ports: PortBus): void {
    ports.register(DATA, 1, this);
    ports.register(COMMAND_STATUS, 1, this);
  }

  protected readByte(port: number): number {
    if (port === COMMAND_STATUS) return this.status | (this.ram[0] & CCB.SYS) | STATUS.notInhibited;
    const byte = this.output;
    this.status &= ~(STATUS.OBF | STATUS.AUX | STATUS.timeout);
    // The lines fall before the next byte raises them.
    this.updateInterrupts();
    this.fillOutput();
    return byte;
  }

  protected writeByte(port: number, value: number): void {
    if (port === COMMAND_STATUS) {
      this.status |= STATUS.A2;
      this.command = 0;
      this.execute(value);
    } else {
      this.status &= ~STATUS.A2;
      this.data(value);
    }
    this.fillOutput();
  }

  private execute(command: number): void {
    if ((command & 0xe0) === COMMAND.readRam) return this.reply(this.ram[command & 0x1f]);
    if (command >= COMMAND.pulseOutputPort) {
      // Bits 3:0 low: pulse that line; bit 0 is the processor's reset.
      if ((command & OUTPUT_PORT.notReset) === 0) this.options.reset();
      return;
    }
    switch (command) {
      case COMMAND.auxDisable:
        this.ram[0] |= CCB.AUXDIS;
        return;
      case COMMAND.auxEnable:
        this.ram[0] &= ~CCB.AUXDIS;
        return;
      case COMMAND.auxTest:
      case COMMAND.keyboardTest:
        return this.reply(0x00); // no error
      case COMMAND.selfTest:
        this.ram[0] |= CCB.SYS;
        return this.reply(0x55);
      case COMMAND.keyboardDisable:
        this.ram[0] |= CCB.KBDDIS;
        return;
      case COMMAND.keyboardEnable:
        this.ram[0] &= ~CCB.KBDDIS;
        return;
      case COMMAND.readInputPort:
        return this.reply(0x80); // keyboard not locked
      case COMMAND.readOutputPort:
        return this.reply(this.readOutputPort());
      case COMMAND.a20Disable:
      case COMMAND.a20Enable:
        return this.writeOutputPort(command === COMMAND.a20Enable ? this.outputPort | OUTPUT_PORT.A20 : this.outputPort & ~OUTPUT_PORT.A20);
      case COMMAND.readTestInputs:
        return this.reply(0x00);
      default:
        this.command = command; // takes a data byte, or is unknown: then the byte is dropped
    }
  }

  private data(value: number): void {
    const { command } = this;
    this.command = 0;
    if ((command & 0xe0) === COMMAND.writeRam) {
      this.ram[command & 0x1f] = value;
      this.updateInterrupts();
      return;
    }
    switch (command) {
      case 0:
        // Talking to the keyboard switches its clock on.
        this.ram[0] &= ~CCB.KBDDIS;
        return this.toDevice(this.options.keyboard, 'keyboard', value);
      case COMMAND.writeAuxDevice:
        this.ram[0] &= ~CCB.AUXDIS;
        return this.toDevice(this.options.mouse, 'aux', value);
      case COMMAND.writeOutputPort:
        return this.writeOutputPort(value);
      case COMMAND.writeKeyboardBuffer:
        return this.reply(value);
      case COMMAND.writeAuxBuffer:
        return this.reply(value, 'aux');
    }
  }

  private toDevice(device: Ps2Device | undefined, port: 'keyboard' | 'aux', value: number): void {
    if (device) device.receive(value);
    // Nobody clocks the byte in: the controller reports a timeout with FEh.
    else this.reply(0xfe, port === 'aux' ? 'timeout' : 'keyboard');
  }

  // ---- output buffer ----

  private reply(byte: number, source: Source = 'keyboard'): void {
    if (this.replies.length < REPLY_LIMIT) this.replies.push({ byte, source });
  }

  private fillOutput(): void {
    const { keyboard, mouse } = this.options;
    while ((this.status & STATUS.OBF) === 0) {
      const reply = this.replies.shift();
      if (reply) {
        this.load(reply.byte, reply.source === 'keyboard' ? 0 : reply.source === 'aux' ? STATUS.AUX : STATUS.AUX | STATUS.timeout);
      } else if (keyboard?.hasData && (this.ram[0] & CCB.KBDDIS) === 0) {
        this.loadScanCode(keyboard.take());
      } else if (mouse?.hasData && (this.ram[0] & CCB.AUXDIS) === 0) {
        this.load(mouse.take(), STATUS.AUX);
      } else {
        break;
      }
    }
    this.updateInterrupts();
  }

  private load(byte: number, flags: number): void {
    this.output = byte;
    this.status |= STATUS.OBF | flags;
  }

  private loadScanCode(byte: number): void {
    if ((this.ram[0] & CCB.XLATE) === 0) return this.load(byte, 0);
    if (byte === SET2_BREAK) {
      this.breakPending = true;
      return;
    }
    const translated = SET2_TO_SET1[byte] ?? byte;
    this.load(this.breakPending ? translated | 0x80 : translated, 0);
    this.breakPending = false;
  }

  private updateInterrupts(): void {
    const full = (this.status & STATUS.OBF) !== 0;
    const aux = (this.status & STATUS.AUX) !== 0;
    this.options.irq1.set(full && !aux && (this.ram[0] & CCB.KBDINT) !== 0);
    this.options.irq12.set(full && aux && (this.ram[0] & CCB.AUXINT) !== 0);
  }

  // ---- output port ----

  private readOutputPort(): number {
    const full = (this.status & STATUS.OBF) !== 0;
    const aux = (this.status & STATUS.AUX) !== 0;
    return this.outputPort | (full && !aux ? OUTPUT_PORT.kbdInterrupt : 0) | (full && aux ? OUTPUT_PORT.auxInterrupt : 0);
  }

  private writeOutputPort(value: number): void {
    const resets = (value & OUTPUT_PORT.notReset) === 0;
    // The line is held by software; the processor that comes out of reset finds it released.
    this.outputPort = (value & OUTPUT_PORT.writable) | OUTPUT_PORT.notReset;
    this.options.a20.set('keyboardController', (value & OUTPUT_PORT.A20) !== 0);
    if (resets) this.options.reset();
  }

  saveState(): I8042State {
    const { status, output, command, outputPort, breakPending } = this;
    const keyboard = this.options.keyboard?.saveState() ?? null;
    const mouse = this.options.mouse?.saveState() ?? null;
    return { status, output, command, outputPort, breakPending, ram: [...this.ram], replies: this.replies.map((r) => ({ ...r })), keyboard, mouse };
  }

  restoreState(state: I8042State): void {
    const { status, output, command, outputPort, breakPending } = state;
    Object.assign(this, { status, output, command, outputPort, breakPending });
    this.ram = [...state.ram];
    this.replies = state.replies.map((r) => ({ ...r }));
    if (state.keyboard) this.options.keyboard?.restoreState(state.keyboard);
    if (state.mouse) this.options.mouse?.restoreState(state.mouse);
    this.options.a20.set('keyboardController', (this.outputPort & OUTPUT_PORT.A20) !== 0);
    this.updateInterrupts();
  }
}
