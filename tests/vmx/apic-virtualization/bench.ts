/** Guests with a virtual APIC, and what tests look at in its page. */
import { ExitControl, PinBased, Primary, Secondary } from '../../../vmx/controls';
import type { FieldName } from '../../../vmx/vmcs/fields';
import { EXIT, PIN, PRIMARY, VIRTUAL_APIC, type Bench } from '../bench';

export type Fields = Partial<Record<FieldName, bigint | number>>;

export const APIC_ACCESS = 0xb000;
export const DESCRIPTOR = 0xc040;
export const NOTIFICATION = 0xf2;
const PAGING = Secondary.ENABLE_EPT | Secondary.ENABLE_VPID;

/** A TPR shadow and these secondary controls. */
export const virtualApic = (secondary: number, more: Fields = {}): Fields => ({
  PIN_BASED_CONTROLS: PIN | ((secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) !== 0 ? PinBased.EXTERNAL_INTERRUPT_EXITING : 0),
  PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TPR_SHADOW) >>> 0,
  SECONDARY_PROCESSOR_BASED_CONTROLS: PAGING | secondary,
  VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC,
  APIC_ACCESS_ADDRESS: APIC_ACCESS,
  ...more,
});

/** "Process posted interrupts" with what it needs. */
export const posting = (more: Fields = {}): Fields =>
  virtualApic(Secondary.VIRTUAL_INTERRUPT_DELIVERY, {
    PIN_BASED_CONTROLS: PIN | PinBased.EXTERNAL_INTERRUPT_EXITING | PinBased.PROCESS_POSTED_INTERRUPTS,
    VM_EXIT_CONTROLS: EXIT | ExitControl.ACKNOWLEDGE_INTERRUPT_ON_EXIT,
    POSTED_INTERRUPT_NOTIFICATION_VECTOR: NOTIFICATION,
    POSTED_INTERRUPT_DESCRIPTOR_ADDRESS: DESCRIPTOR,
    ...more,
  });

/** A register of the virtual-APIC page. */
export const virtual = (b: Bench, offset: number): number => b.cpu.memory.read32(VIRTUAL_APIC + offset);
export const setVirtual = (b: Bench, offset: number, value: number): void => b.cpu.memory.write32(VIRTUAL_APIC + offset, value);

/** Vectors in the eight registers from `first` on. */
export function vectors(b: Bench, first: number): number[] {
  return Array.from({ length: 256 }, (_, v) => v).filter((v) => ((virtual(b, first + (v >>> 5) * 16) >>> (v & 31)) & 1) !== 0);
}
export function setVectors(b: Bench, first: number, ...wanted: readonly number[]): void {
  for (const v of wanted) setVirtual(b, first + (v >>> 5) * 16, (virtual(b, first + (v >>> 5) * 16) | (1 << (v & 31))) >>> 0);
}
export const [VTPR, VPPR, VEOI, VISR, VIRR, ICR_LOW, ICR_HIGH, SELF_IPI] = [0x80, 0xa0, 0xb0, 0x100, 0x200, 0x300, 0x310, 0x3f0];

/** The interrupt input of the processor: what is pending in it, in order; what was acknowledged; and EOIs. */
export class Interrupts {
  readonly queue: number[] = [];
  readonly acknowledged: number[] = [];
  ends = 0;
  pending(): boolean {
    return this.queue.length !== 0;
  }
  acknowledge(): number {
    const vector = this.queue.shift()!;
    this.acknowledged.push(vector);
    return vector;
  }
  endOfInterrupt(): void {
    this.ends++;
  }
  readCr8(): number {
    return 0;
  }
  writeCr8(): void {}
  readMsr(): undefined {
    return undefined;
  }
  writeMsr(): boolean {
    return false;
  }
}
