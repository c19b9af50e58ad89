/** SDM "EOI Virtualization". */
import { ExitReason } from '../exit/reason';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { virtualizePpr } from './priority';
import { Offset } from './registers';
import { evaluatePending } from './virtual-interrupts';

export function virtualizeEoi(vmx: Vmx): void {
  const { apic, cpu } = vmx;
  const vector = apic.svi;
  apic.clearVector(Offset.ISR, vector);
  apic.setStatus(apic.rvi, apic.highestVector(Offset.ISR));
  virtualizePpr(vmx);
  if (exits(vmx, vector)) {
    apic.exitLater(ExitReason.VirtualizedEoi, vector);
    cpu.attention = true;
  } else evaluatePending(vmx);
}

/** EOI-exit bitmaps 0 to 3 have 64 vectors each, and stand in the VMCS one behind the other. */
function exits({ vmcs }: Vmx, vector: number): boolean {
  const bitmap = OFFSET.EOI_EXIT_BITMAP_0 + (vector >>> 6) * 8;
  const word = (vector & 32) === 0 ? vmcs.low(bitmap) : vmcs.high(bitmap);
  return ((word >>> (vector & 31)) & 1) !== 0;
}
