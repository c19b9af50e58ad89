/**
 * What this processor's VMX can do, as the capability MSRs tell it. SDM Appendix A, "VMX Capability Reporting Facility".
 * A control stands here only if the model executes it; the rest is reserved and fails VM entry.
 */
import type { CpuProfile } from '../cpu/interfaces';
import type { EptCapabilities } from '../ept/format';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from './controls';
import { FIELD_NAMES, VMCS, indexOf } from './vmcs/fields';
import { VMCS_REGION_SIZE, VMCS_REVISION } from './vmcs/layout';
import { fieldExists } from './vmcs/support';

/** Which optional parts a model of processor has. Each word lists the control bits that software may set beyond the default1 bits. */
export interface VmxProfile {
  readonly pinBased: number;
  readonly primary: number;
  readonly secondary: number;
  readonly exit: number;
  readonly entry: number;
  /** IA32_VMX_MISC[29]: VMWRITE may write read-only fields too. */
  readonly vmwriteAnyField: boolean;
  /** IA32_VMX_MISC[30]: software events may be injected with instruction length 0. */
  readonly zeroLengthInjection: boolean;
  /** EPT: leaves of 1 GB (2 MB are always there), execute-only entries, accessed and dirty flags. Walks of five levels come with CR4.LA57. */
  readonly ept: Omit<EptCapabilities, 'fiveLevels'>;
}

const all = (table: Readonly<Record<string, number>>, names: readonly string[]): number => names.reduce((bits, name) => bits | table[name], 0) >>> 0;

/** Everything that this model executes. */
export const FULL_VMX_PROFILE: VmxProfile = {
  pinBased: all(PinBased, ['EXTERNAL_INTERRUPT_EXITING', 'NMI_EXITING', 'VIRTUAL_NMIS', 'ACTIVATE_PREEMPTION_TIMER', 'PROCESS_POSTED_INTERRUPTS']),
  primary: (all(Primary, Object.keys(Primary)) & ~Primary.ACTIVATE_TERTIARY_CONTROLS) >>> 0,
  // prettier-ignore
  secondary: all(Secondary, [
    'VIRTUALIZE_APIC_ACCESSES', 'VIRTUALIZE_X2APIC_MODE', 'APIC_REGISTER_VIRTUALIZATION', 'VIRTUAL_INTERRUPT_DELIVERY',
    'ENABLE_EPT', 'DESCRIPTOR_TABLE_EXITING', 'ENABLE_RDTSCP', 'ENABLE_VPID', 'WBINVD_EXITING', 'UNRESTRICTED_GUEST',
    'RDRAND_EXITING', 'ENABLE_INVPCID', 'RDSEED_EXITING', 'ENABLE_XSAVES_XRSTORS',
  ]),
  // prettier-ignore
  exit: all(ExitControl, [
    'SAVE_DEBUG_CONTROLS', 'HOST_ADDRESS_SPACE_SIZE', 'ACKNOWLEDGE_INTERRUPT_ON_EXIT', 'SAVE_IA32_PAT', 'LOAD_IA32_PAT',
    'SAVE_IA32_EFER', 'LOAD_IA32_EFER', 'SAVE_PREEMPTION_TIMER_VALUE',
  ]),
  entry: all(EntryControl, ['LOAD_DEBUG_CONTROLS', 'IA32E_MODE_GUEST', 'LOAD_IA32_PAT', 'LOAD_IA32_EFER']),
  vmwriteAnyField: false,
  zeroLengthInjection: true,
  ept: { pages1G: true, executeOnly: true, accessedDirty: true },
};

/** A first-generation part: no secondary controls, hence no EPT, VPID or unrestricted guest. For software that must cope without. */
export const FIRST_GENERATION_VMX_PROFILE: VmxProfile = {
  ...FULL_VMX_PROFILE,
  pinBased: all(PinBased, ['EXTERNAL_INTERRUPT_EXITING', 'NMI_EXITING', 'VIRTUAL_NMIS']),
  primary: (FULL_VMX_PROFILE.primary & ~(Primary.ACTIVATE_SECONDARY_CONTROLS | Primary.MONITOR_TRAP_FLAG)) >>> 0,
  secondary: 0,
  exit: all(ExitControl, ['SAVE_DEBUG_CONTROLS', 'HOST_ADDRESS_SPACE_SIZE', 'ACKNOWLEDGE_INTERRUPT_ON_EXIT']),
  entry: all(EntryControl, ['LOAD_DEBUG_CONTROLS', 'IA32E_MODE_GUEST']),
  zeroLengthInjection: false,
};

