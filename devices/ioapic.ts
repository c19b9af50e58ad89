/** 82093AA I/O APIC with 24 inputs, version 20h (EOI register). Messages go to a sink, so that interrupt remapping can stand between. */
import type { AccessSize, InterruptLine, MmioDevice, Snapshotable } from './bus';

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_SIZE = 0x1000;
const PINS = 24;
const VERSION = 0x0017_0020;
const Redirection = { DELIVERY_STATUS: 0x1000, POLARITY_LOW: 0x2000, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x1_0000, LOGICAL: 0x800 } as const;
const WRITABLE = 0x1_afff;
const EXTINT = 7;

/** One interrupt message; `destination` is the 8-bit destination field of the entry. */
export interface InterruptMessage {
  readonly pin: number;
  readonly vector: number;
  readonly delivery: number;
  readonly level: boolean;
  readonly logical: boolean;
  readonly destination: number;
}

export interface IoApicState {
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly lines: number;
  readonly select: number;
  readonly id: number;
}

export class IoApic implements MmioDevice, Snapshotable<IoApicState> {
  private readonly low = new Uint32Array(PINS).fill(Redirection.MASKED);
  private readonly high = new Uint32Array(PINS);
  private lines = 0;
  private select = 0;
  private id = 0;
  /** Inputs by global system interrupt. An active line is `true`, whatever the entry's polarity says about volts. */
  readonly inputs: readonly InterruptLine[];

  constructor(private readonly send: (message: InterruptMessage) => void) {
    this.inputs = Array.from({ length: PINS }, (_v, pin) => ({ set: (level: boolean) => this.setLine(pin, level) }));
  }

  private setLine(pin: number, level: boolean): void {
    const bit = 1 << pin;
    const was = (this.lines & bit) !== 0;
    if (level === was) return;
    this.lines = level ? this.lines | bit : this.lines & ~bit;
    if (!level) return;
    this.service(pin);
  }

  /** Sends what pin `pin` has to send: an edge just seen, or a level that is not yet being serviced. */
  private service(pin: number): void {
    const entry = this.low[pin];
    if ((entry & Redirection.MASKED) !== 0) return;
    const level = (entry & Redirection.LEVEL) !== 0;
    if (level) {
      if ((entry & Redirection.REMOTE_IRR) !== 0) return;
      this.low[pin] |= Redirection.REMOTE_IRR;
    }
    const delivery = (entry >>> 8) & 7;
    if (delivery === EXTINT) return;
    this.send({ pin, vector: entry & 0xff, delivery, level, logical: (entry & Redirection.LOGICAL) !== 0, destination: this.high[pin] >>> 24 });
  }

  /** A local APIC ended a level-triggered vector. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < PINS; pin++) {
      const entry = this.low[pin];
      if ((entry & 0xff) !== vector || (entry & Redirection.REMOTE_IRR) === 0) continue;
      this.low[pin] &= ~Redirection.REMOTE_IRR;
      if (((this.lines >>> pin) & 1) !== 0) this.service(pin);
    }
  }

  readMmio(offset: number, size: AccessSize): number {
    const register = offset & 0xff0;
    const value = register === 0 ? this.select : register === 0x10 ? this.read(this.select) : 0;
    return size === 4 ? value : (value >>> (8 * (offset & 3))) & (size === 2 ? 0xffff : 0xff);
  }

  writeMmio(offset: number, _size: AccessSize, value: number): void {
    if (offset === 0) this.select = value & 0xff;
    else if (offset === 0x10) this.write(this.select, value);
    else if (offset === 0x40) this.endOfInterrupt(value & 0xff);
  }

  private read(index: number): number {
    if (index === 0 || index === 2) return (this.id << 24) >>> 0;
    if (index === 1) return VERSION;
    const pin = (index - 0x10) >> 1;
    if (pin < 0 || pin >= PINS) return 0;
    return (index & 1) === 0 ? this.low[pin] : this.high[pin];
  }

  private write(index: number, value: number): void {
    if (index === 0) {
      this.id = (value >>> 24) & 15;
      return;
    }
    const pin = (index - 0x10) >> 1;
    if (pin < 0 || pin >= PINS) return;
    if ((index & 1) !== 0) {
      this.high[pin] = value & 0xff00_0000;
      return;
    }
    const wasMasked = (this.low[pin] & Redirection.MASKED) !== 0;
    let entry = (value & WRITABLE) | (this.low[pin] & Redirection.REMOTE_IRR);
    // An edge-triggered entry has no remote IRR: turning it to edge and back clears the bit.
    if ((entry & Redirection.LEVEL) === 0) entry &= ~Redirection.REMOTE_IRR;
    this.low[pin] = entry;
    const level = (entry & Redirection.LEVEL) !== 0;
    if (((this.lines >>> pin) & 1) !== 0 && level && (wasMasked || (entry & Redirection.REMOTE_IRR) === 0)) this.service(pin);
  }

  save(): IoApicState {
    return { low: [...this.low], high: [...this.high], lines: this.lines, select: this.select, id: this.id };
  }
  restore(state: IoApicState): void {
    this.low.set(state.low);
    this.high.set(state.high);
    this.lines = state.lines;
    this.select = state.select;
    this.id = state.id;
  }
}
