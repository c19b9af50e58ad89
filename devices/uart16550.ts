/**
 * PC16550D Universal Asynchronous Receiver/Transmitter with FIFOs, wired as a PC serial port.
 *
 * DEVIATION: the transmitter takes no time (THRE and TEMT always read 1) and the receiver is refilled as fast as the guest drains it.
 * DEVIATION: characters are always 8 bits wide whatever LCR says: many small kernels never set the word length that firmware leaves them.
 */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine, PortBus, Scheduler, Timer } from './bus';
import { BytePorts } from './byte-ports';

/** Register offsets. */
const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER = { ERBFI: 0x01, ETBEI: 0x02, ELSI: 0x04, EDSSI: 0x08, implemented: 0x0f } as const;
const FCR = { FifoEnable: 0x01, ReceiverReset: 0x02, triggerShift: 6 } as const;
/** Interrupt identification, highest priority first (Table II, Interrupt Control Functions). */
const IIR = {
  LineStatus: 0x06,
  DataAvailable: 0x04,
  CharacterTimeout: 0x0c,
  TransmitterEmpty: 0x02,
  ModemStatus: 0x00,
  none: 0x01,
  fifosEnabled: 0xc0,
} as const;
const LCR_DLAB = 0x80;
const MCR_BIT = { DTR: 0x01, RTS: 0x02, OUT1: 0x04, OUT2: 0x08, Loop: 0x10, implemented: 0x1f } as const;
const LSR_BIT = { DataReady: 0x01, Overrun: 0x02, Parity: 0x04, Framing: 0x08, Break: 0x10, THRE: 0x20, TEMT: 0x40, FifoError: 0x80 } as const;
const LSR_ERRORS = LSR_BIT.Overrun | LSR_BIT.Parity | LSR_BIT.Framing | LSR_BIT.Break;
const MSR_BIT = { CTS: 0x10, DSR: 0x20, RI: 0x40, DCD: 0x80 } as const;

const FIFO_DEPTH = 16;
const TRIGGER_LEVELS = [1, 4, 8, 14];
/** 1.8432 MHz crystal / 16. */
const BAUD_BASE = 115_200;
/** A guest that looks for a character so often, and does nothing else here, waits for one. Who transmits looks at LSR once a character. */
const POLLS_OF_A_READER = 16;
/** A received character carries its LSR error bits above the data byte. */
const ERROR_SHIFT = 8;

export interface UartOptions {
  /** First of eight ports; COM1 is 3F8h with IRQ4. */
  readonly base: number;
  readonly interrupt: InterruptLine;
  readonly scheduler: Scheduler;
  /** Called with each byte the guest sends. */
  readonly transmit: (byte: number) => void;
}

export interface UartState {
  ier: number;
  fcr: number;
  lcr: number;
  mcr: number;
  scratch: number;
  divisor: number;
  errors: number;
  modemDelta: number;
  threPending: boolean;
  timeoutPending: boolean;
  timeoutAt: number | null;
  fifo: number[];
  backlog: number[];
}

export class Uart16550 extends BytePorts implements Stateful<UartState> {
  private ier = 0;
  private fcr = 0;
  private lcr = 0;
  private mcr = 0;
  private scratch = 0;
  private divisor = 12;
  /** LSR bits 4:1, kept until LSR is read. */
  private errors = 0;
  private modemDelta = 0;
  private threPending = false;
  private timeoutPending = false;
  /** How often in succession LSR has said that there is no character. A hint for the far end, not a part of the device: no snapshot has it. */
  private polls = 0;
  private fifo: number[] = [];
  /** What the far end has sent and the FIFO has had no room for. */
  private backlog: number[] = [];
  private backlogHead = 0;
  private readonly timeout: Timer;

  constructor(private readonly options: UartOptions) {
    super();
    this.timeout = options.scheduler.timer(
      () => {
        this.timeoutPending = true;
        this.updateInterrupt();
      },
      `UART ${options.base.toString(16)}h`,
    );
  }

  attach(ports: PortBus): void {
    ports.register(this.options.base, 8, this);
  }

  /** Characters arriving on SIN. They wait outside until the guest has drained the FIFO; none is lost. */
  receive(bytes: Uint8Array | readonly number[]): void {
    for (const byte of bytes) this.backlog.push(byte & 0xff);
    this.refill();
  }

  /** A break condition on SIN (Linux: the prefix of magic SysRq). */
  receiveBreak(): void {
    this.backlog.push(LSR_BIT.Break << ERROR_SHIFT);
    this.refill();
  }

  /** The guest takes characters as they come: by interrupt, or because it asks for one all the time. */
  get listening(): boolean {
    return (this.ier & IER.ERBFI) !== 0 || this.polls >= POLLS_OF_A_READER;
  }
  /** Characters the guest has not read yet. */
  get pendingInput(): number {
    return this.fifo.length + this.backlog.length - this.backlogHead;
  }

