/** CR0 and CR4 under VT-x: what a guest reads and writes of them, and which bits VMX operation fixes. */
import { OFFSET } from './vmcs/layout';
import { Secondary } from './controls';
import type { Vmx } from './vmx';

const CR0_PE_PG = 0x8000_0001;

/** SDM "Guest/Host Masks and Read Shadows for CR0 and CR4": a bit of the mask is the host's, and the guest reads the shadow. */
export function readControl({ vmcs }: Vmx, cr: 0 | 4, real: bigint): bigint {
  const mask = vmcs.value(cr === 0 ? OFFSET.CR0_GUEST_HOST_MASK : OFFSET.CR4_GUEST_HOST_MASK);
  const shadow = vmcs.value(cr === 0 ? OFFSET.CR0_READ_SHADOW : OFFSET.CR4_READ_SHADOW);
  return (real & ~mask) | (shadow & mask);
}

/** The value that a write of `value` leaves in the register. */
export function writeControl({ vmcs }: Vmx, cr: 0 | 4, value: bigint, real: bigint): bigint {
  const mask = vmcs.value(cr === 0 ? OFFSET.CR0_GUEST_HOST_MASK : OFFSET.CR4_GUEST_HOST_MASK);
  return (value & ~mask) | (real & mask);
}

/** SDM "Restrictions on VMX Operation"; "unrestricted guest" exempts CR0.PE and CR0.PG. */
export function controlAllowed({ capabilities: c, guestMode, secondary }: Vmx, cr: 0 | 4, value: bigint): boolean {
  const low = Number(value & 0xffff_ffffn);
  if (cr === 4) return (low & c.cr4Fixed0) >>> 0 === c.cr4Fixed0 && (low & ~c.cr4Fixed1) === 0;
  const exempt = guestMode && (secondary & Secondary.UNRESTRICTED_GUEST) !== 0;
  const fixed0 = (exempt ? c.cr0Fixed0 & ~CR0_PE_PG : c.cr0Fixed0) >>> 0;
  return (low & fixed0) >>> 0 === fixed0;
}

/** CR0 and CR4 satisfy what VMX operation fixes. */
export const controlsAllowVmx = (vmx: Vmx, cr0: number, cr4: number): boolean => controlAllowed(vmx, 0, BigInt(cr0)) && controlAllowed(vmx, 4, BigInt(cr4));
