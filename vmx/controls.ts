/** Control bits by name. SDM "VM-Execution Control Fields", "VM-Exit Control Fields", "VM-Entry Control Fields". */

/** "Pin-Based VM-Execution Controls". */
// prettier-ignore
export const PinBased = {
  EXTERNAL_INTERRUPT_EXITING:         1 << 0,
  NMI_EXITING:                        1 << 3,
  VIRTUAL_NMIS:                       1 << 5,
  ACTIVATE_PREEMPTION_TIMER:          1 << 6,
  PROCESS_POSTED_INTERRUPTS:          1 << 7,
} as const;

/** "Primary Processor-Based VM-Execution Controls". */
// prettier-ignore
export const Primary = {
  INTERRUPT_WINDOW_EXITING:           1 << 2,
  USE_TSC_OFFSETTING:                 1 << 3,
  HLT_EXITING:                        1 << 7,
  INVLPG_EXITING:                     1 << 9,
  MWAIT_EXITING:                      1 << 10,
  RDPMC_EXITING:                      1 << 11,
  RDTSC_EXITING:                      1 << 12,
  CR3_LOAD_EXITING:                   1 << 15,
  CR3_STORE_EXITING:                  1 << 16,
  ACTIVATE_TERTIARY_CONTROLS:         1 << 17,
  CR8_LOAD_EXITING:                   1 << 19,
  CR8_STORE_EXITING:                  1 << 20,
  USE_TPR_SHADOW:                     1 << 21,
  NMI_WINDOW_EXITING:                 1 << 22,
  MOV_DR_EXITING:                     1 << 23,
  UNCONDITIONAL_IO_EXITING:           1 << 24,
  USE_IO_BITMAPS:                     1 << 25,
  MONITOR_TRAP_FLAG:                  1 << 27,
  USE_MSR_BITMAPS:                    1 << 28,
  MONITOR_EXITING:                    1 << 29,
  PAUSE_EXITING:                      1 << 30,
  ACTIVATE_SECONDARY_CONTROLS:        0x8000_0000,
} as const;

/** "Secondary Processor-Based VM-Execution Controls". */
// prettier-ignore
export const Secondary = {
  VIRTUALIZE_APIC_ACCESSES:           1 << 0,
  ENABLE_EPT:                         1 << 1,
  DESCRIPTOR_TABLE_EXITING:           1 << 2,
  ENABLE_RDTSCP:                      1 << 3,
  VIRTUALIZE_X2APIC_MODE:             1 << 4,
  ENABLE_VPID:                        1 << 5,
  WBINVD_EXITING:                     1 << 6,
  UNRESTRICTED_GUEST:                 1 << 7,
  APIC_REGISTER_VIRTUALIZATION:       1 << 8,
  VIRTUAL_INTERRUPT_DELIVERY:         1 << 9,
  PAUSE_LOOP_EXITING:                 1 << 10,
  RDRAND_EXITING:                     1 << 11,
  ENABLE_INVPCID:                     1 << 12,
  ENABLE_VM_FUNCTIONS:                1 << 13,
  VMCS_SHADOWING:                     1 << 14,
  ENABLE_ENCLS_EXITING:               1 << 15,
  RDSEED_EXITING:                     1 << 16,
  ENABLE_PML:                         1 << 17,
  EPT_VIOLATION_VE:                   1 << 18,
  CONCEAL_VMX_FROM_PT:                1 << 19,
  ENABLE_XSAVES_XRSTORS:              1 << 20,
  ENABLE_PASID_TRANSLATION:           1 << 21,
  MODE_BASED_EXECUTE_CONTROL:         1 << 22,
  SUB_PAGE_WRITE_PERMISSIONS:         1 << 23,
  PT_USES_GUEST_PHYSICAL_ADDRESSES:   1 << 24,
  USE_TSC_SCALING:                    1 << 25,
  ENABLE_USER_WAIT_AND_PAUSE:         1 << 26,
  ENABLE_PCONFIG:                     1 << 27,
  ENABLE_ENCLV_EXITING:               1 << 28,
  VMM_BUS_LOCK_DETECTION:             1 << 30,
  INSTRUCTION_TIMEOUT:                0x8000_0000,
} as const;

/** "VM-Exit Controls" (primary). */
// prettier-ignore
export const ExitControl = {
  SAVE_DEBUG_CONTROLS:                1 << 2,
  HOST_ADDRESS_SPACE_SIZE:            1 << 9,
  LOAD_IA32_PERF_GLOBAL_CTRL:         1 << 12,
  ACKNOWLEDGE_INTERRUPT_ON_EXIT:      1 << 15,
  SAVE_IA32_PAT:                      1 << 18,
  LOAD_IA32_PAT:                      1 << 19,
  SAVE_IA32_EFER:                     1 << 20,
  LOAD_IA32_EFER:                     1 << 21,
  SAVE_PREEMPTION_TIMER_VALUE:        1 << 22,
  CLEAR_IA32_BNDCFGS:                 1 << 23,
  CONCEAL_VMX_FROM_PT:                1 << 24,
  CLEAR_IA32_RTIT_CTL:                1 << 25,
  CLEAR_IA32_LBR_CTL:                 1 << 26,
  CLEAR_UINV:                         1 << 27,
  LOAD_CET_STATE:                     1 << 28,
  LOAD_PKRS:                          1 << 29,
  SAVE_IA32_PERF_GLOBAL_CTRL:         1 << 30,
  ACTIVATE_SECONDARY_CONTROLS:        0x8000_0000,
} as const;

/** "VM-Entry Controls". */
// prettier-ignore
export const EntryControl = {
  LOAD_DEBUG_CONTROLS:                1 << 2,
  IA32E_MODE_GUEST:                   1 << 9,
  ENTRY_TO_SMM:                       1 << 10,
  DEACTIVATE_DUAL_MONITOR_TREATMENT:  1 << 11,
  LOAD_IA32_PERF_GLOBAL_CTRL:         1 << 13,
  LOAD_IA32_PAT:                      1 << 14,
  LOAD_IA32_EFER:                     1 << 15,
  LOAD_IA32_BNDCFGS:                  1 << 16,
  CONCEAL_VMX_FROM_PT:                1 << 17,
  LOAD_IA32_RTIT_CTL:                 1 << 18,
  LOAD_UINV:                          1 << 19,
  LOAD_CET_STATE:                     1 << 20,
  LOAD_IA32_LBR_CTL:                  1 << 21,
  LOAD_PKRS:                          1 << 22,
  LOAD_FRED_STATE:                    1 << 23,
  LOAD_IA32_SPEC_CTRL:                1 << 24,
} as const;

/** Bits of the guest interruptibility-state field. SDM "Guest Non-Register State". */
export const Interruptibility = { BLOCKING_BY_STI: 1, BLOCKING_BY_MOV_SS: 2, BLOCKING_BY_SMI: 4, BLOCKING_BY_NMI: 8, ENCLAVE: 16 } as const;

/** Bits of the guest pending-debug-exceptions field (B3-B0 in 3:0). */
export const PendingDebug = { B: 0xf, ENABLED_BREAKPOINT: 1 << 12, BS: 1 << 14, RTM: 1 << 16 } as const;

/** Format of interruption-information and IDT-vectoring-information fields: 7:0 vector, 10:8 type. */
export const Interruption = { VECTOR: 0xff, TYPE: 0x700, ERROR_CODE: 1 << 11, NMI_UNBLOCKING: 1 << 12, RESERVED: 0x7fff_f000, VALID: 0x8000_0000 } as const;
