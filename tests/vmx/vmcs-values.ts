/** A VMCS that is nothing but values: rules of VM entry are asked about it without a processor around. */
import type { LinearAddressWidth } from '../../cpu/canonical';
import type { VmxCapabilities, VmxProfile } from '../../vmx/capabilities';
import { FULL_VMX_PROFILE } from '../../vmx/capabilities';
import { EntryControl, ExitControl, Secondary } from '../../vmx/controls';
import { violations, type EntryState } from '../../vmx/entry/check';
import { CHECK_GROUPS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { VMCS_REVISION } from '../../vmx/vmcs/layout';
import { BASELINE, ENTRY, EXIT, PRIMARY, VMCS_A, VMCS_B, VMXON_REGION, machine } from './bench';

export type Patch = Partial<Record<FieldName, bigint | number>>;

/** Every control may be set: for rules about controls that the model does not offer. */
export const EVERYTHING: VmxProfile = {
  ...FULL_VMX_PROFILE,
  pinBased: 0xff,
  secondary: 0xffff_ffff,
  primary: 0xffff_ffff,
  exit: 0xffff_ffff,
  entry: 0xffff_ffff,
};

const capabilities = new Map<VmxProfile, VmxCapabilities>();
function capabilitiesOf(profile: VmxProfile): VmxCapabilities {
  let known = capabilities.get(profile);
  if (known === undefined) capabilities.set(profile, (known = machine({ profile }).vmx.capabilities));
  return known;
}

export interface Surroundings {
  readonly profile?: VmxProfile;
  readonly longMode?: boolean;
  readonly linearAddressWidth?: LinearAddressWidth;
  /** Activity states that VM entry may establish, a bit for each. */
  readonly activityStates?: number;
  /** 32-bit words of physical memory; what is not listed reads as 0. */
  readonly memory?: Readonly<Record<number, number>>;
}

export class VmcsValues implements EntryState {
  readonly capabilities: VmxCapabilities;
  readonly physicalAddressWidth = 46;
  /** SCE, LME, LMA, NXE. */
  readonly eferBits = 0xd01;
  readonly linearAddressWidth: LinearAddressWidth;
  readonly longMode: boolean;
  readonly vmcsPointer = VMCS_A;
  /** Fields that were looked at so far. */
  readonly seen = new Set<FieldName>();
  private readonly memory: Readonly<Record<number, number>>;

  constructor(
    private readonly fields: Patch,
    { profile = FULL_VMX_PROFILE, longMode = true, linearAddressWidth = 48, activityStates, memory = {} }: Surroundings = {},
  ) {
    this.capabilities = capabilitiesOf(profile);
    if (activityStates !== undefined) this.capabilities = { ...this.capabilities, activityStates };
    this.longMode = longMode;
    this.linearAddressWidth = linearAddressWidth;
    this.memory = { [VMXON_REGION]: VMCS_REVISION, [VMCS_A]: VMCS_REVISION, [VMCS_B]: VMCS_REVISION, ...memory };
  }

  read(field: FieldName): bigint {
    this.seen.add(field);
    return BigInt.asUintN(64, BigInt(this.fields[field] ?? 0));
  }
  low(field: FieldName): number {
    return Number(this.read(field) & 0xffff_ffffn);
  }
  high(field: FieldName): number {
    return Number(this.read(field) >> 32n);
  }
  memory32(physicalAddress: number): number {
    return this.memory[physicalAddress] ?? 0;
  }
}

/** The valid VMCS of the bench with some fields changed. */
export const baselineWith = (patch: Patch, surroundings?: Surroundings): VmcsValues => new VmcsValues({ ...BASELINE, ...patch }, surroundings);

/** Ids of the broken rules. */
export const brokenRules = (s: EntryState): string[] => CHECK_GROUPS.flatMap((group) => violations(group.checks, s)).map((v) => v.check.id);

// ---- kinds of guests and hosts, each of them valid ----

export const secondary = (bits: number): number => (Secondary.ENABLE_EPT | Secondary.ENABLE_VPID | bits) >>> 0;
export const primary = (bits: number): number => (PRIMARY | bits) >>> 0;
export const inject = (type: number, vector: number, more = 0): number => (0x8000_0000 | (type << 8) | vector | more) >>> 0;

export const LEGACY: Patch = {
  VM_ENTRY_CONTROLS: ENTRY & ~EntryControl.IA32E_MODE_GUEST,
  GUEST_CS_ACCESS_RIGHTS: 0xc09b,
  GUEST_CR4: 0x2000,
  GUEST_CR0: 0x8001_0033,
};
export const PAE: Patch = { ...LEGACY, GUEST_CR4: 0x2020 };
export const V86: Patch = {
  ...LEGACY,
  GUEST_RFLAGS: 0x2_0002,
  ...Object.fromEntries(
    (['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const).flatMap((r) => [
      [`GUEST_${r}_BASE`, Number(BASELINE[`GUEST_${r}_SELECTOR`]) << 4],
      [`GUEST_${r}_LIMIT`, 0xffff],
      [`GUEST_${r}_ACCESS_RIGHTS`, 0xf3],
    ]),
  ),
};
export const UNRESTRICTED_REAL: Patch = {
  ...LEGACY,
  SECONDARY_PROCESSOR_BASED_CONTROLS: secondary(Secondary.UNRESTRICTED_GUEST),
  GUEST_CR0: 0x30,
  GUEST_CS_ACCESS_RIGHTS: 0x9b,
  GUEST_CS_LIMIT: 0xffff,
};
export const USABLE_LDTR: Patch = { GUEST_LDTR_SELECTOR: 0x20, GUEST_LDTR_ACCESS_RIGHTS: 0x82, GUEST_LDTR_LIMIT: 0xff };
/** With `longMode: false`. */
export const HOST32: Patch = { VM_EXIT_CONTROLS: EXIT & ~ExitControl.HOST_ADDRESS_SPACE_SIZE, ...LEGACY };
