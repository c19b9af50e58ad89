/** SDM "APIC-Write Emulation": what follows the operation of which a virtualized write to the APIC-access page was a part. */
import { Secondary } from '../controls';
import { ExitReason } from '../exit/reason';
import type { Vmx } from '../vmx';
import { virtualizeEoi } from './end-of-interrupt';
import { virtualizeTpr } from './priority';
import { Icr, Offset } from './registers';
import { virtualizeSelfIpi } from './self-ipi';

/** Upper half of the vector: 0 makes it an illegal one. */
const PRIORITY_CLASS = 0xf0;

export function emulateApicWrite(vmx: Vmx): void {
  const { apic } = vmx;
  const { offset } = apic.takeWrite();
  const delivers = (vmx.secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) !== 0;
  switch (offset & ~3) {
    case Offset.TPR:
      apic.write(Offset.TPR, apic.read(Offset.TPR) & 0xff);
      return virtualizeTpr(vmx);
    case Offset.EOI:
      if (!delivers) break;
      apic.write(Offset.EOI, 0);
      return virtualizeEoi(vmx);
    case Offset.ICR_LOW: {
      const command = apic.read(Offset.ICR_LOW);
      if (!delivers || !isSelfIpi(command)) break;
      return virtualizeSelfIpi(vmx, command & Icr.VECTOR);
    }
    case Offset.ICR_HIGH:
      return apic.write(Offset.ICR_HIGH, apic.read(Offset.ICR_HIGH) & 0xff00_0000);
  }
  apic.exitLater(ExitReason.ApicWrite, offset);
}

const isSelfIpi = (command: number): boolean =>
  (command & Icr.NOT_SELF_IPI) === 0 && (command & Icr.SHORTHAND) === Icr.SHORTHAND_SELF && (command & PRIORITY_CLASS) !== 0;
