/**
 * Which VM-exit information fields an exit gives a value: the others keep that of an exit before it, or are undefined. SDM "Basic VM-Exit
 * Information" and what follows it.
 */
import { EptQualification } from '../../ept/format';
import { Interruption } from '../../vmx/controls';
import { ExitReason } from '../../vmx/exit/reason';
import type { FieldName } from '../../vmx/vmcs/fields';
import type { VmxExitState } from './vmx-causes';

type Given = (s: VmxExitState) => boolean;

/** "Information for VM Exits Due to Instruction Execution": the instructions whose length is saved. */
const OF_INSTRUCTIONS: ReadonlySet<ExitReason> = new Set([
  ...[ExitReason.Cpuid, ExitReason.Getsec, ExitReason.Hlt, ExitReason.Invd, ExitReason.Invlpg, ExitReason.Rdpmc, ExitReason.Rdtsc, ExitReason.Rsm],
  ...[ExitReason.Vmcall, ExitReason.Vmclear, ExitReason.Vmlaunch, ExitReason.Vmptrld, ExitReason.Vmptrst, ExitReason.Vmread, ExitReason.Vmresume],
  ...[ExitReason.Vmwrite, ExitReason.Vmxoff, ExitReason.Vmxon, ExitReason.ControlRegisterAccess, ExitReason.MovDr, ExitReason.IoInstruction],
  ...[ExitReason.Rdmsr, ExitReason.Wrmsr, ExitReason.Mwait, ExitReason.Monitor, ExitReason.Pause, ExitReason.GdtrOrIdtrAccess, ExitReason.LdtrOrTrAccess],
  ...[ExitReason.Invept, ExitReason.Rdtscp, ExitReason.Invvpid, ExitReason.Wbinvd, ExitReason.Xsetbv, ExitReason.Rdrand, ExitReason.Invpcid],
  ...[ExitReason.Vmfunc, ExitReason.Encls, ExitReason.Rdseed, ExitReason.Xsaves, ExitReason.Xrstors, ExitReason.Pconfig, ExitReason.Umwait],
  ...[ExitReason.Tpause, ExitReason.Loadiwkey, ExitReason.Enclv],
]);

/** Types of events that instructions make: software interrupt, privileged software exception, software exception. */
const SOFTWARE: ReadonlySet<number> = new Set([4, 5, 6]);
const TYPE_SHIFT = 8;
const TYPE = 7;
/** "Exit Qualification for Task Switches", bits 31:30: anything but a task gate in the IDT. */
const TASK_GATE = 3;
const LMSW = 3;
/** "Exit Qualification for I/O Instructions", bit 4. */
const STRING = 1 << 4;

const valid =
  (field: FieldName, also = 0): Given =>
  (s) => {
    const information = s.low(field);
    return (information & Interruption.VALID) !== 0 && (information & also) === also;
  };
const isSoftware = (s: VmxExitState, field: FieldName): boolean => valid(field)(s) && SOFTWARE.has((s.low(field) >>> TYPE_SHIFT) & TYPE);

const length: Given = (s) =>
  OF_INSTRUCTIONS.has(s.reason) ||
  (s.reason === ExitReason.ExceptionOrNmi && isSoftware(s, 'EXIT_INTERRUPTION_INFORMATION')) ||
  (s.reason === ExitReason.TaskSwitch && s.low('EXIT_QUALIFICATION') >>> 30 !== TASK_GATE) ||
  isSoftware(s, 'IDT_VECTORING_INFORMATION');

const linearAddress: Given = (s) => {
  const qualification = s.low('EXIT_QUALIFICATION');
  if (s.reason === ExitReason.EptViolation) return (qualification & EptQualification.LINEAR_ADDRESS_VALID) !== 0;
  if (s.reason === ExitReason.IoInstruction) return (qualification & STRING) !== 0;
  // LMSW with a memory operand.
  if (s.reason === ExitReason.ControlRegisterAccess) return ((qualification >>> 4) & 3) === LMSW && (qualification & (1 << 6)) !== 0;
  return s.reason === ExitReason.SppRelatedEvent;
};

const PHYSICAL: ReadonlySet<ExitReason> = new Set([ExitReason.EptViolation, ExitReason.EptMisconfiguration, ExitReason.SppRelatedEvent]);

const GIVEN = [
  ['EXIT_INSTRUCTION_LENGTH', length],
  ['GUEST_PHYSICAL_ADDRESS', (s) => PHYSICAL.has(s.reason)],
  ['GUEST_LINEAR_ADDRESS', linearAddress],
  ['EXIT_INTERRUPTION_INFORMATION', valid('EXIT_INTERRUPTION_INFORMATION')],
  ['EXIT_INTERRUPTION_ERROR_CODE', valid('EXIT_INTERRUPTION_INFORMATION', Interruption.ERROR_CODE)],
  ['IDT_VECTORING_INFORMATION', valid('IDT_VECTORING_INFORMATION')],
  ['IDT_VECTORING_ERROR_CODE', valid('IDT_VECTORING_INFORMATION', Interruption.ERROR_CODE)],
] as const satisfies readonly (readonly [FieldName, Given])[];

/** Of an exit, not of a VM entry that failed, which sets none of them. */
export const vmxFacts = (s: VmxExitState): (readonly [name: string, value: bigint])[] =>
  GIVEN.flatMap(([name, given]) => (given(s) ? [[name, s.read(name)] as const] : []));
