/** EPT violations and EPT misconfigurations as VM exits. SDM "Exit Qualification for EPT Violations". */
import { Cr0 } from '../../cpu/registers';
import type { EptFault } from '../../ept/ept';
import { EptQualification } from '../../ept/format';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { ExitReason } from './reason';
import { SavedRf } from './save';

const FINAL = EptQualification.LINEAR_ADDRESS_VALID | EptQualification.FINAL_ACCESS;
const PAGING = Cr0.PE | Cr0.PG;

/** EPT refused a guest-physical address. */
export function exitOnEptFault(vmx: Vmx, fault: EptFault): void {
  const { cpu, vmcs } = vmx;
  cpu.materialize();
  vmcs.set(OFFSET.GUEST_PHYSICAL_ADDRESS, fault.gpa >>> 0, Math.floor(fault.gpa / 0x1_0000_0000));
  const byInstruction = cpu.delivering === undefined && vmx.injecting === undefined;
  let qualification = 0;
  if (fault.kind === 'violation') {
    qualification = fault.qualification;
    // With paging off, every linear address is a user-mode, writable and executable one.
    if ((qualification & FINAL) === FINAL && (cpu.cr0 & PAGING) !== PAGING) {
      qualification = (qualification | EptQualification.USER_MODE_LINEAR | EptQualification.WRITABLE_LINEAR) & ~EptQualification.EXECUTE_DISABLE_LINEAR;
    }
    if ((qualification & EptQualification.LINEAR_ADDRESS_VALID) !== 0) vmcs.setValue(OFFSET.GUEST_LINEAR_ADDRESS, fault.linear);
    if (vmx.nmiUnblockedByIret && byInstruction) qualification |= EptQualification.NMI_UNBLOCKING;
  }
  const reason = fault.kind === 'violation' ? ExitReason.EptViolation : ExitReason.EptMisconfiguration;
  // The access belongs to an instruction (fault-like: RF = 1 in the image) or to the delivery of an event.
  vmx.exit(reason, qualification, 0, 0, 0, byInstruction ? SavedRf.Set : SavedRf.AsIs, cpu.delivering);
  cpu.fault = undefined;
}