/** Indices of the MSRs. */
// prettier-ignore
export const VmxMsr = {
  IA32_FEATURE_CONTROL:             0x03a,
  IA32_VMX_BASIC:                   0x480,
  IA32_VMX_PINBASED_CTLS:           0x481,
  IA32_VMX_PROCBASED_CTLS:          0x482,
  IA32_VMX_EXIT_CTLS:               0x483,
  IA32_VMX_ENTRY_CTLS:              0x484,
  IA32_VMX_MISC:                    0x485,
  IA32_VMX_CR0_FIXED0:              0x486,
  IA32_VMX_CR0_FIXED1:              0x487,
  IA32_VMX_CR4_FIXED0:              0x488,
  IA32_VMX_CR4_FIXED1:              0x489,
  IA32_VMX_VMCS_ENUM:               0x48a,
  IA32_VMX_PROCBASED_CTLS2:         0x48b,
  IA32_VMX_EPT_VPID_CAP:            0x48c,
  IA32_VMX_TRUE_PINBASED_CTLS:      0x48d,
  IA32_VMX_TRUE_PROCBASED_CTLS:     0x48e,
  IA32_VMX_TRUE_EXIT_CTLS:          0x48f,
  IA32_VMX_TRUE_ENTRY_CTLS:         0x490,
  IA32_VMX_VMFUNC:                  0x491,
} as const;

/** "default1 class": bits that are 1 in the non-TRUE MSRs; TRUE_DEFAULT1 keeps those that must be 1 even so. */
const DEFAULT1 = { pinBased: 0x16, primary: 0x0401_e172, exit: 0x0003_6dff, entry: 0x0000_11ff } as const;
const TRUE_DEFAULT1 = { pinBased: 0x16, primary: 0x0400_6172, exit: 0x0003_6dfb, entry: 0x0000_11fb } as const;

const PREEMPTION_TIMER_SHIFT = 0;
const CR3_TARGETS = 4;

/** The settings a control word may have: a bit of allowed0 must be 1, a bit outside allowed1 must be 0. */
export interface Allowed {
  readonly allowed0: number;
  readonly allowed1: number;
}

export interface VmxCapabilities {
  readonly pinBased: Allowed;
  readonly primary: Allowed;
  readonly secondary: Allowed;
  readonly exit: Allowed;
  readonly entry: Allowed;
  readonly cr0Fixed0: number;
  readonly cr0Fixed1: number;
  readonly cr4Fixed0: number;
  readonly cr4Fixed1: number;
  readonly cr3Targets: number;
  readonly vmwriteAnyField: boolean;
  readonly zeroLengthInjection: boolean;
  /** Activity states that VM entry may establish, a bit for each value of the field. */
  readonly activityStates: number;
  readonly ept: EptCapabilities;
  /** fields[fieldNumber]: the VMCS has this field. */
  readonly fields: readonly boolean[];
  /** What RDMSR answers; absent: no such MSR. */
  readonly msrs: ReadonlyMap<number, bigint>;
}

/** Controls about an instruction make sense only where the instruction exists. */
function secondaryFor(cpu: CpuProfile, vmx: VmxProfile): number {
  let bits = vmx.secondary;
  const needs = (feature: string, control: number): void => {
    if (!cpu.has(feature)) bits &= ~control;
  };
  needs('rdtscp', Secondary.ENABLE_RDTSCP);
  needs('invpcid', Secondary.ENABLE_INVPCID);
  needs('rdrand', Secondary.RDRAND_EXITING);
  needs('rdseed', Secondary.RDSEED_EXITING);
  needs('xsaves', Secondary.ENABLE_XSAVES_XRSTORS);
  return bits >>> 0;
}

const msrOf = (allowed0: number, allowed1: number): bigint => BigInt(allowed0 >>> 0) | (BigInt(allowed1 >>> 0) << 32n);

