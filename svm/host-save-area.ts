/**
 * The page at VM_HSAVE_PA: where VMRUN puts the host and #VMEXIT finds it. APM "Host Save Area": its format is the processor's business.
 * Here it is a run of words from the page's beginning, in the order of HOST_WORDS.
 */
import { Activity, Cr0, Cr4, Efer, Flag, type Cpu } from '../cpu/cpu';
import { DR7_FIXED, Dr6 } from '../cpu/debug';
import { Segment } from '../cpu/decoder/insn';
import { R, S, seg } from '../cpu/layout';
import { supportedCr4, supportedEfer } from '../cpu/system/control-state';
import { loadGuestBranchRecords, loadHostBranchRecords } from './branch-records';
import { loadDr7, loadPdpes, stateReplaced } from './entry/load';
import type { Svm } from './svm';

const RAX = 0,
  RSP = 4;
const PAGE = 4096;

const wide = (offset: number): number[] => [offset / 4, offset / 4 + 1];
const segment = (s: number): number[] => [seg(s, S.SELECTOR) / 4, seg(s, S.ACCESS) / 4, seg(s, S.LIMIT) / 4, ...wide(seg(s, S.BASE))];

/** What VMRUN saves of the host: words of the vCPU block. FS, GS, TR, LDTR, CR2, DR0-DR3 and DR6 are not among it. */
const HOST_WORDS: Uint16Array = Uint16Array.from([
  ...[R.CR0, R.CR3, R.CR4, R.EFER, R.PAT, R.RIP, R.GPR + RSP * 8, R.GPR + RAX * 8, R.GDTR_BASE, R.GDTR_LIMIT, R.IDTR_BASE, R.IDTR_LIMIT].flatMap(wide),
  ...[Segment.ES, Segment.CS, Segment.SS, Segment.DS].flatMap(segment),
]);
/** RFLAGS stands behind them, and then DebugCtl and the branch records, if they are swapped. */
const RFLAGS_AT = HOST_WORDS.length;
const BRANCH_RECORDS_AT = RFLAGS_AT + 1;

/** VMRUN: the host, whose R.RIP is behind the instruction. */
export function saveHostState(svm: Svm): void {
  const { cpu } = svm;
  const host = cpu.memory.host(svm.hostSaveArea);
  cpu.memory.aboutToWrite(svm.hostSaveArea, host, PAGE);
  const u32 = cpu.u32;
  const from = cpu.base >>> 2;
  const to = host >>> 2;
  for (let i = 0; i < HOST_WORDS.length; i++) u32[to + i] = u32[from + HOST_WORDS[i]];
  u32[to + RFLAGS_AT] = cpu.rflags();
}

/** VMRUN with LBR virtualization: the host's branch records go to the area, and the guest's come. The VMCB has been read by now. */
export function switchBranchRecords(svm: Svm): void {
  if (svm.lbrVirtualization) loadGuestBranchRecords(svm, (svm.cpu.memory.host(svm.hostSaveArea) >>> 2) + BRANCH_RECORDS_AT);
}

/** Why there is no host to come back to. */
export type LostHost =
  /** VM_HSAVE_PA is 0, as after RESET, or no RAM: a guest that may write the MSR did. */
  | 'no host save area'
  /** Somebody wrote to the area. */
  | 'illegal host state';

/** VM_HSAVE_PA has been set (RESET leaves 0), to a page of RAM. */
export const hasHostSaveArea = ({ hostSaveArea, cpu }: Svm): boolean => hostSaveArea !== 0 && cpu.memory.isRam(hostSaveArea);

/**
 * #VMEXIT. undefined: the host is back. Otherwise the processor is to shut down: so the APM has it for illegal host state.
 * DEVIATION: without an area (the APM does not say what happens then) the processor shuts down too, and keeps the guest's registers.
 */
export function loadHostState(svm: Svm): LostHost | undefined {
  const { cpu } = svm;
  if (!hasHostSaveArea(svm)) return 'no host save area';
  const u32 = cpu.u32;
  const from = cpu.memory.host(svm.hostSaveArea) >>> 2;
  const to = cpu.base >>> 2;
  const was64 = cpu.codeSize === 64;
  for (let i = 0; i < HOST_WORDS.length; i++) u32[to + HOST_WORDS[i]] = u32[from + i];
  if (svm.lbrVirtualization) loadHostBranchRecords(svm, from + BRANCH_RECORDS_AT);
  svm.lbrVirtualization = false;
  // The host comes back with CR0.PE = 1, rFLAGS.VM = 0, CPL 0 and all breakpoints off, whatever the area says.
  u32[to + R.CR0 / 4] |= Cr0.PE;
  u32[to + R.CPL / 4] = 0;
  const rflags = u32[from + RFLAGS_AT];
  cpu.setRflags(rflags & ~(Flag.VM | Flag.RF));
  loadDr7(cpu, DR7_FIXED);
  u32[to + R.GUEST_TSC_OFFSET / 4] = 0;
  u32[to + R.GUEST_TSC_OFFSET / 4 + 1] = 0;
  cpu.guestTscRatio = undefined;

  cpu.activity = Activity.Active;
  cpu.shadowAt = -1;
  // "VMRUN and TF/RF Bits in EFLAGS": for the host VMRUN is one instruction, which ends here. It clears RF; with TF the trap is due.
  cpu.pendingDebug = (rflags & Flag.TF) !== 0 ? Dr6.BS : 0;
  if (!legal(cpu)) return 'illegal host state';
  if ((cpu.efer & Efer.LMA) === 0 && (cpu.cr0 & Cr0.PG) !== 0 && (cpu.cr4 & Cr4.PAE) !== 0) loadPdpes(cpu);
  stateReplaced(cpu, was64);
  return undefined;
}

/** Illegal host state: somebody wrote to the host save area. */
function legal(cpu: Cpu): boolean {
  const { cr0, cr4, efer } = cpu;
  if ((cr0 & (Cr0.NW | Cr0.CD)) === Cr0.NW || (efer & Efer.SVME) === 0) return false;
  if ((efer & ~supportedEfer(cpu)) !== 0 || (cr4 & ~supportedCr4(cpu)) !== 0) return false;
  if ((cpu.get32(R.CR0 + 4) | cpu.get32(R.CR4 + 4) | cpu.get32(R.EFER + 4)) !== 0) return false;
  return (efer & Efer.LMA) === 0 || ((efer & Efer.LME) !== 0 && (cr0 & Cr0.PG) !== 0 && (cr4 & Cr4.PAE) !== 0);
}
