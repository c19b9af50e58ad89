/** MOV CR8 with a TPR shadow. SDM "Virtualizing CR8-Based TPR Accesses" and "TPR Virtualization". */
import { Primary } from './controls';
import { OFFSET } from './vmcs/layout';
import type { Vmx } from './vmx';

/** VTPR in the virtual-APIC page; the class of a priority is its bits 7:4. */
const VTPR = 0x80;

/** undefined: there is no TPR shadow, and the access is the APIC's. */
export function readVirtualTpr({ cpu, vmcs, primary }: Vmx): number | undefined {
  if ((primary & Primary.USE_TPR_SHADOW) === 0) return undefined;
  return (cpu.memory.read32(vmcs.number(OFFSET.VIRTUAL_APIC_ADDRESS) + VTPR) >>> 4) & 15;
}

/** False: there is no TPR shadow. */
export function writeVirtualTpr(vmx: Vmx, value: number): boolean {
  const { cpu, vmcs } = vmx;
  if ((vmx.primary & Primary.USE_TPR_SHADOW) === 0) return false;
  cpu.memory.write32(vmcs.number(OFFSET.VIRTUAL_APIC_ADDRESS) + VTPR, (value & 15) << 4);
  // A trap-like exit when VTPR falls below the threshold.
  if ((value & 15) < (vmcs.low(OFFSET.TPR_THRESHOLD) & 15)) {
    vmx.tprBelowThreshold = true;
    cpu.attention = true;
  }
  return true;
}
