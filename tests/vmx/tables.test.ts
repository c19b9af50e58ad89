/**
 * The tables of numbers, against numbers written down from the manual in another form: encodings by heading and index (Appendix B),
 * controls by bit position, exit reasons and errors by number. Compared with the headers of Linux and Bochs, too.
 */
import { EntryControl, ExitControl, Interruptibility, Interruption, PendingDebug, PinBased, Primary, Secondary } from '../../vmx/controls';
import { EntryFailure } from '../../vmx/entry/guest-state';
import { ExitReason, VM_ENTRY_FAILURE, exitReasonName } from '../../vmx/exit/reason';
import { CrAccess } from '../../vmx/exit/qualification';
import { VmInstructionError } from '../../vmx/instructions/result';
import { VmxMsr } from '../../vmx/capabilities';
import { FIELD_NAMES, FieldType, FieldWidth, VMCS, indexOf, isHighAccess, typeOf, widthOf } from '../../vmx/vmcs/fields';
import { accessBits } from '../../vmx/vmcs/layout';

/** SDM Appendix B: fields of one width and type by index; `-` where no index is assigned. */
const APPENDIX_B: readonly (readonly [width: number, type: number, names: string])[] = [
  [0, 0, 'VPID POSTED_INTERRUPT_NOTIFICATION_VECTOR EPTP_INDEX HLAT_PREFIX_SIZE LAST_PID_POINTER_INDEX VIRTUAL_TIMER_VECTOR'],
  [
    0,
    2,
    `GUEST_ES_SELECTOR GUEST_CS_SELECTOR GUEST_SS_SELECTOR GUEST_DS_SELECTOR GUEST_FS_SELECTOR GUEST_GS_SELECTOR GUEST_LDTR_SELECTOR
     GUEST_TR_SELECTOR GUEST_INTERRUPT_STATUS PML_INDEX GUEST_UINV`,
  ],
  [0, 3, 'HOST_ES_SELECTOR HOST_CS_SELECTOR HOST_SS_SELECTOR HOST_DS_SELECTOR HOST_FS_SELECTOR HOST_GS_SELECTOR HOST_TR_SELECTOR'],
  [
    1,
    0,
    `IO_BITMAP_A_ADDRESS IO_BITMAP_B_ADDRESS MSR_BITMAP_ADDRESS EXIT_MSR_STORE_ADDRESS EXIT_MSR_LOAD_ADDRESS ENTRY_MSR_LOAD_ADDRESS
     EXECUTIVE_VMCS_POINTER PML_ADDRESS TSC_OFFSET VIRTUAL_APIC_ADDRESS APIC_ACCESS_ADDRESS POSTED_INTERRUPT_DESCRIPTOR_ADDRESS
     VM_FUNCTION_CONTROLS EPT_POINTER EOI_EXIT_BITMAP_0 EOI_EXIT_BITMAP_1 EOI_EXIT_BITMAP_2 EOI_EXIT_BITMAP_3 EPTP_LIST_ADDRESS
     VMREAD_BITMAP_ADDRESS VMWRITE_BITMAP_ADDRESS VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS XSS_EXITING_BITMAP ENCLS_EXITING_BITMAP
     SPPT_POINTER TSC_MULTIPLIER TERTIARY_PROCESSOR_BASED_CONTROLS ENCLV_EXITING_BITMAP LOW_PASID_DIRECTORY_ADDRESS
     HIGH_PASID_DIRECTORY_ADDRESS SHARED_EPT_POINTER PCONFIG_EXITING_BITMAP HLAT_POINTER PID_POINTER_TABLE_ADDRESS
     SECONDARY_VM_EXIT_CONTROLS - - IA32_SPEC_CTRL_MASK IA32_SPEC_CTRL_SHADOW GUEST_DEADLINE_SHADOW - INJECTED_EVENT_DATA`,
  ],
  [1, 1, 'GUEST_PHYSICAL_ADDRESS MSR_DATA ORIGINAL_EVENT_DATA'],
  [
    1,
    2,
    `VMCS_LINK_POINTER GUEST_IA32_DEBUGCTL GUEST_IA32_PAT GUEST_IA32_EFER GUEST_IA32_PERF_GLOBAL_CTRL GUEST_PDPTE0 GUEST_PDPTE1
     GUEST_PDPTE2 GUEST_PDPTE3 GUEST_IA32_BNDCFGS GUEST_IA32_RTIT_CTL GUEST_IA32_LBR_CTL GUEST_IA32_PKRS GUEST_IA32_FRED_CONFIG
     GUEST_FRED_RSP1 GUEST_FRED_RSP2 GUEST_FRED_RSP3 GUEST_FRED_STACK_LEVELS GUEST_FRED_SSP1 GUEST_FRED_SSP2 GUEST_FRED_SSP3 - -
     GUEST_IA32_SPEC_CTRL GUEST_DEADLINE`,
  ],
  [
    1,
    3,
    `HOST_IA32_PAT HOST_IA32_EFER HOST_IA32_PERF_GLOBAL_CTRL HOST_IA32_PKRS HOST_IA32_FRED_CONFIG HOST_FRED_RSP1 HOST_FRED_RSP2
     HOST_FRED_RSP3 HOST_FRED_STACK_LEVELS HOST_FRED_SSP1 HOST_FRED_SSP2 HOST_FRED_SSP3 - HOST_IA32_SPEC_CTRL`,
  ],
  [
    2,
    0,
    `PIN_BASED_CONTROLS PRIMARY_PROCESSOR_BASED_CONTROLS EXCEPTION_BITMAP PAGE_FAULT_ERROR_CODE_MASK PAGE_FAULT_ERROR_CODE_MATCH
     CR3_TARGET_COUNT VM_EXIT_CONTROLS EXIT_MSR_STORE_COUNT EXIT_MSR_LOAD_COUNT VM_ENTRY_CONTROLS ENTRY_MSR_LOAD_COUNT
     ENTRY_INTERRUPTION_INFORMATION ENTRY_EXCEPTION_ERROR_CODE ENTRY_INSTRUCTION_LENGTH TPR_THRESHOLD
     SECONDARY_PROCESSOR_BASED_CONTROLS PLE_GAP PLE_WINDOW NOTIFY_WINDOW SEAM_GUEST_KEYID`,
  ],
  [
    2,
    1,
    `VM_INSTRUCTION_ERROR EXIT_REASON EXIT_INTERRUPTION_INFORMATION EXIT_INTERRUPTION_ERROR_CODE IDT_VECTORING_INFORMATION
     IDT_VECTORING_ERROR_CODE EXIT_INSTRUCTION_LENGTH EXIT_INSTRUCTION_INFORMATION`,
  ],
  [
    2,
    2,
    `GUEST_ES_LIMIT GUEST_CS_LIMIT GUEST_SS_LIMIT GUEST_DS_LIMIT GUEST_FS_LIMIT GUEST_GS_LIMIT GUEST_LDTR_LIMIT GUEST_TR_LIMIT
     GUEST_GDTR_LIMIT GUEST_IDTR_LIMIT GUEST_ES_ACCESS_RIGHTS GUEST_CS_ACCESS_RIGHTS GUEST_SS_ACCESS_RIGHTS GUEST_DS_ACCESS_RIGHTS
     GUEST_FS_ACCESS_RIGHTS GUEST_GS_ACCESS_RIGHTS GUEST_LDTR_ACCESS_RIGHTS GUEST_TR_ACCESS_RIGHTS GUEST_INTERRUPTIBILITY_STATE
     GUEST_ACTIVITY_STATE GUEST_SMBASE GUEST_IA32_SYSENTER_CS - PREEMPTION_TIMER_VALUE`,
  ],
  [2, 3, 'HOST_IA32_SYSENTER_CS'],
  [
    3,
    0,
    `CR0_GUEST_HOST_MASK CR4_GUEST_HOST_MASK CR0_READ_SHADOW CR4_READ_SHADOW CR3_TARGET_VALUE_0 CR3_TARGET_VALUE_1 CR3_TARGET_VALUE_2
     CR3_TARGET_VALUE_3`,
  ],
  [3, 1, 'EXIT_QUALIFICATION IO_RCX IO_RSI IO_RDI IO_RIP GUEST_LINEAR_ADDRESS'],
  [
    3,
    2,
    `GUEST_CR0 GUEST_CR3 GUEST_CR4 GUEST_ES_BASE GUEST_CS_BASE GUEST_SS_BASE GUEST_DS_BASE GUEST_FS_BASE GUEST_GS_BASE GUEST_LDTR_BASE
     GUEST_TR_BASE GUEST_GDTR_BASE GUEST_IDTR_BASE GUEST_DR7 GUEST_RSP GUEST_RIP GUEST_RFLAGS GUEST_PENDING_DEBUG_EXCEPTIONS
     GUEST_IA32_SYSENTER_ESP GUEST_IA32_SYSENTER_EIP GUEST_IA32_S_CET GUEST_SSP GUEST_IA32_INTERRUPT_SSP_TABLE_ADDR`,
  ],
  [
    3,
    3,
    `HOST_CR0 HOST_CR3 HOST_CR4 HOST_FS_BASE HOST_GS_BASE HOST_TR_BASE HOST_GDTR_BASE HOST_IDTR_BASE HOST_IA32_SYSENTER_ESP
     HOST_IA32_SYSENTER_EIP HOST_RSP HOST_RIP HOST_IA32_S_CET HOST_SSP HOST_IA32_INTERRUPT_SSP_TABLE_ADDR`,
  ],
];
const words = (text: string): string[] => text.trim().split(/\s+/);

