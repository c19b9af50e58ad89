/** INVEPT and INVVPID. */
import { MEMORY_TYPE_UC, MEMORY_TYPE_WB, Eptp, validWalkLength } from '../../ept/format';
import { Secondary } from '../controls';
import type { Vmx } from '../vmx';
import { VM_SUCCEED, VmInstructionError, type VmResult } from './result';

/** INVEPT type. */
export const InveptType = { SingleContext: 1, Global: 2 } as const;
/** INVVPID type. */
export const InvvpidType = { IndividualAddress: 0, SingleContext: 1, AllContexts: 2, SingleContextRetainingGlobals: 3 } as const;

const ADDRESS = 0x000f_ffff_ffff_f000n;

/** SDM "INVEPT". Bits 127:64 of the descriptor are the caller's to check. */
export function invept(vmx: Vmx, type: number, eptp: bigint): VmResult {
  if (type !== InveptType.SingleContext && type !== InveptType.Global) return vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  if (type === InveptType.SingleContext && !isEptp(vmx, eptp)) return vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  vmx.ept.flush(type === InveptType.SingleContext ? Number(eptp & ADDRESS) : undefined);
  // Combined mappings of every VPID and PCID; more than asked may be invalidated.
  vmx.cpu.mmu.flushAll();
  return vmx.complete(VM_SUCCEED);
}

/** An EPTP that VM entry would accept. */
function isEptp(vmx: Vmx, eptp: bigint): boolean {
  const low = Number(eptp & 0xfffn);
  const type = low & Eptp.MEMORY_TYPE;
  if (type !== MEMORY_TYPE_UC && type !== MEMORY_TYPE_WB) return false;
  if (!validWalkLength(low, vmx.capabilities.ept)) return false;
  if ((low & Eptp.ACCESSED_DIRTY) !== 0 && !vmx.capabilities.ept.accessedDirty) return false;
  return (low & (Eptp.RESERVED_LOW | Eptp.SUPERVISOR_SHADOW_STACK)) === 0 && eptp >> BigInt(vmx.cpu.profile.physicalAddressWidth) === 0n;
}

/** SDM "INVVPID". @param vpid bits 15:0 of the descriptor. Bits 63:16 are the caller's to check. */
export function invvpid(vmx: Vmx, type: number, vpid: number, linear: bigint): VmResult {
  const { mmu } = vmx.cpu;
  const needsVpid = type !== InvvpidType.AllContexts;
  if (type < 0 || type > 3 || (needsVpid && vpid === 0)) return vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  if (type === InvvpidType.IndividualAddress && !mmu.canonicalForProcessor(linear)) return vmx.fail(VmInstructionError.InvalidInvalidationOperand);
  // An individual address or the non-global mappings of a VPID: all mappings of the VPID go, which the architecture permits.
  if (needsVpid) mmu.flushAsid(vpid);
  else mmu.flushAll();
  return vmx.complete(VM_SUCCEED);
}

export const hasEpt = (vmx: Vmx): boolean => (vmx.capabilities.secondary.allowed1 & Secondary.ENABLE_EPT) !== 0;
export const hasVpid = (vmx: Vmx): boolean => (vmx.capabilities.secondary.allowed1 & Secondary.ENABLE_VPID) !== 0;
