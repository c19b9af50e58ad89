/**
 * Interrupts of the unit itself: AMD IOMMU specification, "IOMMU Interrupt Support". A status bit and its enable bit together ask for
 * one; a message goes out when they begin to.
 */
import type { RegisterFile } from './register-file';
import { Control, Register, Status } from './spec/registers';

export type InterruptSource = 'general' | 'guest virtual APIC log';

const CONDITIONS: readonly { readonly status: number; readonly enable: number; readonly source: InterruptSource }[] = [
  { status: Status.EventLogInt, enable: Control.EventIntEn, source: 'general' },
  { status: Status.EventOverflow, enable: Control.EventIntEn, source: 'general' },
  { status: Status.ComWaitInt, enable: Control.ComWaitIntEn, source: 'general' },
  { status: Status.GALogInt, enable: Control.GAIntEn, source: 'guest virtual APIC log' },
  { status: Status.GALOverflow, enable: Control.GAIntEn, source: 'guest virtual APIC log' },
];

/** The register that says where the interrupt goes while IntCapXTEn is set. */
export const X2APIC_REGISTER: Readonly<Record<InterruptSource, number>> = {
  general: Register.X2APIC_GENERAL_INTERRUPT,
  'guest virtual APIC log': Register.X2APIC_GA_INTERRUPT,
};

export class StatusInterrupts {
  /** Status bits whose condition held last time. */
  asserted = 0;

  constructor(
    private readonly registers: RegisterFile,
    private readonly send: (source: InterruptSource) => void,
  ) {}

  /** After anything that may have changed status or control. */
  settle(): void {
    const before = this.asserted;
    this.asserted = 0;
    for (const { status, enable } of CONDITIONS) if (this.registers.status(status) && this.registers.control(enable)) this.asserted |= status;
    const risen = this.asserted & ~before;
    for (const { status, source } of CONDITIONS) if ((risen & status) !== 0) this.send(source);
  }
}