describe('Appendix B, "Field Encoding in VMCS"', () => {
  const expected = APPENDIX_B.flatMap(([width, type, names]) =>
    words(names).flatMap((name, index) => (name === '-' ? [] : [{ name, width, type, index, encoding: (width << 13) | (type << 10) | (index << 1) }])),
  );
  it('gives every field its encoding, in the order of the appendix', () => {
    expect(Object.entries(VMCS)).toEqual(expected.map((f) => [f.name, f.encoding]));
    expect(FIELD_NAMES).toEqual(expected.map((f) => f.name));
    expect(FIELD_NAMES).toHaveLength(206);
  });
  it('splits an encoding into access type, index, type and width', () => {
    for (const { encoding, index, type, width } of expected) {
      expect([isHighAccess(encoding), isHighAccess(encoding | 1)]).toEqual([false, true]);
      expect([indexOf(encoding), typeOf(encoding), widthOf(encoding)]).toEqual([index, type, width]);
    }
    // Bits 9:1 whole.
    expect(indexOf(0x3fe)).toBe(511);
  });
  it('numbers widths and types', () => {
    expect([FieldWidth.Bits16, FieldWidth.Bits64, FieldWidth.Bits32, FieldWidth.Natural]).toEqual([0, 1, 2, 3]);
    expect([FieldType.Control, FieldType.ReadOnlyData, FieldType.GuestState, FieldType.HostState]).toEqual([0, 1, 2, 3]);
  });
  it('moves as many bits as the width says; 32 for the high half', () => {
    expect([0x0800, 0x4800, 0x2800, 0x2801, 0x6800].map(accessBits)).toEqual([16, 32, 64, 32, 64]);
  });
});

