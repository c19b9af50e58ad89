/**
 * What DebugCtl has control transfers do: recording them in LastBranchFromIP and its kin, and stepping from one to the next. APM volume 2,
 * "Control-Transfer Breakpoint Features"; SDM volume 3, "Single-Stepping on Branches". While it records, the step loop executes one
 * instruction at a time.
 *
 * DEVIATION: with BTF and TF a branch traps, but not the delivery of an interrupt or exception, which clears TF.
 * DEVIATION: a conditional branch to the instruction right behind it never counts as taken.
 */
import type { Cpu } from './cpu';
import type { Insn } from './decoder/insn';
import { EventType, type CpuEvent } from './interfaces';
import { R } from './layout';
import { Vector } from './registers';

/** IA32_DEBUGCTL. */
export const DebugCtl = { LBR: 1 << 0, BTF: 1 << 1 } as const;
export const DEBUGCTL_DEFINED = DebugCtl.LBR | DebugCtl.BTF;

const CONDITIONAL = new Set(['JCC', 'JCXZ', 'LOOP', 'LOOPE', 'LOOPNE']);
const ALWAYS = new Set(['JMP', 'JMPI', 'CALL', 'CALLI', 'RET', 'JMPF', 'CALLF', 'RETF', 'IRET', 'SYSCALL', 'SYSRET', 'SYSENTER', 'SYSEXIT']);

/** DEVIATION: Intel processors have a stack of records, in other MSRs; there DebugCtl.LBR can be set, and nothing is recorded. */
export const recordsBranches = (cpu: Cpu): boolean => (cpu.get32(R.DEBUGCTL) & DebugCtl.LBR) !== 0 && cpu.profile.vendor === 'amd';

/** `insn` at rIP `from` has completed. True: it transferred control, which is recorded if it is to be. */
export function branchCompleted(cpu: Cpu, insn: Insn, from: bigint): boolean {
  const behind = BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, from + BigInt(insn.length));
  if (!ALWAYS.has(insn.op) && !(CONDITIONAL.has(insn.op) && cpu.rip !== behind)) return false;
  if (recordsBranches(cpu)) recordBranch(cpu, from);
  return true;
}

/** Segment offsets, not linear addresses. */
function recordBranch(cpu: Cpu, from: bigint): void {
  cpu.set64(R.LAST_BRANCH_FROM, from);
  cpu.set64(R.LAST_BRANCH_TO, cpu.rip);
}

/** INT1 raises #DB too. */
const isDebugException = ({ vector, type }: CpuEvent): boolean =>
  vector === Vector.DB && (type === EventType.HardwareException || type === EventType.PrivilegedSoftwareException);

/**
 * An interrupt or exception has been delivered; `from` is the rIP of what it interrupted. LastIntFromIP and LastIntToIP get the branch
 * before it out of LastBranchFromIP and LastBranchToIP, "when most interrupts and exceptions are taken": #MC and #DB are the others, and
 * with a #DB no record changes.
 */
export function eventDelivered(cpu: Cpu, event: CpuEvent, from: bigint): void {
  if (isDebugException(event)) {
    if (event.type === EventType.PrivilegedSoftwareException) stopAtDebugException(cpu);
    return;
  }
  if (!recordsBranches(cpu)) return;
  if (event.type !== EventType.HardwareException || event.vector !== Vector.MC) {
    cpu.set64(R.LAST_INT_FROM, cpu.get64(R.LAST_BRANCH_FROM));
    cpu.set64(R.LAST_INT_TO, cpu.get64(R.LAST_BRANCH_TO));
  }
  recordBranch(cpu, from);
}

/** "The processor automatically disables control-transfer recording when a debug exception (#DB) occurs", and their single-stepping. */
export function stopAtDebugException(cpu: Cpu): void {
  cpu.set32(R.DEBUGCTL, cpu.get32(R.DEBUGCTL) & ~DEBUGCTL_DEFINED);
}
