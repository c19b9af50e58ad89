/** Interrupts of the physical machine for the hypervisor: vectors, and who serves them. */
import type { InterruptController } from '../../cpu/interfaces';
import type { PhysicalMemory } from '../../memory/physical-memory';

/** Local APIC of the physical processor, in xAPIC mode. SDM "The Local APIC Block Diagram". */
const APIC_EOI = 0xfee0_00b0;
const FIRST_VECTOR = 0x30;
const LAST_VECTOR = 0xef;

/**
 * The processor's interrupt input: the physical local APIC, and what ends a guest's turn otherwise (a kick, the host's timer). External
 * interrupts make the guest exit; the hypervisor then takes them.
 *
 * DEVIATION: it takes them by the acknowledge cycle itself instead of opening its interrupt flag and going through its IDT: software in
 * root mode is not made of instructions here.
 */
export class HostInterrupts implements InterruptController {
  private readonly handlers = new Map<number, () => void>();
  private next = FIRST_VECTOR;

  constructor(
    private readonly apic: InterruptController,
    private readonly others: InterruptController,
    private readonly memory: PhysicalMemory,
  ) {}

  /** A vector of its own for a handler. Throws RangeError when they are used up. */
  allocate(handler: () => void): number {
    if (this.next > LAST_VECTOR) throw new RangeError('the host has no interrupt vectors left: assign fewer devices');
    this.handlers.set(this.next, handler);
    return this.next++;
  }

  /** Serves what the local APIC has. */
  serve(): void {
    while (this.apic.pending()) {
      const handler = this.handlers.get(this.apic.acknowledge());
      handler?.();
      this.memory.write32(APIC_EOI, 0);
    }
  }

  pending(): boolean {
    return this.apic.pending() || this.others.pending();
  }
  acknowledge(): number {
    return this.others.pending() ? this.others.acknowledge() : this.apic.acknowledge();
  }
  endOfInterrupt(): void {
    this.apic.endOfInterrupt?.();
  }
  readCr8(): number {
    return this.apic.readCr8();
  }
  writeCr8(value: number): void {
    this.apic.writeCr8(value);
  }
  readMsr(index: number): bigint | undefined {
    return this.apic.readMsr(index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return this.apic.writeMsr(index, value);
  }
}