describe('control bits', () => {
  /** Bit numbers from the tables "Definitions of ... Controls". */
  const BITS: readonly (readonly [string, Readonly<Record<string, number>>, Readonly<Record<number, string>>])[] = [
    [
      'pin-based',
      PinBased,
      { 0: 'EXTERNAL_INTERRUPT_EXITING', 3: 'NMI_EXITING', 5: 'VIRTUAL_NMIS', 6: 'ACTIVATE_PREEMPTION_TIMER', 7: 'PROCESS_POSTED_INTERRUPTS' },
    ],
    [
      'primary processor-based',
      Primary,
      {
        2: 'INTERRUPT_WINDOW_EXITING',
        3: 'USE_TSC_OFFSETTING',
        7: 'HLT_EXITING',
        9: 'INVLPG_EXITING',
        10: 'MWAIT_EXITING',
        11: 'RDPMC_EXITING',
        12: 'RDTSC_EXITING',
        15: 'CR3_LOAD_EXITING',
        16: 'CR3_STORE_EXITING',
        17: 'ACTIVATE_TERTIARY_CONTROLS',
        19: 'CR8_LOAD_EXITING',
        20: 'CR8_STORE_EXITING',
        21: 'USE_TPR_SHADOW',
        22: 'NMI_WINDOW_EXITING',
        23: 'MOV_DR_EXITING',
        24: 'UNCONDITIONAL_IO_EXITING',
        25: 'USE_IO_BITMAPS',
        27: 'MONITOR_TRAP_FLAG',
        28: 'USE_MSR_BITMAPS',
        29: 'MONITOR_EXITING',
        30: 'PAUSE_EXITING',
        31: 'ACTIVATE_SECONDARY_CONTROLS',
      },
    ],
    [
      'secondary processor-based',
      Secondary,
      {
        0: 'VIRTUALIZE_APIC_ACCESSES',
        1: 'ENABLE_EPT',
        2: 'DESCRIPTOR_TABLE_EXITING',
        3: 'ENABLE_RDTSCP',
        4: 'VIRTUALIZE_X2APIC_MODE',
        5: 'ENABLE_VPID',
        6: 'WBINVD_EXITING',
        7: 'UNRESTRICTED_GUEST',
        8: 'APIC_REGISTER_VIRTUALIZATION',
        9: 'VIRTUAL_INTERRUPT_DELIVERY',
        10: 'PAUSE_LOOP_EXITING',
        11: 'RDRAND_EXITING',
        12: 'ENABLE_INVPCID',
        13: 'ENABLE_VM_FUNCTIONS',
        14: 'VMCS_SHADOWING',
        15: 'ENABLE_ENCLS_EXITING',
        16: 'RDSEED_EXITING',
        17: 'ENABLE_PML',
        18: 'EPT_VIOLATION_VE',
        19: 'CONCEAL_VMX_FROM_PT',
        20: 'ENABLE_XSAVES_XRSTORS',
        21: 'ENABLE_PASID_TRANSLATION',
        22: 'MODE_BASED_EXECUTE_CONTROL',
        23: 'SUB_PAGE_WRITE_PERMISSIONS',
        24: 'PT_USES_GUEST_PHYSICAL_ADDRESSES',
        25: 'USE_TSC_SCALING',
        26: 'ENABLE_USER_WAIT_AND_PAUSE',
        27: 'ENABLE_PCONFIG',
        28: 'ENABLE_ENCLV_EXITING',
        30: 'VMM_BUS_LOCK_DETECTION',
        31: 'INSTRUCTION_TIMEOUT',
      },
    ],
    [
      'VM-exit',
      ExitControl,
      {
        2: 'SAVE_DEBUG_CONTROLS',
        9: 'HOST_ADDRESS_SPACE_SIZE',
        12: 'LOAD_IA32_PERF_GLOBAL_CTRL',
        15: 'ACKNOWLEDGE_INTERRUPT_ON_EXIT',
        18: 'SAVE_IA32_PAT',
        19: 'LOAD_IA32_PAT',
        20: 'SAVE_IA32_EFER',
        21: 'LOAD_IA32_EFER',
        22: 'SAVE_PREEMPTION_TIMER_VALUE',
        23: 'CLEAR_IA32_BNDCFGS',
        24: 'CONCEAL_VMX_FROM_PT',
        25: 'CLEAR_IA32_RTIT_CTL',
        26: 'CLEAR_IA32_LBR_CTL',
        27: 'CLEAR_UINV',
        28: 'LOAD_CET_STATE',
        29: 'LOAD_PKRS',
        30: 'SAVE_IA32_PERF_GLOBAL_CTRL',
        31: 'ACTIVATE_SECONDARY_CONTROLS',
      },
    ],
    [
      'VM-entry',
      EntryControl,
      {
        2: 'LOAD_DEBUG_CONTROLS',
        9: 'IA32E_MODE_GUEST',
        10: 'ENTRY_TO_SMM',
        11: 'DEACTIVATE_DUAL_MONITOR_TREATMENT',
        13: 'LOAD_IA32_PERF_GLOBAL_CTRL',
        14: 'LOAD_IA32_PAT',
        15: 'LOAD_IA32_EFER',
        16: 'LOAD_IA32_BNDCFGS',
        17: 'CONCEAL_VMX_FROM_PT',
        18: 'LOAD_IA32_RTIT_CTL',
        19: 'LOAD_UINV',
        20: 'LOAD_CET_STATE',
        21: 'LOAD_IA32_LBR_CTL',
        22: 'LOAD_PKRS',
        23: 'LOAD_FRED_STATE',
        24: 'LOAD_IA32_SPEC_CTRL',
      },
    ],
  ];
  it.each(BITS)('%s', (_name, table, bits) => {
    expect(table).toEqual(Object.fromEntries(Object.entries(bits).map(([n, name]) => [name, 2 ** Number(n)])));
  });

  it('formats of guest state and event fields', () => {
    expect(Interruptibility).toEqual({ BLOCKING_BY_STI: 1, BLOCKING_BY_MOV_SS: 2, BLOCKING_BY_SMI: 4, BLOCKING_BY_NMI: 8, ENCLAVE: 16 });
    expect(PendingDebug).toEqual({ B: 0b1111, ENABLED_BREAKPOINT: 0x1000, BS: 0x4000, RTM: 0x1_0000 });
    // Vector 7:0, type 10:8, error code 11, NMI unblocking due to IRET 12, reserved 30:12, valid 31.
    expect(Interruption).toEqual({ VECTOR: 255, TYPE: 7 << 8, ERROR_CODE: 2048, NMI_UNBLOCKING: 4096, RESERVED: 2 ** 31 - 2 ** 12, VALID: 2 ** 31 });
    expect(EntryFailure).toEqual({ OTHER: 0, PDPTE: 2, NMI_INTO_STI_BLOCKING: 3, VMCS_LINK_POINTER: 4 });
    expect([CrAccess.MovTo, CrAccess.MovFrom, CrAccess.Clts, CrAccess.Lmsw]).toEqual([0, 1, 2, 3]);
  });
});