  // ---- registers ----

  protected readByte(port: number): number {
    const dlab = (this.lcr & LCR_DLAB) !== 0;
    const register = (port - this.options.base) & 7;
    this.polls = register === LSR && this.fifo.length === 0 ? this.polls + 1 : 0;
    switch (register) {
      case RBR_THR_DLL:
        return dlab ? this.divisor & 0xff : this.readReceiver();
      case IER_DLM:
        return dlab ? this.divisor >>> 8 : this.ier;
      case IIR_FCR:
        return this.readInterruptIdentification();
      case LCR:
        return this.lcr;
      case MCR:
        return this.mcr;
      case LSR:
        return this.readLineStatus();
      case MSR:
        return this.readModemStatus();
      default:
        return this.scratch;
    }
  }

  protected writeByte(port: number, value: number): void {
    this.polls = 0;
    const dlab = (this.lcr & LCR_DLAB) !== 0;
    switch ((port - this.options.base) & 7) {
      case RBR_THR_DLL:
        if (dlab) this.divisor = (this.divisor & 0xff00) | value;
        else this.writeTransmitter(value);
        return;
      case IER_DLM:
        if (dlab) this.divisor = (this.divisor & 0x00ff) | (value << 8);
        else this.writeInterruptEnable(value);
        return;
      case IIR_FCR:
        return this.writeFifoControl(value);
      case LCR:
        this.lcr = value;
        return;
      case MCR:
        return this.writeModemControl(value);
      case SCR:
        this.scratch = value;
        return;
      default:
        return; // LSR and MSR: writes are for factory testing only
    }
  }

  // ---- transmitter ----

  private writeTransmitter(byte: number): void {
    // Writing THR resets the interrupt; the character is gone at once, which raises it again: an edge for the interrupt controller.
    this.threPending = false;
    this.updateInterrupt();
    if (this.mcr & MCR_BIT.Loop) this.accept(byte);
    else this.options.transmit(byte);
    this.threPending = true;
    this.updateInterrupt();
  }

  private writeInterruptEnable(value: number): void {
    const rising = value & ~this.ier;
    this.ier = value & IER.implemented;
    // Enabling the interrupt while THR is empty raises it, even if it was acknowledged before.
    if (rising & IER.ETBEI) this.threPending = true;
    this.updateInterrupt();
  }

  // ---- receiver ----

  private get capacity(): number {
    return this.fcr & FCR.FifoEnable ? FIFO_DEPTH : 1;
  }

  private get triggerLevel(): number {
    return this.fcr & FCR.FifoEnable ? TRIGGER_LEVELS[this.fcr >>> FCR.triggerShift] : 1;
  }

  /** One character out of the receiver shift register. */
  private accept(character: number): void {
    if (this.fifo.length >= this.capacity) {
      this.errors |= LSR_BIT.Overrun;
      // The FIFO keeps what it has; the holding register is overwritten.
      if ((this.fcr & FCR.FifoEnable) === 0) this.fifo[0] = character;
    } else {
      this.fifo.push(character);
    }
    if (this.fifo.length === 1) this.errors |= character >>> ERROR_SHIFT;
    this.restartTimeout();
  }

  private refill(): void {
    // In the diagnostic mode SIN is disconnected.
    if ((this.mcr & MCR_BIT.Loop) === 0) {
      while (this.fifo.length < this.capacity && this.backlogHead < this.backlog.length) this.accept(this.backlog[this.backlogHead++]);
      if (this.backlogHead === this.backlog.length || this.backlogHead > 4096) {
        this.backlog = this.backlog.slice(this.backlogHead);
        this.backlogHead = 0;
      }
    }
    this.updateInterrupt();
  }

  private readReceiver(): number {
    const character = this.fifo.shift() ?? 0;
    if (this.fifo.length > 0) this.errors |= this.fifo[0] >>> ERROR_SHIFT;
    this.restartTimeout();
    // Let the line fall before the next character raises it.
    this.updateInterrupt();
    this.refill();
    return character & 0xff;
  }

  /** FIFO MODE OPERATION: no character read or received for four character times while the FIFO holds at least one. */
  private restartTimeout(): void {
    this.timeoutPending = false;
    if ((this.fcr & FCR.FifoEnable) === 0 || this.fifo.length === 0) return this.timeout.disarm();
    const dataBits = 5 + (this.lcr & 3);
    const bits = 1 + dataBits + (this.lcr & 0x08 ? 1 : 0) + (this.lcr & 0x04 ? 2 : 1);
    const divisor = this.divisor || 0x1_0000;
    this.timeout.arm(this.options.scheduler.clock.now() + Math.ceil((4 * bits * divisor * 1e9) / BAUD_BASE));
  }

