/** VMRUN: APM "VMRUN Instruction", in its order. */
import { R } from '../../cpu/layout';
import { TlbControl } from '../controls';
import { firstBroken } from '../entry/first-broken';
import { latchControls, switchTranslation } from '../entry/latch';
import { loadGuestState, stateReplaced } from '../entry/load';
import { failEntry } from '../exit/exit';
import { SvmFeature } from '../features';
import { saveHostState, switchBranchRecords } from '../host-save-area';
import type { Svm } from '../svm';
import { ALL_CLEAN_BITS } from '../vmcb/access';
import { VMCB } from '../vmcb/layout';

/** @param address of the VMCB: system-physical, page-aligned, of RAM. R.RIP is behind the instruction. */
export function vmrun(svm: Svm, address: number): void {
  const { cpu, vmcb } = svm;
  saveHostState(svm);

  // "VMCB State Caching": clean bits are a promise about the VMCB that this processor remembers; of another one everything is read.
  const known = vmcb.select(address);
  const clean = known && svm.has(SvmFeature.VMCB_CLEAN) ? vmcb.cleanField & ALL_CLEAN_BITS : 0;
  svm.entryState.words = vmcb.words;
  if (clean !== 0 && svm.checkVmcb) for (const stale of vmcb.staleFields(clean)) svm.observer.staleVmcb?.(svm, stale);
  vmcb.load(clean);

  if (firstBroken(svm.entryState) !== undefined) return failEntry(svm);

  const was64 = cpu.codeSize === 64;
  latchControls(svm);
  switchTranslation(svm);
  loadGuestState(svm);
  switchBranchRecords(svm);
  svm.guestMode = true;
  flushTlb(svm);
  stateReplaced(cpu, was64);
  loadTsc(svm);

  svm.gif = true;
  svm.entryIncomplete = true;
  cpu.pendingDebug = 0;
  cpu.attention = true;
  svm.observer.entry?.(svm);
}

/** "TLB Control". The reserved encodings do nothing; global translations are dropped with the others, which the architecture permits. */
function flushTlb(svm: Svm): void {
  const { cpu, vmcb, npt } = svm;
  const command = vmcb.low(VMCB.TLB_CONTROL) & 0xff;
  const { asid } = cpu.mmu;
  if (svm.translationModes.changed(asid)) cpu.mmu.flushAsid(asid);
  if (command === TlbControl.DO_NOTHING) return;
  if (command === TlbControl.FLUSH_ALL) {
    cpu.mmu.flushAll();
    npt.flush();
  } else if (svm.has(SvmFeature.FLUSH_BY_ASID) && (command === TlbControl.FLUSH_GUEST || command === TlbControl.FLUSH_GUEST_NON_GLOBAL)) {
    cpu.mmu.flushAsid(asid);
    npt.flushAsid(asid);
  }
}

/** "TSC_OFFSET", "TSC Ratio MSR". */
function loadTsc(svm: Svm): void {
  const { cpu, vmcb } = svm;
  cpu.set32(R.GUEST_TSC_OFFSET, vmcb.low(VMCB.TSC_OFFSET));
  cpu.set32(R.GUEST_TSC_OFFSET + 4, vmcb.high(VMCB.TSC_OFFSET));
  cpu.guestTscRatio = svm.guestTscRatio;
}
