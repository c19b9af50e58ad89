/**
 * I/O APIC: 82093AA with the EOI register and the extended destination id of the ICH9 (version 20h), 24 inputs at FEC0_0000h.
 *
 * DEVIATION: the polarity bit is kept and means nothing: an asserted line is `true`, whatever its voltage.
 * DEVIATION: messages arrive at once, so the delivery status is always idle.
 */
import type { Stateful } from '../memory/stateful';
import type { AccessSize, InterruptLine, MmioDevice } from './bus';
import { MessageAddress, MessageData, type InterruptSink } from './interrupt-message';

export const IOAPIC_BASE = 0xfec0_0000;
export const IOAPIC_SIZE = 0x1000;
export const IOAPIC_PINS = 24;
/** The number firmware gives it, above those of the local APICs. */
export const IOAPIC_ID = 15;
/** Requester id under which an IOMMU knows it: F0:1F.0, a bus that does not exist otherwise. */
export const IOAPIC_REQUESTER = 0xf0f8;

/** Memory-mapped registers. */
const IOREGSEL = 0x00;
const IOWIN = 0x10;
const EOIR = 0x40;
/** Registers behind IOREGSEL. */
const INDEX = { ID: 0x00, VERSION: 0x01, ARBITRATION: 0x02, REDIRECTION: 0x10 } as const;
const VERSION = ((IOAPIC_PINS - 1) << 16) | 0x20;
const ID_SHIFT = 24;

/** Low half of a redirection table entry. */
const RTE = { VECTOR: 0xff, MODE: 0x700, MODE_SHIFT: 8, LOGICAL: 0x800, POLARITY: 0x2000, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x1_0000 } as const;
const RTE_WRITABLE = RTE.VECTOR | RTE.MODE | RTE.LOGICAL | RTE.POLARITY | RTE.LEVEL | RTE.MASKED;
/** High half: destination 63:56, extended destination id 55:48. */
const RTE_HIGH_WRITABLE = 0xffff_0000;
const FIXED = 0;
const LOWEST_PRIORITY = 1;

export interface IoApicState {
  low: number[];
  high: number[];
  /** Levels of the inputs. */
  lines: number;
  select: number;
  id: number;
}

export class IoApic implements MmioDevice, Stateful<IoApicState> {
  /** By global system interrupt. */
  readonly inputs: readonly InterruptLine[];
  private readonly low = new Uint32Array(IOAPIC_PINS).fill(RTE.MASKED);
  private readonly high = new Uint32Array(IOAPIC_PINS);
  private lines = 0;
  private select = 0;
  private id = IOAPIC_ID;

  constructor(
    private readonly send: InterruptSink,
    private readonly requester = IOAPIC_REQUESTER,
  ) {
    this.inputs = Array.from({ length: IOAPIC_PINS }, (_, pin) => ({ set: (level: boolean) => this.setLine(pin, level) }));
  }

  // ---- lines ----

  private setLine(pin: number, level: boolean): void {
    const bit = 1 << pin;
    if (((this.lines & bit) !== 0) === level) return;
    this.lines ^= bit;
    // "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored (i.e., not delivered or held pending)."
    if (level && (this.low[pin] & RTE.MASKED) === 0) this.request(pin);
  }

  /** An SMI, NMI, INIT or ExtINT entry is "treated as edge triggered even if it is programmed as level triggered". */
  private levelTriggered(pin: number): boolean {
    const mode = (this.low[pin] & RTE.MODE) >>> RTE.MODE_SHIFT;
    return (this.low[pin] & RTE.LEVEL) !== 0 && (mode === FIXED || mode === LOWEST_PRIORITY);
  }

  /** A level-triggered input asks again whenever it is asserted, unmasked and not being served. */
  private settle(pin: number): void {
    if ((this.lines & (1 << pin)) !== 0 && (this.low[pin] & RTE.MASKED) === 0 && this.levelTriggered(pin)) this.request(pin);
  }

  private request(pin: number): void {
    const level = this.levelTriggered(pin);
    if (level) {
      if ((this.low[pin] & RTE.REMOTE_IRR) !== 0) return;
      this.low[pin] |= RTE.REMOTE_IRR;
    }
    const low = this.low[pin];
    // Bits 63:48 are address bits 19:4: so a remappable entry becomes a remappable message.
    const address = MessageAddress.BASE + ((this.high[pin] >>> 16) << 4) + ((low & RTE.LOGICAL) !== 0 ? MessageAddress.LOGICAL : 0);
    const data = (low & (RTE.VECTOR | RTE.MODE)) | MessageData.ASSERT | (level ? MessageData.LEVEL : 0);
    this.send({ address, data, source: this.requester });
  }

  /** A local APIC has broadcast the EOI of a level-triggered vector, or software wrote the EOI register. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      if ((this.low[pin] & RTE.REMOTE_IRR) === 0 || (this.low[pin] & RTE.VECTOR) !== vector) continue;
      this.low[pin] &= ~RTE.REMOTE_IRR;
      this.settle(pin);
    }
  }

  // ---- registers ----

  readMmio(offset: number, size: AccessSize): number {
    const register = offset & ~3;
    const value = register === IOREGSEL ? this.select : register === IOWIN ? this.read(this.select) : 0;
    const shift = (offset & 3) * 8;
    return size === 4 ? value : size === 2 ? (value >>> shift) & 0xffff : (value >>> shift) & 0xff;
  }

  /** IOREGSEL is a byte and takes any access; "IOWIN should be accessed as a dword", so narrower writes are dropped. */
  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset === IOREGSEL) this.select = value & 0xff;
    else if (offset === IOWIN && size === 4) this.write(this.select, value);
    else if (offset === EOIR) this.endOfInterrupt(value & 0xff);
  }

  private read(index: number): number {
    if (index === INDEX.ID || index === INDEX.ARBITRATION) return this.id << ID_SHIFT;
    if (index === INDEX.VERSION) return VERSION;
    const pin = (index - INDEX.REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return 0;
    return (index & 1) === 0 ? this.low[pin] : this.high[pin];
  }

  private write(index: number, value: number): void {
    if (index === INDEX.ID) this.id = (value >>> ID_SHIFT) & 0xf;
    const pin = (index - INDEX.REDIRECTION) >> 1;
    if (pin < 0 || pin >= IOAPIC_PINS) return;
    if ((index & 1) !== 0) {
      this.high[pin] = value & RTE_HIGH_WRITABLE;
      return;
    }
    this.low[pin] = (value & RTE_WRITABLE) | (this.low[pin] & RTE.REMOTE_IRR);
    // An edge-triggered entry has no remote IRR: switching to edge and back ends the service of a lost interrupt.
    if (!this.levelTriggered(pin)) this.low[pin] &= ~RTE.REMOTE_IRR;
    this.settle(pin);
  }

  saveState(): IoApicState {
    const { lines, select, id } = this;
    return { low: [...this.low], high: [...this.high], lines, select, id };
  }

  restoreState(state: IoApicState): void {
    const { lines, select, id } = state;
    Object.assign(this, { lines, select, id });
    this.low.set(state.low);
    this.high.set(state.high);
  }
}