/** Names by number; `-` where none is assigned. */
const numbered = (text: string): (readonly [string, number])[] => words(text).flatMap((name, n) => (name === '-' ? [] : [[name, n] as const]));
const members = (table: Readonly<Record<string, string | number>>): (readonly [string, number])[] =>
  Object.entries(table).flatMap(([name, n]) => (typeof n === 'number' ? [[name, n] as const] : []));

describe('Appendix C, "VMX Basic Exit Reasons"', () => {
  const REASONS = numbered(`
    ExceptionOrNmi ExternalInterrupt TripleFault InitSignal StartUpIpi IoSmi OtherSmi InterruptWindow NmiWindow TaskSwitch
    Cpuid Getsec Hlt Invd Invlpg Rdpmc Rdtsc Rsm Vmcall Vmclear
    Vmlaunch Vmptrld Vmptrst Vmread Vmresume Vmwrite Vmxoff Vmxon ControlRegisterAccess MovDr
    IoInstruction Rdmsr Wrmsr EntryFailureGuestState EntryFailureMsrLoading - Mwait MonitorTrapFlag - Monitor
    Pause EntryFailureMachineCheck - TprBelowThreshold ApicAccess VirtualizedEoi GdtrOrIdtrAccess LdtrOrTrAccess EptViolation EptMisconfiguration
    Invept Rdtscp PreemptionTimerExpired Invvpid Wbinvd Xsetbv ApicWrite Rdrand Invpcid Vmfunc
    Encls Rdseed PageModificationLogFull Xsaves Xrstors Pconfig SppRelatedEvent Umwait Tpause Loadiwkey
    Enclv - EnqcmdPasidFailure EnqcmdsPasidFailure BusLock InstructionTimeout Seamcall Tdcall Rdmsrlist Wrmsrlist
    Urdmsr Uwrmsr - - RdmsrImmediate WrmsrnsImmediate`);
  it('numbers the reasons', () => expect(members(ExitReason)).toEqual(REASONS));
  it('bit 31 marks a VM-entry failure', () => expect(VM_ENTRY_FAILURE).toBe(2 ** 31));
  it('a number without a name is shown as a number', () => expect([10, 35].map(exitReasonName)).toEqual(['Cpuid', 'exit reason 35']));
});