/** @param cr4Fixed1 CR4 bits that the processor implements. */
export function vmxCapabilities(cpu: CpuProfile, vmx: VmxProfile, cr4Fixed1: number): VmxCapabilities {
  const word = (name: keyof typeof DEFAULT1): Allowed => ({ allowed0: TRUE_DEFAULT1[name], allowed1: (DEFAULT1[name] | vmx[name]) >>> 0 });
  const secondary: Allowed = { allowed0: 0, allowed1: secondaryFor(cpu, vmx) };
  const controls = { pinBased: word('pinBased'), primary: word('primary'), secondary, exit: word('exit'), entry: word('entry') };
  const fields = FIELD_NAMES.map((name) => fieldExists(name, controls));
  const highestIndex = FIELD_NAMES.reduce((highest, name, i) => (fields[i] ? Math.max(highest, indexOf(VMCS[name])) : highest), 0);

  const basic =
    BigInt(VMCS_REVISION) |
    (BigInt(VMCS_REGION_SIZE) << 32n) |
    (6n << 50n) /* write-back */ |
    (1n << 54n) /* INS/OUTS information */ |
    (1n << 55n); /* TRUE MSRs */
  const misc =
    PREEMPTION_TIMER_SHIFT |
    (1 << 5) /* exits store EFER.LMA */ |
    (1 << 6) /* HLT activity state */ |
    (CR3_TARGETS << 16) |
    (vmx.vmwriteAnyField ? 1 << 29 : 0) |
    (vmx.zeroLengthInjection ? 1 << 30 : 0);
  const hasEpt = (secondary.allowed1 & Secondary.ENABLE_EPT) !== 0;
  const hasVpid = (secondary.allowed1 & Secondary.ENABLE_VPID) !== 0;
  const ept: EptCapabilities = { ...vmx.ept, fiveLevels: cpu.has('la57') };
  let eptVpid = 0n;
  if (hasEpt) eptVpid |= (1n << 6n) | (1n << 8n) | (1n << 14n) | (1n << 16n) | (1n << 20n) | (1n << 22n) | (3n << 25n);
  if (hasEpt && vmx.ept.executeOnly) eptVpid |= 1n;
  if (hasEpt && vmx.ept.pages1G) eptVpid |= 1n << 17n;
  if (hasEpt && ept.fiveLevels) eptVpid |= 1n << 7n;
  if (hasEpt && vmx.ept.accessedDirty) eptVpid |= 1n << 21n;
  if (hasVpid) eptVpid |= (1n << 32n) | (15n << 40n);

  const msrs = new Map<number, bigint>([
    [VmxMsr.IA32_VMX_BASIC, basic],
    [VmxMsr.IA32_VMX_PINBASED_CTLS, msrOf(DEFAULT1.pinBased, controls.pinBased.allowed1)],
    [VmxMsr.IA32_VMX_PROCBASED_CTLS, msrOf(DEFAULT1.primary, controls.primary.allowed1)],
    [VmxMsr.IA32_VMX_EXIT_CTLS, msrOf(DEFAULT1.exit, controls.exit.allowed1)],
    [VmxMsr.IA32_VMX_ENTRY_CTLS, msrOf(DEFAULT1.entry, controls.entry.allowed1)],
    [VmxMsr.IA32_VMX_MISC, BigInt(misc >>> 0)],
    [VmxMsr.IA32_VMX_CR0_FIXED0, 0x8000_0021n],
    [VmxMsr.IA32_VMX_CR0_FIXED1, 0xffff_ffffn],
    [VmxMsr.IA32_VMX_CR4_FIXED0, 0x2000n],
    [VmxMsr.IA32_VMX_CR4_FIXED1, BigInt(cr4Fixed1)],
    [VmxMsr.IA32_VMX_VMCS_ENUM, BigInt(highestIndex << 1)],
    [VmxMsr.IA32_VMX_TRUE_PINBASED_CTLS, msrOf(controls.pinBased.allowed0, controls.pinBased.allowed1)],
    [VmxMsr.IA32_VMX_TRUE_PROCBASED_CTLS, msrOf(controls.primary.allowed0, controls.primary.allowed1)],
    [VmxMsr.IA32_VMX_TRUE_EXIT_CTLS, msrOf(controls.exit.allowed0, controls.exit.allowed1)],
    [VmxMsr.IA32_VMX_TRUE_ENTRY_CTLS, msrOf(controls.entry.allowed0, controls.entry.allowed1)],
  ]);
  // These exist only with what they describe; reading them otherwise is #GP.
  if ((controls.primary.allowed1 & Primary.ACTIVATE_SECONDARY_CONTROLS) !== 0) msrs.set(VmxMsr.IA32_VMX_PROCBASED_CTLS2, msrOf(0, secondary.allowed1));
  if (hasEpt || hasVpid) msrs.set(VmxMsr.IA32_VMX_EPT_VPID_CAP, eptVpid);
  if ((secondary.allowed1 & Secondary.ENABLE_VM_FUNCTIONS) !== 0) msrs.set(VmxMsr.IA32_VMX_VMFUNC, 0n);

  return {
    ...controls,
    cr0Fixed0: 0x8000_0021,
    cr0Fixed1: 0xffff_ffff,
    cr4Fixed0: 0x2000,
    cr4Fixed1,
    cr3Targets: CR3_TARGETS,
    vmwriteAnyField: vmx.vmwriteAnyField,
    zeroLengthInjection: vmx.zeroLengthInjection,
    activityStates: 0b0011,
    ept,
    fields,
    msrs,
  };
}