  private writeFifoControl(value: number): void {
    const toggled = (value ^ this.fcr) & FCR.FifoEnable;
    // Bits other than FIFO enable are programmed only together with it.
    this.fcr = value & FCR.FifoEnable ? value & 0xc9 : 0;
    if (toggled || (value & FCR.FifoEnable && value & FCR.ReceiverReset)) {
      this.fifo = [];
      this.restartTimeout();
    }
    this.refill();
  }

  private readLineStatus(): number {
    let status = LSR_BIT.THRE | LSR_BIT.TEMT | this.errors;
    if (this.fifo.length > 0) status |= LSR_BIT.DataReady;
    if (this.fcr & FCR.FifoEnable && this.fifo.some((c) => c >>> ERROR_SHIFT !== 0)) status |= LSR_BIT.FifoError;
    this.errors = 0;
    if (this.fifo.length > 0) this.fifo[0] &= 0xff;
    this.updateInterrupt();
    return status;
  }

  // ---- modem ----

  /** MSR bits 7:4. A null-modem partner is always there; in the diagnostic mode the inputs are the MCR outputs. */
  private modemInputs(mcr: number): number {
    if ((mcr & MCR_BIT.Loop) === 0) return MSR_BIT.DCD | MSR_BIT.DSR | MSR_BIT.CTS;
    return (
      (mcr & MCR_BIT.RTS ? MSR_BIT.CTS : 0) |
      (mcr & MCR_BIT.DTR ? MSR_BIT.DSR : 0) |
      (mcr & MCR_BIT.OUT1 ? MSR_BIT.RI : 0) |
      (mcr & MCR_BIT.OUT2 ? MSR_BIT.DCD : 0)
    );
  }

  private writeModemControl(value: number): void {
    const before = this.modemInputs(this.mcr);
    this.mcr = value & MCR_BIT.implemented;
    const after = this.modemInputs(this.mcr);
    const changed = before ^ after;
    // TERI tells only of the trailing edge of the ring indicator.
    this.modemDelta |= (changed & ~MSR_BIT.RI) >>> 4;
    if (before & ~after & MSR_BIT.RI) this.modemDelta |= MSR_BIT.RI >>> 4;
    this.refill();
  }

  private readModemStatus(): number {
    const status = this.modemInputs(this.mcr) | this.modemDelta;
    this.modemDelta = 0;
    this.updateInterrupt();
    return status;
  }

  // ---- interrupt ----

  private interruptIdentification(): number {
    if (this.ier & IER.ELSI && this.errors & LSR_ERRORS) return IIR.LineStatus;
    if (this.ier & IER.ERBFI && this.fifo.length >= this.triggerLevel) return IIR.DataAvailable;
    if (this.ier & IER.ERBFI && this.timeoutPending) return IIR.CharacterTimeout;
    if (this.ier & IER.ETBEI && this.threPending) return IIR.TransmitterEmpty;
    if (this.ier & IER.EDSSI && this.modemDelta) return IIR.ModemStatus;
    return IIR.none;
  }

  private readInterruptIdentification(): number {
    const id = this.interruptIdentification();
    if (id === IIR.TransmitterEmpty) {
      this.threPending = false;
      this.updateInterrupt();
    }
    return id | (this.fcr & FCR.FifoEnable ? IIR.fifosEnabled : 0);
  }

  /** The PC gates INTR with OUT2, which the diagnostic mode forces inactive. */
  private updateInterrupt(): void {
    const gate = (this.mcr & (MCR_BIT.OUT2 | MCR_BIT.Loop)) === MCR_BIT.OUT2;
    this.options.interrupt.set(gate && this.interruptIdentification() !== IIR.none);
  }

  // ---- snapshot ----

  saveState(): UartState {
    const { ier, fcr, lcr, mcr, scratch, divisor, errors, modemDelta, threPending, timeoutPending } = this;
    const timeoutAt = this.timeout.deadline === Infinity ? null : this.timeout.deadline;
    this.backlog = this.backlog.slice(this.backlogHead);
    this.backlogHead = 0;
    return {
      ier,
      fcr,
      lcr,
      mcr,
      scratch,
      divisor,
      errors,
      modemDelta,
      threPending,
      timeoutPending,
      timeoutAt,
      fifo: [...this.fifo],
      backlog: [...this.backlog],
    };
  }

  restoreState(state: UartState): void {
    const { timeoutAt, fifo, backlog, ...registers } = state;
    Object.assign(this, registers);
    this.fifo = [...fifo];
    this.backlog = [...backlog];
    this.backlogHead = 0;
    this.polls = 0;
    this.timeout.arm(timeoutAt ?? Infinity);
    this.updateInterrupt();
  }
}
