/** SDM "Self-IPI Virtualization". */
import type { Vmx } from '../vmx';
import { Offset } from './registers';
import { evaluatePending } from './virtual-interrupts';

export function virtualizeSelfIpi(vmx: Vmx, vector: number): void {
  const { apic } = vmx;
  apic.setVector(Offset.IRR, vector);
  apic.setStatus(Math.max(apic.rvi, vector), apic.svi);
  evaluatePending(vmx);
}
