/** Where each rule about VMX controls and host state draws its line. SDM "Checks on VMX Controls" and "Checks on Host-State Area". */
import { FULL_VMX_PROFILE } from '../../vmx/capabilities';
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../../vmx/controls';
import { ALL_CHECKS } from '../../vmx/entry/groups';
import type { FieldName } from '../../vmx/vmcs/fields';
import { ENTRY, EXIT, PIN, PRIMARY, VIRTUAL_APIC } from './bench';
import { anything, bit, canonical, cases, mayBe1, misjudged, mustBe1, physicalAddress, range, values, type Case } from './entry-cases';
import { EVERYTHING, HOST32, inject, primary, type Patch, type Surroundings } from './vmcs-values';

const ALL: Surroundings = { profile: EVERYTHING };
const NOTHING_ALIGNED = (1n << 64n) - 1n;

/** Secondary controls: only these; all but these. */
const only = (bits: number): Patch => ({ SECONDARY_PROCESSOR_BASED_CONTROLS: bits });
const allBut = (bits: number): Patch => ({ SECONDARY_PROCESSOR_BASED_CONTROLS: ~bits >>> 0 });
const INACTIVE: Patch = { PRIMARY_PROCESSOR_BASED_CONTROLS: PRIMARY & 0x7fff_ffff };

const primaryAddress = (control: number, field: FieldName): Case[] => [
  ...physicalAddress({ PRIMARY_PROCESSOR_BASED_CONTROLS: primary(control) }, field),
  ...values({ PRIMARY_PROCESSOR_BASED_CONTROLS: ~control >>> 0 }, field, [NOTHING_ALIGNED], [], ALL),
];
const secondaryAddress = (control: number, field: FieldName): Case[] => [
  ...physicalAddress(only(control), field, ALL),
  ...values(allBut(control), field, [NOTHING_ALIGNED], [], ALL),
  // Secondary controls that are not activated are all 0.
  ...values({ ...only(control), ...INACTIVE }, field, [NOTHING_ALIGNED], [], ALL),
];
const needsEpt = (control: number): Case[] => [
  ...cases(true, [only(control | Secondary.ENABLE_EPT), allBut(control | Secondary.ENABLE_EPT), { ...only(control), ...INACTIVE }], ALL),
  ...cases(false, [only(control), allBut(Secondary.ENABLE_EPT)], ALL),
];
const needsTprShadow = (control: number): Case[] => [
  ...cases(true, [{ ...only(control), PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW) }, allBut(control)], ALL),
  ...cases(false, [only(control), { ...only(control), PRIMARY_PROCESSOR_BASED_CONTROLS: ~Primary.USE_TPR_SHADOW >>> 0 }], ALL),
];

const VPID = { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_VPID };
const EPT = { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT };
const NO_EPT = allBut(Secondary.ENABLE_EPT);
const POSTED = { PIN_BASED_CONTROLS: PIN | PinBased.PROCESS_POSTED_INTERRUPTS };
const VMFUNC = { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_VM_FUNCTIONS | Secondary.ENABLE_EPT };
const TPR = { PRIMARY_PROCESSOR_BASED_CONTROLS: primary(Primary.USE_TPR_SHADOW) };

const LAST = 1n << 46n;
const msrArea = (count: FieldName, address: FieldName): Case[] => [
  ...anything({ [count]: 0 }, address),
  ...mayBe1({ [count]: 1 }, address, 0, range(4, 45)),
  ...values({ [count]: 1 }, address, [0, 16, LAST - 16n], [LAST, LAST - 8n]),
  ...values({ [count]: 2 }, address, [LAST - 32n], [LAST - 16n]),
  ...values({ [count]: 512 }, address, [LAST - 8192n], [LAST - 8176n]),
];

const injected = (field: FieldName, type: number, vector: number, valid: readonly number[], invalid: readonly number[], more = 0): Case[] =>
  values({ ENTRY_INTERRUPTION_INFORMATION: inject(type, vector, more) }, field, valid, invalid);
/** The interruption-information field itself. */
const information = (valid: readonly number[], invalid: readonly number[], given: Patch = {}, surroundings?: Surroundings): Case[] =>
  values(given, 'ENTRY_INTERRUPTION_INFORMATION', valid, invalid, surroundings);