it('"VM Instruction Error Numbers"', () => {
  expect(members(VmInstructionError)).toEqual(
    numbered(`- VmcallInRootOperation VmclearInvalidAddress VmclearVmxonPointer VmlaunchNonClearVmcs VmresumeNonLaunchedVmcs VmresumeAfterVmxoff
      EntryInvalidControlFields EntryInvalidHostState VmptrldInvalidAddress VmptrldVmxonPointer VmptrldWrongRevision UnsupportedComponent
      VmwriteReadOnlyComponent - VmxonInRootOperation EntryInvalidExecutiveVmcsPointer EntryExecutiveVmcsNotLaunched EntryExecutiveVmcsNotVmxon
      VmcallNonClearVmcs VmcallInvalidExitControls - VmcallWrongMsegRevision VmxoffUnderDualMonitor VmcallInvalidSmmFeatures
      EntryInvalidExecutiveControls EntryBlockedByMovSs - InvalidInvalidationOperand`),
  );
});

it('Appendix A, indices of the capability MSRs', () => {
  const [featureControl, ...capabilities] = Object.entries(VmxMsr);
  expect(featureControl).toEqual(['IA32_FEATURE_CONTROL', 0x3a]);
  expect(capabilities).toEqual(
    words(`IA32_VMX_BASIC IA32_VMX_PINBASED_CTLS IA32_VMX_PROCBASED_CTLS IA32_VMX_EXIT_CTLS IA32_VMX_ENTRY_CTLS IA32_VMX_MISC IA32_VMX_CR0_FIXED0
      IA32_VMX_CR0_FIXED1 IA32_VMX_CR4_FIXED0 IA32_VMX_CR4_FIXED1 IA32_VMX_VMCS_ENUM IA32_VMX_PROCBASED_CTLS2 IA32_VMX_EPT_VPID_CAP
      IA32_VMX_TRUE_PINBASED_CTLS IA32_VMX_TRUE_PROCBASED_CTLS IA32_VMX_TRUE_EXIT_CTLS IA32_VMX_TRUE_ENTRY_CTLS IA32_VMX_VMFUNC`).map((name, i) => [
      name,
      0x480 + i,
    ]),
  );
});
