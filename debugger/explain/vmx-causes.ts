/** Why an instruction or event left VMX non-root operation: the control that asked for it, with its value. SDM "VMX Non-Root Operation". */
import { cite } from '../../spec/sdm';
import { PinBased, Primary, Secondary } from '../../vmx/controls';
import { ExitReason } from '../../vmx/exit/reason';
import type { FieldName } from '../../vmx/vmcs/fields';

/** The exit's VMCS, and the guest's RCX (which MSR). */
export interface VmxExitState {
  /** Basic exit reason. */
  readonly reason: ExitReason;
  /** Bits 31:0 of a field. */
  low(field: FieldName): number;
  read(field: FieldName): bigint;
  readonly rcx: number;
}

type Cause = (s: VmxExitState) => string;

const unconditional: Cause = () => `it exits unconditionally: ${cite('unconditionalExits')}`;
const conditional = (why: string): string => `${why}: ${cite('conditionalExits')}`;
const other = (why: string): string => `${why}: ${cite('otherExits')}`;

const named = (control: string, area: string, field: FieldName, bit: number, say = conditional): Cause => {
  return (s) => say(`the ${area} control "${control}" (bit ${31 - Math.clz32(bit)}) is ${(s.low(field) & bit) !== 0 ? 1 : 0}`);
};
const pin = (control: string, bit: number): Cause => named(control, 'pin-based VM-execution', 'PIN_BASED_CONTROLS', bit, other);
const primary = (control: string, bit: number, say = conditional): Cause =>
  named(control, 'primary processor-based VM-execution', 'PRIMARY_PROCESSOR_BASED_CONTROLS', bit, say);
const secondary = (control: string, bit: number, say = conditional): Cause =>
  named(control, 'secondary processor-based VM-execution', 'SECONDARY_PROCESSOR_BASED_CONTROLS', bit, say);

const primaryIs = (s: VmxExitState, bit: number): boolean => (s.low('PRIMARY_PROCESSOR_BASED_CONTROLS') & bit) !== 0;
const hex = (n: number | bigint): string => `0x${n.toString(16)}`;

const io: Cause = (s) => {
  const port = hex(s.low('EXIT_QUALIFICATION') >>> 16);
  if (primaryIs(s, Primary.USE_IO_BITMAPS)) return conditional(`"use I/O bitmaps" is 1, and the bit of port ${port} is 1 in the bitmaps`);
  return conditional(`"unconditional I/O exiting" is 1 and "use I/O bitmaps" is 0, so every port exits (here ${port})`);
};

const msr =
  (verb: 'reads' | 'writes'): Cause =>
  (s) => {
    if (!primaryIs(s, Primary.USE_MSR_BITMAPS)) return conditional('"use MSR bitmaps" is 0, so every MSR exits');
    const covered = s.rcx <= 0x1fff || (s.rcx >= 0xc000_0000 && s.rcx <= 0xc000_1fff);
    return conditional(
      covered
        ? `"use MSR bitmaps" is 1, and the bit of MSR ${hex(s.rcx)} is 1 in the bitmap for ${verb}`
        : `MSR ${hex(s.rcx)} is in neither range that the MSR bitmaps cover (0-1FFFh, C0000000h-C0001FFFh)`,
    );
  };

/** "Exit Qualification for Control-Register Accesses": 3:0 register, 5:4 access. */
const controlRegister: Cause = (s) => {
  const q = s.low('EXIT_QUALIFICATION');
  const [cr, access] = [q & 15, (q >>> 4) & 3];
  if (cr === 3) return conditional(access === 1 ? '"CR3-store exiting" is 1' : '"CR3-load exiting" is 1, and the value is none of the CR3-target values');
  if (cr === 8) return conditional(access === 1 ? '"CR8-store exiting" is 1' : '"CR8-load exiting" is 1');
  const mask = s.read(cr === 0 ? 'CR0_GUEST_HOST_MASK' : 'CR4_GUEST_HOST_MASK');
  const shadow = s.read(cr === 0 ? 'CR0_READ_SHADOW' : 'CR4_READ_SHADOW');
  return conditional(
    `the write gives a bit of CR${cr} that the guest/host mask (${hex(mask)}) reserves to the hypervisor another value than the read shadow (${hex(shadow)})`,
  );
};

const exception: Cause = (s) => {
  const information = s.low('EXIT_INTERRUPTION_INFORMATION');
  const vector = information & 0xff;
  if (((information >>> 8) & 7) === 2) return pin('NMI exiting', PinBased.NMI_EXITING)(s);
  const bit = `bit ${vector} of the exception bitmap (${hex(s.low('EXCEPTION_BITMAP'))}) is 1`;
  if (vector !== 14) return other(bit);
  const [mask, match] = [s.low('PAGE_FAULT_ERROR_CODE_MASK'), s.low('PAGE_FAULT_ERROR_CODE_MATCH')];
  return other(`for page faults ${bit} and error code & ${hex(mask)} = ${hex(match)} decide together`);
};

const ept: Cause = (s) => other(`"enable EPT" is 1, and the EPT entries do not allow the access (EPTP ${hex(s.read('EPT_POINTER'))})`);
const entryFailure: Cause = () =>
  `VM entry failed after its checks on controls and host state had passed: ${cite('guestControlRegisters')} and what follows it`;