const WITH_CODE = 1 << 11;
const HAVE_CODE = [8, 10, 11, 12, 13, 14, 17];
const UNRESTRICTED = { SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.ENABLE_EPT | Secondary.UNRESTRICTED_GUEST };
const codeCases = (given: Patch, needed: readonly number[]): Case[] =>
  range(0, 31).flatMap((v) =>
    needed.includes(v) ? information([inject(3, v, WITH_CODE)], [inject(3, v)], given) : information([inject(3, v)], [inject(3, v, WITH_CODE)], given),
  );
const NO_MTF = { ...FULL_VMX_PROFILE, primary: (FULL_VMX_PROFILE.primary & ~Primary.MONITOR_TRAP_FLAG) >>> 0 };

const IN_HOST32: Surroundings = { longMode: false };
const LOAD_HOST_PAT = { VM_EXIT_CONTROLS: EXIT | ExitControl.LOAD_IA32_PAT };
const LOAD_HOST_EFER = { VM_EXIT_CONTROLS: EXIT | ExitControl.LOAD_IA32_EFER };
const HOST32_EFER = { ...HOST32, VM_EXIT_CONTROLS: Number(HOST32.VM_EXIT_CONTROLS) | ExitControl.LOAD_IA32_EFER };
const patBytes = (types: readonly number[]): bigint[] => range(0, 7).flatMap((byte) => types.map((t) => BigInt(t) << BigInt(8 * byte)));
const SIZE = ExitControl.HOST_ADDRESS_SPACE_SIZE;

