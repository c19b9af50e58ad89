/**
 * The virtual APIC of the running guest: its page in memory, the guest interrupt status, and what virtualization has still to do at the
 * next instruction boundary. SDM "Virtual APIC State", "Guest Non-Register State".
 */
import type { PhysicalMemory } from '../../memory/physical-memory';
import type { ExitReason } from '../exit/reason';
import type { CurrentVmcs } from '../vmcs/access';
import { OFFSET } from '../vmcs/layout';

/** A write access to the APIC-access page that was virtualized, and is to be emulated. */
export interface ApicWrite {
  readonly offset: number;
  readonly bytes: number;
}
/** A trap-like VM exit: TPR below threshold, virtualized EOI, APIC write. */
export interface ApicTrap {
  readonly reason: ExitReason;
  readonly qualification: number;
}

export interface VirtualApicState {
  readonly recognized: boolean;
  readonly write: ApicWrite | undefined;
  readonly trap: ApicTrap | undefined;
}

/** What waits for an instruction boundary, as bits: one word tells the step loop that there is nothing. */
export const Waiting = { Write: 1, Trap: 2, Interrupt: 4 } as const;

const WORDS = 8;

export class VirtualApic {
  /** Bits of Waiting. */
  waiting = 0;
  private lastWrite: ApicWrite | undefined;
  private nextTrap: ApicTrap | undefined;

  constructor(
    private readonly memory: PhysicalMemory,
    private readonly vmcs: CurrentVmcs,
  ) {}

  // ---- the virtual-APIC page ----

  private get page(): number {
    return this.vmcs.number(OFFSET.VIRTUAL_APIC_ADDRESS);
  }
  read(offset: number, bytes = 4): number {
    const at = this.page + offset;
    return bytes === 4 ? this.memory.read32(at) : bytes === 2 ? this.memory.read16(at) : this.memory.read8(at);
  }
  write(offset: number, value: number, bytes = 4): void {
    const at = this.page + offset;
    if (bytes === 4) this.memory.write32(at, value >>> 0);
    else if (bytes === 2) this.memory.write16(at, value);
    else this.memory.write8(at, value);
  }
  read64(offset: number): bigint {
    return this.memory.read64(this.page + offset);
  }
  write64(offset: number, value: bigint): void {
    this.memory.write64(this.page + offset, value);
  }

  // ---- VISR and VIRR: 256 bits in eight registers, one every 16 bytes from `first` ----

  setVector(first: number, vector: number): void {
    const offset = first + (vector >>> 5) * 16;
    this.write(offset, this.read(offset) | (1 << (vector & 31)));
  }
  clearVector(first: number, vector: number): void {
    const offset = first + (vector >>> 5) * 16;
    this.write(offset, this.read(offset) & ~(1 << (vector & 31)));
  }
  /** "Highest index of bit set", 0 when there is none. */
  highestVector(first: number): number {
    for (let word = WORDS - 1; word >= 0; word--) {
      const bits = this.read(first + word * 16);
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return 0;
  }

  // ---- guest interrupt status: RVI in the low byte, SVI in the high byte. Kept in the VMCS all the time. ----

  get rvi(): number {
    return this.vmcs.low(OFFSET.GUEST_INTERRUPT_STATUS) & 0xff;
  }
  get svi(): number {
    return (this.vmcs.low(OFFSET.GUEST_INTERRUPT_STATUS) >>> 8) & 0xff;
  }
  setStatus(rvi: number, svi: number): void {
    this.vmcs.aboutToWrite();
    this.vmcs.setLow(OFFSET.GUEST_INTERRUPT_STATUS, rvi | (svi << 8));
  }

  // ---- what waits ----

  /** A virtual interrupt is recognized as pending. */
  get recognized(): boolean {
    return (this.waiting & Waiting.Interrupt) !== 0;
  }
  set recognized(value: boolean) {
    this.waiting = value ? this.waiting | Waiting.Interrupt : this.waiting & ~Waiting.Interrupt;
  }
  get pendingWrite(): ApicWrite | undefined {
    return this.lastWrite;
  }
  get trap(): ApicTrap | undefined {
    return this.nextTrap;
  }
  emulateLater(write: ApicWrite): void {
    this.lastWrite = write;
    this.waiting |= Waiting.Write;
  }
  takeWrite(): ApicWrite {
    const write = this.lastWrite!;
    this.lastWrite = undefined;
    this.waiting &= ~Waiting.Write;
    return write;
  }
  exitLater(reason: ExitReason, qualification: number): void {
    this.nextTrap = { reason, qualification };
    this.waiting |= Waiting.Trap;
  }
  /** Nothing of it survives a VM exit. */
  reset(): void {
    this.waiting = 0;
    this.lastWrite = this.nextTrap = undefined;
  }

  saveState(): VirtualApicState {
    return { recognized: this.recognized, write: this.lastWrite, trap: this.nextTrap };
  }
  restoreState({ recognized, write, trap }: VirtualApicState): void {
    this.reset();
    this.recognized = recognized;
    if (write !== undefined) this.emulateLater(write);
    if (trap !== undefined) this.exitLater(trap.reason, trap.qualification);
  }
}
