import { ExitReason } from '../../vmx/exit/reason';
import { VMCS } from '../../vmx/vmcs/fields';
import type { Vmx } from '../../vmx/vmx';
import type { Exit } from '../exit';

const qualification = (vmx: Vmx): number => vmx.vmread32(VMCS.EXIT_QUALIFICATION);
const bit = (value: number, n: number): boolean => ((value >>> n) & 1) === 1;

/** VM-exit interruption information: 7:0 vector, 10:8 type, 11 error code valid, 31 valid. */
function interruption(vmx: Vmx): { valid: boolean; vector: number; nmi: boolean; errorCode: number | undefined } {
  const information = vmx.vmread32(VMCS.EXIT_INTERRUPTION_INFORMATION);
  const errorCode = bit(information, 11) ? vmx.vmread32(VMCS.EXIT_INTERRUPTION_ERROR_CODE) : undefined;
  return { valid: bit(information, 31), vector: information & 0xff, nmi: ((information >>> 8) & 7) === 2, errorCode };
}

/** I/O instruction: 2:0 size - 1, 3 IN, 4 string, 31:16 port. SDM "Exit Qualification for I/O Instructions". */
function io(vmx: Vmx): Exit {
  const q = qualification(vmx);
  return { kind: 'io', port: q >>> 16, size: ((q & 7) + 1) as 1 | 2 | 4, input: bit(q, 3), string: bit(q, 4) };
}

/** 3:0 register, 5:4 access, 11:8 GPR, 31:16 LMSW source. SDM "Exit Qualification for Control-Register Accesses". */
function controlRegister(vmx: Vmx): Exit {
  const q = qualification(vmx);
  const access = (['write', 'read', 'clts', 'lmsw'] as const)[(q >>> 4) & 3];
  return { kind: 'cr-access', register: q & 15, access, gpr: (q >>> 8) & 15, source: q >>> 16 };
}

/** 0 read, 1 write, 2 fetch, 5:3 what the entries allowed, 8 final access rather than a table. SDM "Exit Qualification for EPT Violations". */
function eptViolation(vmx: Vmx): Exit {
  const q = qualification(vmx);
  return {
    kind: 'nested-page-fault',
    gpa: vmx.vmreadNumber(VMCS.GUEST_PHYSICAL_ADDRESS),
    linear: 0n,
    read: bit(q, 0),
    write: bit(q, 1),
    fetch: bit(q, 2),
    table: !bit(q, 8),
    present: (q & 0x38) !== 0,
  };
}

const unavailable = (instruction: string) => (): Exit => ({ kind: 'unavailable-instruction', instruction });
const monitored = (instruction: string) => (): Exit => ({ kind: 'monitored-instruction', instruction });
const unexpected = (what: string) => (): Exit => ({ kind: 'unexpected', explanation: `VM exit "${what}" that no control asked for` });

/**
 * From VT-x to the vendor-neutral exit, readable as Appendix C. `satisfies` makes a forgotten reason a compile error, so
 * "unexpected exit" is a decision written down here and never a default branch.
 */