const RULES: Record<string, readonly Case[]> = {
  // Which bits may be set is what the capability MSRs of this model say: capabilities.test.ts.
  'control.pin.allowed': [...mayBe1({}, 'PIN_BASED_CONTROLS', PIN, range(0, 7), 32), ...mustBe1({}, 'PIN_BASED_CONTROLS', [1, 2, 4], 0xffn)],
  'control.primary.allowed': [
    ...mayBe1({}, 'PRIMARY_PROCESSOR_BASED_CONTROLS', 0x0400_6172, [...range(1, 16), ...range(19, 31)], 32),
    ...mustBe1({}, 'PRIMARY_PROCESSOR_BASED_CONTROLS', [1, 4, 5, 6, 8, 13, 14, 26, 0, 17, 18], 0xfff9_fffen).filter(
      (c) => Number(c.patch.PRIMARY_PROCESSOR_BASED_CONTROLS) !== 0xfff9_fffe,
    ),
  ],
  'control.secondary.allowed': [
    ...values({}, 'SECONDARY_PROCESSOR_BASED_CONTROLS', [...range(0, 9), 12].map(bit), [10, 13, 14, 15, 17, 18, 19, ...range(21, 31)].map(bit)),
    ...anything(INACTIVE, 'SECONDARY_PROCESSOR_BASED_CONTROLS', undefined, range(0, 31).map(bit)),
  ],
  'control.cr3-target-count': values({}, 'CR3_TARGET_COUNT', [0, 1, 4], [5, 256, 0xffff_ffff]),
  'control.io-bitmap-a': primaryAddress(Primary.USE_IO_BITMAPS, 'IO_BITMAP_A_ADDRESS'),
  'control.io-bitmap-b': primaryAddress(Primary.USE_IO_BITMAPS, 'IO_BITMAP_B_ADDRESS'),
  'control.msr-bitmap': primaryAddress(Primary.USE_MSR_BITMAPS, 'MSR_BITMAP_ADDRESS'),
  'control.virtual-apic-address': primaryAddress(Primary.USE_TPR_SHADOW, 'VIRTUAL_APIC_ADDRESS'),
  'control.tpr-threshold.reserved': [
    ...values(TPR, 'TPR_THRESHOLD', [0, 15], [16, 0x8000_0000]),
    ...values({}, 'TPR_THRESHOLD', [16], []),
    ...values({ ...TPR, ...only(Secondary.VIRTUAL_INTERRUPT_DELIVERY) }, 'TPR_THRESHOLD', [16], [], ALL),
    ...values({ ...TPR, ...allBut(Secondary.VIRTUAL_INTERRUPT_DELIVERY) }, 'TPR_THRESHOLD', [15], [16], ALL),
  ],
  'control.tpr-threshold.vtpr': [
    ...[0, 4, 15].flatMap((tpr) =>
      values({ ...TPR, VIRTUAL_APIC_ADDRESS: VIRTUAL_APIC }, 'TPR_THRESHOLD', range(0, tpr), range(tpr + 1, 15), {
        memory: { [VIRTUAL_APIC + 0x80]: 0xabcd_ef0f | (tpr << 4), [VIRTUAL_APIC + 0x81]: 0xff },
      }),
    ),
    // The page may lie beyond 4 GBytes.
    ...values({ ...TPR, VIRTUAL_APIC_ADDRESS: 0x1_0000_a000n }, 'TPR_THRESHOLD', [3], [4], { memory: { [0x1_0000_a080]: 0x30, [0xa080]: 0xf0 } }),
    ...values({}, 'TPR_THRESHOLD', [15], []),
    ...[Secondary.VIRTUALIZE_APIC_ACCESSES, Secondary.VIRTUAL_INTERRUPT_DELIVERY].flatMap((control) =>
      values({ ...TPR, ...only(control) }, 'TPR_THRESHOLD', [15], [], ALL),
    ),
    ...values({ ...TPR, ...allBut(Secondary.VIRTUALIZE_APIC_ACCESSES | Secondary.VIRTUAL_INTERRUPT_DELIVERY) }, 'TPR_THRESHOLD', [0], [1], ALL),
    // Bits 31:4 are the business of another rule.
    ...values(TPR, 'TPR_THRESHOLD', [16], []),
  ],
  'control.virtual-nmis.need-nmi-exiting': values({}, 'PIN_BASED_CONTROLS', [PIN, PIN | 0x08, PIN | 0x28, 0xdf], [PIN | 0x20, 0xf7]),
  'control.nmi-window.needs-virtual-nmis': [
    ...values({ PIN_BASED_CONTROLS: 0xdf }, 'PRIMARY_PROCESSOR_BASED_CONTROLS', [PRIMARY, 0xffbf_ffff], [primary(1 << 22)]),
    ...values({ PIN_BASED_CONTROLS: PIN | 0x20 }, 'PRIMARY_PROCESSOR_BASED_CONTROLS', [PRIMARY, primary(1 << 22)], []),
  ],
  'control.apic-access-address': secondaryAddress(Secondary.VIRTUALIZE_APIC_ACCESSES, 'APIC_ACCESS_ADDRESS'),
  'control.x2apic.needs-tpr-shadow': needsTprShadow(Secondary.VIRTUALIZE_X2APIC_MODE),
  'control.apic-registers.need-tpr-shadow': needsTprShadow(Secondary.APIC_REGISTER_VIRTUALIZATION),
  'control.virtual-interrupts.need-tpr-shadow': needsTprShadow(Secondary.VIRTUAL_INTERRUPT_DELIVERY),
  'control.x2apic.excludes-apic-accesses': [
    ...cases(true, [only(0), only(0x01), only(0x10), allBut(0x10), allBut(0x01)], ALL),
    ...cases(false, [only(0x11), only(0xffff_ffff)], ALL),
  ],
  'control.virtual-interrupts.need-external-exiting': [
    ...values(only(1 << 9), 'PIN_BASED_CONTROLS', [PIN | 1], [PIN, 0xfe], ALL),
    ...values(allBut(1 << 9), 'PIN_BASED_CONTROLS', [PIN], [], ALL),
  ],
  'control.posted.needs-virtual-interrupts': [
    ...cases(
      true,
      [
        { ...POSTED, ...only(1 << 9), VM_EXIT_CONTROLS: EXIT | (1 << 15) },
        { ...only(0), PIN_BASED_CONTROLS: 0x7f },
      ],
      ALL,
    ),
    ...cases(
      false,
      [
        { ...POSTED, ...only(1 << 9), VM_EXIT_CONTROLS: ~(1 << 15) >>> 0 },
        { ...POSTED, ...allBut(1 << 9), VM_EXIT_CONTROLS: EXIT | (1 << 15) },
      ],
      ALL,
    ),
  ],
  'control.posted.vector': [
    ...values(POSTED, 'POSTED_INTERRUPT_NOTIFICATION_VECTOR', [0, 255], [256, 0x8000], ALL),
    ...anything({ PIN_BASED_CONTROLS: 0x7f }, 'POSTED_INTERRUPT_NOTIFICATION_VECTOR', ALL),
  ],
  'control.posted.descriptor': [
    ...physicalAddress(POSTED, 'POSTED_INTERRUPT_DESCRIPTOR_ADDRESS', ALL, 6),
    ...anything({ PIN_BASED_CONTROLS: 0x7f }, 'POSTED_INTERRUPT_DESCRIPTOR_ADDRESS', ALL),
  ],
  'control.vpid-not-zero': [...values(VPID, 'VPID', [1, 0x8000, 0xffff], [0]), ...values(allBut(Secondary.ENABLE_VPID), 'VPID', [0], [], ALL)],
  'control.eptp.memory-type': [
    ...values(
      EPT,
      'EPT_POINTER',
      [0x4018, 0x401e],
      [1, 2, 3, 4, 5, 7].map((t) => 0x4018 | t),
    ),
    ...anything(NO_EPT, 'EPT_POINTER', ALL),
  ],
  'control.eptp.walk-length': [
    ...values(
      EPT,
      'EPT_POINTER',
      [0x401e],
      [0, 1, 2, 4, 5, 6, 7].map((n) => 0x4006 | (n << 3)),
    ),
    ...anything(NO_EPT, 'EPT_POINTER', ALL),
  ],
  'control.eptp.accessed-dirty': [
    ...values(EPT, 'EPT_POINTER', [0x405e], []),
    ...values(EPT, 'EPT_POINTER', [0x401e, 0x4f9e], [0x405e], { profile: { ...FULL_VMX_PROFILE, ept: { ...FULL_VMX_PROFILE.ept, accessedDirty: false } } }),
    ...anything(NO_EPT, 'EPT_POINTER', { profile: { ...EVERYTHING, ept: { ...FULL_VMX_PROFILE.ept, accessedDirty: false } } }),
  ],
  'control.eptp.reserved': [...mayBe1(EPT, 'EPT_POINTER', 0x1e, [...range(0, 6), ...range(12, 45)]), ...anything(NO_EPT, 'EPT_POINTER', ALL)],
  'control.pml.needs-ept': needsEpt(Secondary.ENABLE_PML),
  'control.pml-address': secondaryAddress(Secondary.ENABLE_PML, 'PML_ADDRESS'),
  'control.unrestricted.needs-ept': needsEpt(Secondary.UNRESTRICTED_GUEST),
  'control.mode-based-execute.needs-ept': needsEpt(Secondary.MODE_BASED_EXECUTE_CONTROL),
  'control.sub-page.needs-ept': needsEpt(Secondary.SUB_PAGE_WRITE_PERMISSIONS),
  'control.sppt-pointer': secondaryAddress(Secondary.SUB_PAGE_WRITE_PERMISSIONS, 'SPPT_POINTER'),
  'control.pt-gpa.needs-ept': needsEpt(Secondary.PT_USES_GUEST_PHYSICAL_ADDRESSES),
  'control.vm-functions.reserved': [
    ...mayBe1(VMFUNC, 'VM_FUNCTION_CONTROLS', 0, [0], 64, ALL),
    ...values(VMFUNC, 'VM_FUNCTION_CONTROLS', [0], [3], ALL),
    ...anything(allBut(Secondary.ENABLE_VM_FUNCTIONS), 'VM_FUNCTION_CONTROLS', ALL),
  ],
  'control.eptp-switching': [
    ...physicalAddress({ ...VMFUNC, VM_FUNCTION_CONTROLS: 1 }, 'EPTP_LIST_ADDRESS', ALL),
    ...anything({ ...VMFUNC, VM_FUNCTION_CONTROLS: 2 }, 'EPTP_LIST_ADDRESS', ALL),
    ...anything({ ...allBut(Secondary.ENABLE_VM_FUNCTIONS), VM_FUNCTION_CONTROLS: 1 }, 'EPTP_LIST_ADDRESS', ALL),
    ...cases(false, [{ ...allBut(Secondary.ENABLE_EPT), VM_FUNCTION_CONTROLS: 1, EPTP_LIST_ADDRESS: 0x1000 }], ALL),
  ],
  'control.vmread-bitmap': secondaryAddress(Secondary.VMCS_SHADOWING, 'VMREAD_BITMAP_ADDRESS'),
  'control.vmwrite-bitmap': secondaryAddress(Secondary.VMCS_SHADOWING, 'VMWRITE_BITMAP_ADDRESS'),
  'control.ve-information': secondaryAddress(Secondary.EPT_VIOLATION_VE, 'VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS'),
  'control.tsc-multiplier': [
    ...values(only(Secondary.USE_TSC_SCALING), 'TSC_MULTIPLIER', [1, 1n << 32n, 1n << 63n], [0], ALL),
    ...values(allBut(Secondary.USE_TSC_SCALING), 'TSC_MULTIPLIER', [0], [], ALL),
  ],

  'control.exit.allowed': [
    ...mayBe1({}, 'VM_EXIT_CONTROLS', 0x0003_6dfb, [...range(0, 11), ...range(13, 22)], 32),
    ...mustBe1({}, 'VM_EXIT_CONTROLS', [0, 1, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14, 16, 17], 0x7f_efffn),
  ],
  'control.exit.save-timer-needs-timer': [
    ...values({ PIN_BASED_CONTROLS: PIN }, 'VM_EXIT_CONTROLS', [EXIT, ~(1 << 22) >>> 0], [EXIT | (1 << 22)]),
    ...values({ PIN_BASED_CONTROLS: PIN | 0x40 }, 'VM_EXIT_CONTROLS', [EXIT, EXIT | (1 << 22)], []),
    ...values({ PIN_BASED_CONTROLS: 0xbf }, 'VM_EXIT_CONTROLS', [], [EXIT | (1 << 22)]),
  ],
  'control.exit.msr-store-area': msrArea('EXIT_MSR_STORE_COUNT', 'EXIT_MSR_STORE_ADDRESS'),
  'control.exit.msr-load-area': msrArea('EXIT_MSR_LOAD_COUNT', 'EXIT_MSR_LOAD_ADDRESS'),
  'control.entry.allowed': [
    ...mayBe1({}, 'VM_ENTRY_CONTROLS', 0x11fb, [...range(0, 9), 12, 14, 15], 32),
    ...mustBe1({}, 'VM_ENTRY_CONTROLS', [0, 1, 3, 4, 5, 6, 7, 8, 12], 0xd3ffn).filter((c) => Number(c.patch.VM_ENTRY_CONTROLS) !== 0xd3ff),
  ],
  'control.entry.not-in-smm': values(
    {},
    'VM_ENTRY_CONTROLS',
    [ENTRY, ~0xc00 >>> 0],
    [EntryControl.ENTRY_TO_SMM, EntryControl.DEACTIVATE_DUAL_MONITOR_TREATMENT].map((c) => ENTRY | c),
    ALL,
  ),
  'control.entry.msr-load-area': msrArea('ENTRY_MSR_LOAD_COUNT', 'ENTRY_MSR_LOAD_ADDRESS'),

  'control.inject.type': [
    ...information(
      [0, 2, 3, 4, 5, 6, 7].map((t) => inject(t, 0)),
      [inject(1, 0), inject(1, 32)],
    ),
    ...information(
      [0, 2, 3, 4, 5, 6].map((t) => inject(t, 0)),
      [inject(7, 0)],
      {},
      { profile: NO_MTF },
    ),
    ...information([0x100, 0x700], [], {}, { profile: NO_MTF }),
  ],
  'control.inject.vector.nmi': information(
    [inject(2, 2), inject(3, 3), inject(0, 3), 0x203],
    [0, 1, 3, 0x82].map((v) => inject(2, v)),
  ),
  'control.inject.vector.exception': information([inject(3, 0), inject(3, 31), inject(0, 32), inject(4, 0x80), 0x3ff], [inject(3, 32), inject(3, 255)]),
  'control.inject.vector.other': information([inject(7, 0), inject(0, 32), inject(3, 1), 0x7ff], [inject(7, 1), inject(7, 0x80)]),
  'control.inject.error-code-valid': [
    ...codeCases({}, HAVE_CODE),
    ...codeCases({ ...UNRESTRICTED, GUEST_CR0: 0x8000_0031 }, HAVE_CODE),
    ...codeCases({ ...UNRESTRICTED, GUEST_CR0: 0x7fff_fffe }, []),
    // Without "unrestricted guest" CR0.PE cannot be 0: the rule takes it for 1.
    ...codeCases({ GUEST_CR0: 0 }, HAVE_CODE),
    ...[0, 2, 4, 5, 6, 7].flatMap((t) => information([inject(t, 13)], [inject(t, 13, WITH_CODE)])),
    ...information([inject(3, 32 + 13), 0x30d, 0xb06], [inject(3, 32 + 13, WITH_CODE)]),
  ],
  'control.inject.reserved': [...mayBe1({}, 'ENTRY_INTERRUPTION_INFORMATION', inject(0, 0), [...range(0, 11), 31], 32), ...information([0x7fff_ffff], [])],
  'control.inject.error-code': [
    ...injected('ENTRY_EXCEPTION_ERROR_CODE', 3, 13, [0, 0x8000, 0xffff], [0x1_0000, 0x8000_0000], WITH_CODE),
    ...injected('ENTRY_EXCEPTION_ERROR_CODE', 3, 6, [0x1_0000], []),
    ...values({ ENTRY_INTERRUPTION_INFORMATION: 0xb0d }, 'ENTRY_EXCEPTION_ERROR_CODE', [0x1_0000], []),
  ],
  'control.inject.instruction-length': [
    ...[4, 5, 6].flatMap((t) => injected('ENTRY_INSTRUCTION_LENGTH', t, 3, [0, 1, 15], [16, 0x8000_0000])),
    ...[0, 2, 3, 7].flatMap((t) => injected('ENTRY_INSTRUCTION_LENGTH', t, 3, [16], [])),
    ...values({ ENTRY_INTERRUPTION_INFORMATION: inject(4, 3) }, 'ENTRY_INSTRUCTION_LENGTH', [1, 15], [0, 16], {
      profile: { ...FULL_VMX_PROFILE, zeroLengthInjection: false },
    }),
    ...values({ ENTRY_INTERRUPTION_INFORMATION: 0x403 }, 'ENTRY_INSTRUCTION_LENGTH', [16], []),
  ],

  // PE, NE and PG (SDM "VMX-Fixed Bits in CR0"); VMXE.
  'host.cr0.fixed': [...mustBe1({}, 'HOST_CR0', [0, 5, 31]), ...mayBe1({}, 'HOST_CR0', 0x8000_0021, range(0, 31))],
  // Bits of optional features are the processor's to have; 15 and 63:26 nobody has.
  'host.cr4.fixed': values({}, 'HOST_CR4', [0x2000, 0x2620], [0, 0x620, ...[15, ...range(26, 63)].map((n) => bit(n) | 0x2000n)]),
  'host.cr4.cet-needs-wp': [
    ...values({ HOST_CR4: 0x80_2620 }, 'HOST_CR0', [0x8001_0033, 0x1_0000], [0x8000_0033, 0xfffe_ffff]),
    ...values({ HOST_CR4: 0xff7f_ffff }, 'HOST_CR0', [0x8000_0033], []),
  ],
  'host.cr3.width': mayBe1({}, 'HOST_CR3', 0, range(0, 45)),
  'host.sysenter-esp.canonical': canonical({}, 'HOST_IA32_SYSENTER_ESP'),
  'host.sysenter-eip.canonical': canonical({}, 'HOST_IA32_SYSENTER_EIP'),
  'host.pat': [
    ...values(LOAD_HOST_PAT, 'HOST_IA32_PAT', patBytes([0, 1, 4, 5, 6, 7]), patBytes([2, 3, 8, 9, 0x10, 0x80, 0xff])),
    ...values({ VM_EXIT_CONTROLS: ~ExitControl.LOAD_IA32_PAT >>> 0 }, 'HOST_IA32_PAT', [2], []),
  ],
  'host.efer.reserved': [
    ...mayBe1(LOAD_HOST_EFER, 'HOST_IA32_EFER', 0, [0, 8, 10, 11]),
    ...anything({ VM_EXIT_CONTROLS: ~ExitControl.LOAD_IA32_EFER >>> 0 }, 'HOST_IA32_EFER'),
  ],
  'host.efer.size': [
    ...values(LOAD_HOST_EFER, 'HOST_IA32_EFER', [0x500, 0xd01], [0, 0x100, 0x400, 0xfaff]),
    ...values(HOST32_EFER, 'HOST_IA32_EFER', [0, 0x801, 0xfaff], [0x100, 0x400, 0x500], IN_HOST32),
    ...anything({ VM_EXIT_CONTROLS: ~ExitControl.LOAD_IA32_EFER >>> 0 }, 'HOST_IA32_EFER'),
  ],
  ...Object.fromEntries(
    (['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'TR'] as const).map((r) => [
      `host.selector.rpl-ti-clear.${r.toLowerCase()}`,
      values({}, `HOST_${r}_SELECTOR`, [0, ...range(3, 15).map(bit)], [1, 2, 4, 0xffff]),
    ]),
  ),
  'host.selector.cs-not-null': values({}, 'HOST_CS_SELECTOR', [8, 0x8000], [0]),
  'host.selector.tr-not-null': values({}, 'HOST_TR_SELECTOR', [8, 0x8000], [0]),
  'host.selector.ss-not-null': [...values({}, 'HOST_SS_SELECTOR', [0, 8], []), ...values(HOST32, 'HOST_SS_SELECTOR', [8, 0x8000], [0], IN_HOST32)],
  'host.fs-base.canonical': canonical({}, 'HOST_FS_BASE'),
  'host.gs-base.canonical': canonical({}, 'HOST_GS_BASE'),
  'host.gdtr-base.canonical': canonical({}, 'HOST_GDTR_BASE'),
  'host.idtr-base.canonical': canonical({}, 'HOST_IDTR_BASE'),
  'host.tr-base.canonical': canonical({}, 'HOST_TR_BASE'),
  'host.size.outside-ia32e': [
    ...cases(true, [{ VM_EXIT_CONTROLS: ~SIZE >>> 0, VM_ENTRY_CONTROLS: ~0x200 >>> 0 }], IN_HOST32),
    ...cases(
      false,
      [
        { VM_EXIT_CONTROLS: SIZE, VM_ENTRY_CONTROLS: 0 },
        { VM_EXIT_CONTROLS: 0, VM_ENTRY_CONTROLS: 0x200 },
        { VM_EXIT_CONTROLS: SIZE, VM_ENTRY_CONTROLS: 0x200 },
      ],
      IN_HOST32,
    ),
    ...cases(true, [{ VM_EXIT_CONTROLS: SIZE, VM_ENTRY_CONTROLS: 0x200 }]),
  ],
  'host.size.in-ia32e': [...values({}, 'VM_EXIT_CONTROLS', [SIZE], [~SIZE >>> 0]), ...values({}, 'VM_EXIT_CONTROLS', [0], [], IN_HOST32)],
  'host.size32.no-ia32e-guest': [
    ...values({ VM_EXIT_CONTROLS: ~SIZE >>> 0 }, 'VM_ENTRY_CONTROLS', [~0x200 >>> 0], [0x200], IN_HOST32),
    ...values({ VM_EXIT_CONTROLS: SIZE }, 'VM_ENTRY_CONTROLS', [0x200], []),
  ],
  'host.size32.no-pcide': [...values(HOST32, 'HOST_CR4', [0xfffd_ffff], [bit(17)], IN_HOST32), ...values({}, 'HOST_CR4', [bit(17)], [])],
  'host.size32.rip': [...mayBe1(HOST32, 'HOST_RIP', 0, range(0, 31), 64, IN_HOST32), ...values({}, 'HOST_RIP', [1n << 32n], [])],
  'host.size64.pae': [...values({}, 'HOST_CR4', [bit(5)], [0xffff_ffdf]), ...values(HOST32, 'HOST_CR4', [0], [], IN_HOST32)],
  'host.size64.rip': [...canonical({}, 'HOST_RIP'), ...anything(HOST32, 'HOST_RIP', IN_HOST32)],
};

it('there are states for every rule', () => {
  expect(Object.keys(RULES).sort()).toEqual(
    ALL_CHECKS.map((c) => c.id)
      .filter((id) => !id.startsWith('guest.'))
      .sort(),
  );
});
it.each(Object.entries(RULES))('%s', (id, judged) => expect(misjudged(id, judged)).toEqual([]));
