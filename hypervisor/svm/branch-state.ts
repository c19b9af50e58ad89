/**
 * DebugCtl and the branch records of the guest. They are in the VMCB, whatever the guest does; LBR virtualization, which has the processor
 * swap them with the host's, is on while the guest's DebugCtl asks for something.
 */
import type { Cpu } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { VirtualizationEnable } from '../../svm/controls';
import { VMCB } from '../../svm/vmcb/layout';
import type { ControlBlock } from './control-block';

const FIELDS: readonly (readonly [field: number, blockOffset: number])[] = [
  [VMCB.DBGCTL, R.DEBUGCTL],
  [VMCB.BR_FROM, R.LAST_BRANCH_FROM],
  [VMCB.BR_TO, R.LAST_BRANCH_TO],
  [VMCB.LASTEXCPFROM, R.LAST_INT_FROM],
  [VMCB.LASTEXCPTO, R.LAST_INT_TO],
];

export function branchStateTo(block: ControlBlock, model: Cpu): void {
  for (const [field, register] of FIELDS) {
    model.set32(register, block.get32(field));
    model.set32(register + 4, block.high32(field));
  }
}

export function branchStateFrom(block: ControlBlock, model: Cpu): void {
  for (const [field, register] of FIELDS) {
    const low = model.get32(register);
    const high = model.get32(register + 4);
    if (low !== block.get32(field) || high !== block.high32(field)) block.setWords(field, low, high);
  }
  const enabled = block.get32(VMCB.VIRTUALIZATION_ENABLE);
  const enable = model.get32(R.DEBUGCTL) !== 0 ? enabled | VirtualizationEnable.LBR : enabled & ~VirtualizationEnable.LBR;
  if (enable !== enabled) block.set32(VMCB.VIRTUALIZATION_ENABLE, enable);
}