/** A row for every reason that this processor makes. */
const CAUSES: Partial<Readonly<Record<ExitReason, Cause>>> = {
  [ExitReason.ExceptionOrNmi]: exception,
  [ExitReason.ExternalInterrupt]: pin('external-interrupt exiting', PinBased.EXTERNAL_INTERRUPT_EXITING),
  [ExitReason.TripleFault]: () => other('the processor would shut down: a fault came up while it called the double-fault handler'),
  [ExitReason.InterruptWindow]: primary('interrupt-window exiting', Primary.INTERRUPT_WINDOW_EXITING, other),
  [ExitReason.NmiWindow]: primary('NMI-window exiting', Primary.NMI_WINDOW_EXITING, other),
  [ExitReason.TaskSwitch]: () => other('task switches are not allowed in VMX non-root operation'),
  [ExitReason.Cpuid]: unconditional,
  [ExitReason.Getsec]: unconditional,
  [ExitReason.Invd]: unconditional,
  [ExitReason.Xsetbv]: unconditional,
  [ExitReason.Hlt]: primary('HLT exiting', Primary.HLT_EXITING),
  [ExitReason.Invlpg]: primary('INVLPG exiting', Primary.INVLPG_EXITING),
  [ExitReason.Rdpmc]: primary('RDPMC exiting', Primary.RDPMC_EXITING),
  [ExitReason.Rdtsc]: primary('RDTSC exiting', Primary.RDTSC_EXITING),
  [ExitReason.Rdtscp]: primary('RDTSC exiting', Primary.RDTSC_EXITING),
  [ExitReason.Vmcall]: unconditional,
  [ExitReason.Vmclear]: unconditional,
  [ExitReason.Vmlaunch]: unconditional,
  [ExitReason.Vmptrld]: unconditional,
  [ExitReason.Vmptrst]: unconditional,
  [ExitReason.Vmread]: unconditional,
  [ExitReason.Vmresume]: unconditional,
  [ExitReason.Vmwrite]: unconditional,
  [ExitReason.Vmxoff]: unconditional,
  [ExitReason.Vmxon]: unconditional,
  [ExitReason.Invept]: unconditional,
  [ExitReason.Invvpid]: unconditional,
  [ExitReason.ControlRegisterAccess]: controlRegister,
  [ExitReason.MovDr]: primary('MOV-DR exiting', Primary.MOV_DR_EXITING),
  [ExitReason.IoInstruction]: io,
  [ExitReason.Rdmsr]: msr('reads'),
  [ExitReason.Wrmsr]: msr('writes'),
  [ExitReason.EntryFailureGuestState]: entryFailure,
  [ExitReason.EntryFailureMsrLoading]: () => `VM entry failed while it loaded MSRs: ${cite('loadingMsrs')}`,
  [ExitReason.Mwait]: primary('MWAIT exiting', Primary.MWAIT_EXITING),
  [ExitReason.Monitor]: primary('MONITOR exiting', Primary.MONITOR_EXITING),
  [ExitReason.MonitorTrapFlag]: primary('monitor trap flag', Primary.MONITOR_TRAP_FLAG, other),
  [ExitReason.Pause]: primary('PAUSE exiting', Primary.PAUSE_EXITING),
  [ExitReason.TprBelowThreshold]: (s) =>
    `"use TPR shadow" is 1, "virtual-interrupt delivery" is 0, and VTPR[7:4] is below the TPR threshold (${s.low('TPR_THRESHOLD') & 15}): ${cite('tprVirtualization')}`,
  [ExitReason.ApicAccess]: (s) =>
    `"virtualize APIC accesses" is 1, and the access to the APIC-access page (${hex(s.read('APIC_ACCESS_ADDRESS'))}) is not one that is virtualized: ${cite('apicAccesses')}`,
  [ExitReason.VirtualizedEoi]: (s) => {
    const vector = s.low('EXIT_QUALIFICATION') & 0xff;
    return `the guest ended interrupt ${hex(vector)}, whose bit in EOI-exit bitmap ${vector >>> 6} is 1: ${cite('eoiVirtualization')}`;
  },
  [ExitReason.ApicWrite]: () => `a write of the virtual APIC that the processor does not emulate, and that is done when the exit occurs: ${cite('apicWrites')}`,
  [ExitReason.GdtrOrIdtrAccess]: secondary('descriptor-table exiting', Secondary.DESCRIPTOR_TABLE_EXITING),
  [ExitReason.LdtrOrTrAccess]: secondary('descriptor-table exiting', Secondary.DESCRIPTOR_TABLE_EXITING),
  [ExitReason.EptViolation]: ept,
  [ExitReason.EptMisconfiguration]: () => other('an EPT entry on the way has a setting that is reserved'),
  [ExitReason.PreemptionTimerExpired]: pin('activate VMX-preemption timer', PinBased.ACTIVATE_PREEMPTION_TIMER),
  [ExitReason.Wbinvd]: secondary('WBINVD exiting', Secondary.WBINVD_EXITING),
  [ExitReason.Rdrand]: secondary('RDRAND exiting', Secondary.RDRAND_EXITING),
  [ExitReason.Rdseed]: secondary('RDSEED exiting', Secondary.RDSEED_EXITING),
  [ExitReason.Invpcid]: primary('INVLPG exiting', Primary.INVLPG_EXITING),
  [ExitReason.Vmfunc]: () => conditional('the VM function is not enabled'),
};

export function vmxCause(s: VmxExitState): string {
  const cause = CAUSES[s.reason];
  return cause === undefined ? 'this model has no description of what causes this exit' : cause(s);
}
