/** APM "#VMEXIT": from the cause to the host, in the order of the section. */
import { Activity } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import { EventInfo } from '../controls';
import { SvmFeature } from '../features';
import { loadHostState } from '../host-save-area';
import type { Svm } from '../svm';
import { VMCB } from '../vmcb/layout';
import { ExitCode, exitCodeHigh, exitCodeLow } from './code';
import { saveGuestState } from './save';

/**
 * Leaves guest mode. R.RIP is the rIP to save.
 * @param length of the instruction or software event that nRIP is to point behind, 0 when there is none or an event was being delivered.
 */
export function exitToHost(svm: Svm, code: number, info1Low: number, info1High: number, info2Low: number, info2High: number, length: number): void {
  const { vmcb } = svm;
  vmcb.aboutToWrite();
  saveGuestState(svm);
  recordExit(svm, code, info1Low, info1High, info2Low, info2High);
  vmcb.set(VMCB.EXITINTINFO, svm.interrupted, svm.interruptedErrorCode);
  vmcb.setLow(VMCB.EVENTINJ, (vmcb.low(VMCB.EVENTINJ) & ~EventInfo.VALID) >>> 0);
  if (svm.has(SvmFeature.NRIPS)) saveNextRip(svm, length);
  if (svm.has(SvmFeature.DECODE_ASSISTS)) saveInstructionBytes(svm);
  vmcb.remember();
  svm.leaveGuest();
  resumeHost(svm);
  svm.exits++;
  svm.observer.exit?.(svm, code);
}

/** VMRUN found the VMCB illegal: "a #VMEXIT with VMEXIT_INVALID". Nothing of the guest was loaded, nothing of it is saved. */
export function failEntry(svm: Svm): void {
  svm.vmcb.aboutToWrite();
  recordExit(svm, ExitCode.INVALID, 0, 0, 0, 0);
  svm.vmcb.set(VMCB.EXITINTINFO, 0, 0);
  svm.vmcb.forget();
  resumeHost(svm);
  svm.observer.exit?.(svm, ExitCode.INVALID);
}

function recordExit(svm: Svm, code: number, info1Low: number, info1High: number, info2Low: number, info2High: number): void {
  const { vmcb } = svm;
  vmcb.set(VMCB.EXITCODE, exitCodeLow(code), exitCodeHigh(code));
  vmcb.set(VMCB.EXITINFO1, info1Low, info1High);
  vmcb.set(VMCB.EXITINFO2, info2Low, info2High);
}

/** "State Saved on Exit": nRIP for instruction intercepts and for exceptions of INT3, INTO and BOUND; "for all other intercepts, nRIP is reset to zero". */
function saveNextRip({ cpu, vmcb }: Svm, length: number): void {
  if (length === 0) return vmcb.set(VMCB.NRIP, 0, 0);
  const low = cpu.get32(R.RIP) + length;
  if (cpu.codeSize === 64) vmcb.set(VMCB.NRIP, low, low > 0xffff_ffff ? cpu.get32(R.RIP + 4) + 1 : cpu.get32(R.RIP + 4));
  else vmcb.set(VMCB.NRIP, low, 0);
}

/** "Instruction Bytes": the count at 0D0h, then the bytes. */
function saveInstructionBytes(svm: Svm): void {
  const { vmcb, instructionBytes } = svm;
  if (instructionBytes[0] === 0) return vmcb.setLow(VMCB.BYTES_FETCHED, 0);
  for (let i = 0; i < 4; i++) {
    const at = i * 4;
    const word = instructionBytes[at] | (instructionBytes[at + 1] << 8) | (instructionBytes[at + 2] << 16) | (instructionBytes[at + 3] << 24);
    vmcb.setLow(VMCB.BYTES_FETCHED + at, word >>> 0);
  }
  instructionBytes[0] = 0;
}

/** "GIF is cleared"; the host goes on behind its VMRUN. */
function resumeHost(svm: Svm): void {
  const { cpu } = svm;
  svm.gif = false;
  const lost = loadHostState(svm);
  if (lost !== undefined) {
    cpu.activity = Activity.Shutdown;
    svm.observer.shutdown?.(svm, lost);
  }
  cpu.attention = true;
}