export const VMX_EXITS = {
  [ExitReason.ExceptionOrNmi]: (vmx): Exit => {
    const { nmi, vector, errorCode } = interruption(vmx);
    return nmi ? { kind: 'nmi' } : { kind: 'exception', vector, errorCode };
  },
  [ExitReason.ExternalInterrupt]: (vmx): Exit => {
    const { valid, vector } = interruption(vmx);
    return { kind: 'external-interrupt', vector: valid ? vector : undefined };
  },
  [ExitReason.TripleFault]: (): Exit => ({ kind: 'triple-fault' }),
  [ExitReason.InitSignal]: unexpected('InitSignal'),
  [ExitReason.StartUpIpi]: unexpected('StartUpIpi'),
  [ExitReason.IoSmi]: unexpected('IoSmi'),
  [ExitReason.OtherSmi]: unexpected('OtherSmi'),
  [ExitReason.InterruptWindow]: (): Exit => ({ kind: 'interrupt-window' }),
  [ExitReason.NmiWindow]: (): Exit => ({ kind: 'nmi-window' }),
  [ExitReason.TaskSwitch]: (): Exit => ({ kind: 'task-switch' }),
  [ExitReason.Cpuid]: (): Exit => ({ kind: 'cpuid' }),
  [ExitReason.Getsec]: unavailable('GETSEC'),
  [ExitReason.Hlt]: (): Exit => ({ kind: 'hlt' }),
  [ExitReason.Invd]: (): Exit => ({ kind: 'cache-control', instruction: 'INVD' }),
  [ExitReason.Invlpg]: monitored('INVLPG'),
  [ExitReason.Rdpmc]: monitored('RDPMC'),
  [ExitReason.Rdtsc]: monitored('RDTSC'),
  [ExitReason.Rsm]: unexpected('Rsm'),
  [ExitReason.Vmcall]: (): Exit => ({ kind: 'hypercall' }),
  [ExitReason.Vmclear]: unavailable('VMCLEAR'),
  [ExitReason.Vmlaunch]: unavailable('VMLAUNCH'),
  [ExitReason.Vmptrld]: unavailable('VMPTRLD'),
  [ExitReason.Vmptrst]: unavailable('VMPTRST'),
  [ExitReason.Vmread]: unavailable('VMREAD'),
  [ExitReason.Vmresume]: unavailable('VMRESUME'),
  [ExitReason.Vmwrite]: unavailable('VMWRITE'),
  [ExitReason.Vmxoff]: unavailable('VMXOFF'),
  [ExitReason.Vmxon]: unavailable('VMXON'),
  [ExitReason.ControlRegisterAccess]: controlRegister,
  [ExitReason.MovDr]: monitored('MOV DR'),
  [ExitReason.IoInstruction]: io,
  [ExitReason.Rdmsr]: (): Exit => ({ kind: 'rdmsr' }),
  [ExitReason.Wrmsr]: (): Exit => ({ kind: 'wrmsr' }),
  [ExitReason.EntryFailureGuestState]: unexpected('EntryFailureGuestState'),
  [ExitReason.EntryFailureMsrLoading]: unexpected('EntryFailureMsrLoading'),
  [ExitReason.Mwait]: unavailable('MWAIT'),
  [ExitReason.MonitorTrapFlag]: unexpected('MonitorTrapFlag'),
  [ExitReason.Monitor]: unavailable('MONITOR'),
  [ExitReason.Pause]: monitored('PAUSE'),
  [ExitReason.EntryFailureMachineCheck]: unexpected('EntryFailureMachineCheck'),
  [ExitReason.TprBelowThreshold]: unexpected('TprBelowThreshold'),
  [ExitReason.ApicAccess]: unexpected('ApicAccess'),
  [ExitReason.VirtualizedEoi]: unexpected('VirtualizedEoi'),
  [ExitReason.GdtrOrIdtrAccess]: monitored('LGDT/SGDT/LIDT/SIDT'),
  [ExitReason.LdtrOrTrAccess]: monitored('LLDT/LTR/SLDT/STR'),
  [ExitReason.EptViolation]: eptViolation,
  [ExitReason.EptMisconfiguration]: (vmx): Exit => ({ kind: 'nested-misconfiguration', gpa: vmx.vmreadNumber(VMCS.GUEST_PHYSICAL_ADDRESS) }),
  [ExitReason.Invept]: unavailable('INVEPT'),
  [ExitReason.Rdtscp]: monitored('RDTSCP'),
  [ExitReason.PreemptionTimerExpired]: (): Exit => ({ kind: 'timer' }),
  [ExitReason.Invvpid]: unavailable('INVVPID'),
  [ExitReason.Wbinvd]: (): Exit => ({ kind: 'cache-control', instruction: 'WBINVD' }),
  [ExitReason.Xsetbv]: (): Exit => ({ kind: 'xsetbv' }),
  [ExitReason.ApicWrite]: unexpected('ApicWrite'),
  [ExitReason.Rdrand]: monitored('RDRAND'),
  [ExitReason.Invpcid]: monitored('INVPCID'),
  [ExitReason.Vmfunc]: unavailable('VMFUNC'),
  [ExitReason.Encls]: unexpected('Encls'),
  [ExitReason.Rdseed]: monitored('RDSEED'),
  [ExitReason.PageModificationLogFull]: unexpected('PageModificationLogFull'),
  [ExitReason.Xsaves]: unexpected('Xsaves'),
  [ExitReason.Xrstors]: unexpected('Xrstors'),
  [ExitReason.Pconfig]: unexpected('Pconfig'),
  [ExitReason.SppRelatedEvent]: unexpected('SppRelatedEvent'),
  [ExitReason.Umwait]: unexpected('Umwait'),
  [ExitReason.Tpause]: unexpected('Tpause'),
  [ExitReason.Loadiwkey]: unexpected('Loadiwkey'),
  [ExitReason.Enclv]: unexpected('Enclv'),
  [ExitReason.EnqcmdPasidFailure]: unexpected('EnqcmdPasidFailure'),
  [ExitReason.EnqcmdsPasidFailure]: unexpected('EnqcmdsPasidFailure'),
  [ExitReason.BusLock]: unexpected('BusLock'),
  [ExitReason.InstructionTimeout]: unexpected('InstructionTimeout'),
  [ExitReason.Seamcall]: unexpected('Seamcall'),
  [ExitReason.Tdcall]: unexpected('Tdcall'),
  [ExitReason.Rdmsrlist]: unexpected('Rdmsrlist'),
  [ExitReason.Wrmsrlist]: unexpected('Wrmsrlist'),
  [ExitReason.Urdmsr]: unexpected('Urdmsr'),
  [ExitReason.Uwrmsr]: unexpected('Uwrmsr'),
  [ExitReason.RdmsrImmediate]: unexpected('RdmsrImmediate'),
  [ExitReason.WrmsrnsImmediate]: unexpected('WrmsrnsImmediate'),
} satisfies Record<ExitReason, (vmx: Vmx) => Exit>;
