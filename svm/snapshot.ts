/** What AMD-V keeps beside registers and memory, as plain data. The rest of a snapshot is the vCPU block and RAM. */
import type { NptState } from '../ept/npt';
import { latchControls } from './entry/latch';
import type { Svm } from './svm';
import type { VmcbState } from './vmcb/access';

/** Fields of Svm that a snapshot has as they are. */
// prettier-ignore
const FIELDS = [
  'guestMode', 'gif', 'hostSaveArea', 'vmCr', 'svmKey', 'tscRatio', 'ignne', 'entryIncomplete', 'hostInterrupts', 'hostNmiBlocked',
  'lbrVirtualization', 'virtualInterrupt', 'virtualVector', 'writeTrap', 'writeTrapValue', 'pauseCount', 'lastPause', 'exits',
] as const;
type Field = (typeof FIELDS)[number];

export interface SvmSnapshot extends Readonly<Pick<Svm, Field>> {
  readonly vmcb: VmcbState;
  readonly npt: NptState;
  readonly translationModes: readonly (readonly [asid: number, mode: number])[];
}

/** @throws Error while an event is being delivered: take snapshots between instructions. */
export function saveSvm(svm: Svm): SvmSnapshot {
  if (svm.unintercepted !== undefined) throw new Error('a snapshot inside an event injection is impossible: take it at an instruction boundary');
  const fields = Object.fromEntries(FIELDS.map((name) => [name, svm[name]])) as Pick<Svm, Field>;
  return { ...fields, vmcb: svm.vmcb.saveState(), npt: svm.npt.saveState(), translationModes: svm.translationModes.saveState() };
}

/**
 * Memory and the vCPU block have been restored already. The translations that the processor has cached are dropped: whoever wants those of
 * the snapshot restores the processor (EngineState) after this.
 */
export function restoreSvm(svm: Svm, { vmcb, npt, translationModes, ...fields }: SvmSnapshot): void {
  const { cpu } = svm;
  svm.vmcb.restoreState(vmcb);
  svm.entryState.words = svm.vmcb.words;
  // The controls of the last VMRUN stay where they are in host mode.
  if (svm.vmcb.address >= 0) latchControls(svm);
  Object.assign(svm, fields);
  svm.npt.restoreState(npt);
  svm.translationModes.restoreState(translationModes);
  cpu.mmu.asid = fields.guestMode ? svm.guestAsid : 0;
  cpu.guestTscRatio = fields.guestMode ? svm.guestTscRatio : undefined;
  cpu.mmu.flushAll();
}
