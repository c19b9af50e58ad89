/**
 * Which fields the VMCS of a processor has: a field that only serves a control exists only where the control may be 1
 * (SDM Appendix B, the notes under its tables). VMREAD and VMWRITE of the others end with error 12.
 */
import { EntryControl, ExitControl, PinBased, Primary, Secondary } from '../controls';
import type { FieldName } from './fields';

interface Allowed1 {
  readonly allowed1: number;
}
interface Words {
  readonly pinBased: Allowed1;
  readonly primary: Allowed1;
  readonly secondary: Allowed1;
  readonly exit: Allowed1;
  readonly entry: Allowed1;
}

const NEVER = 0;

/** Needs at least one of the bits in the given words. */
type Need = Partial<Readonly<Record<keyof Words, number>>>;

const FRED: Need = { entry: EntryControl.LOAD_FRED_STATE };
const CET_GUEST: Need = { entry: EntryControl.LOAD_CET_STATE };
const CET_HOST: Need = { exit: ExitControl.LOAD_CET_STATE };
const POSTED: Need = { pinBased: PinBased.PROCESS_POSTED_INTERRUPTS };
const VIRTUAL_INTERRUPTS: Need = { secondary: Secondary.VIRTUAL_INTERRUPT_DELIVERY };
const PML: Need = { secondary: Secondary.ENABLE_PML };
const EPT: Need = { secondary: Secondary.ENABLE_EPT };
const TERTIARY: Need = { primary: Primary.ACTIVATE_TERTIARY_CONTROLS };
const SECONDARY_EXIT: Need = { exit: ExitControl.ACTIVATE_SECONDARY_CONTROLS };
const PAUSE_LOOP: Need = { secondary: Secondary.PAUSE_LOOP_EXITING };
const PASID: Need = { secondary: Secondary.ENABLE_PASID_TRANSLATION };
const SPEC_CTRL: Need = { entry: EntryControl.LOAD_IA32_SPEC_CTRL };
const SHADOWING: Need = { secondary: Secondary.VMCS_SHADOWING };
const PERF_LOAD: Need = { entry: EntryControl.LOAD_IA32_PERF_GLOBAL_CTRL, exit: ExitControl.SAVE_IA32_PERF_GLOBAL_CTRL };

/** A field that is not listed exists on every processor. */
const NEEDS: Partial<Readonly<Record<FieldName, Need>>> = {
  VPID: { secondary: Secondary.ENABLE_VPID },
  POSTED_INTERRUPT_NOTIFICATION_VECTOR: POSTED,
  EPTP_INDEX: { secondary: Secondary.EPT_VIOLATION_VE },
  HLAT_PREFIX_SIZE: TERTIARY,
  LAST_PID_POINTER_INDEX: TERTIARY,
  VIRTUAL_TIMER_VECTOR: TERTIARY,
  GUEST_INTERRUPT_STATUS: VIRTUAL_INTERRUPTS,
  PML_INDEX: PML,
  GUEST_UINV: { entry: EntryControl.LOAD_UINV, exit: ExitControl.CLEAR_UINV },
  MSR_BITMAP_ADDRESS: { primary: Primary.USE_MSR_BITMAPS },
  PML_ADDRESS: PML,
  VIRTUAL_APIC_ADDRESS: { primary: Primary.USE_TPR_SHADOW },
  APIC_ACCESS_ADDRESS: { secondary: Secondary.VIRTUALIZE_APIC_ACCESSES },
  POSTED_INTERRUPT_DESCRIPTOR_ADDRESS: POSTED,
  VM_FUNCTION_CONTROLS: { secondary: Secondary.ENABLE_VM_FUNCTIONS },
  EPT_POINTER: EPT,
  EOI_EXIT_BITMAP_0: VIRTUAL_INTERRUPTS,
  EOI_EXIT_BITMAP_1: VIRTUAL_INTERRUPTS,
  EOI_EXIT_BITMAP_2: VIRTUAL_INTERRUPTS,
  EOI_EXIT_BITMAP_3: VIRTUAL_INTERRUPTS,
  EPTP_LIST_ADDRESS: { secondary: Secondary.ENABLE_VM_FUNCTIONS },
  VMREAD_BITMAP_ADDRESS: SHADOWING,
  VMWRITE_BITMAP_ADDRESS: SHADOWING,
  VIRTUALIZATION_EXCEPTION_INFORMATION_ADDRESS: { secondary: Secondary.EPT_VIOLATION_VE },
  XSS_EXITING_BITMAP: { secondary: Secondary.ENABLE_XSAVES_XRSTORS },
  ENCLS_EXITING_BITMAP: { secondary: Secondary.ENABLE_ENCLS_EXITING },
  SPPT_POINTER: { secondary: Secondary.SUB_PAGE_WRITE_PERMISSIONS },
  TSC_MULTIPLIER: { secondary: Secondary.USE_TSC_SCALING },
  TERTIARY_PROCESSOR_BASED_CONTROLS: TERTIARY,
  ENCLV_EXITING_BITMAP: { secondary: Secondary.ENABLE_ENCLV_EXITING },
  LOW_PASID_DIRECTORY_ADDRESS: PASID,
  HIGH_PASID_DIRECTORY_ADDRESS: PASID,
  SHARED_EPT_POINTER: { secondary: NEVER },
  PCONFIG_EXITING_BITMAP: { secondary: Secondary.ENABLE_PCONFIG },
  HLAT_POINTER: TERTIARY,
  PID_POINTER_TABLE_ADDRESS: TERTIARY,
  SECONDARY_VM_EXIT_CONTROLS: SECONDARY_EXIT,
  IA32_SPEC_CTRL_MASK: TERTIARY,
  IA32_SPEC_CTRL_SHADOW: TERTIARY,
  GUEST_DEADLINE_SHADOW: TERTIARY,
  INJECTED_EVENT_DATA: FRED,
  GUEST_PHYSICAL_ADDRESS: EPT,
  MSR_DATA: TERTIARY,
  ORIGINAL_EVENT_DATA: FRED,
  GUEST_IA32_PAT: { entry: EntryControl.LOAD_IA32_PAT, exit: ExitControl.SAVE_IA32_PAT },
  GUEST_IA32_EFER: { entry: EntryControl.LOAD_IA32_EFER, exit: ExitControl.SAVE_IA32_EFER },
  GUEST_IA32_PERF_GLOBAL_CTRL: PERF_LOAD,
  GUEST_PDPTE0: EPT,
  GUEST_PDPTE1: EPT,
  GUEST_PDPTE2: EPT,
  GUEST_PDPTE3: EPT,
  GUEST_IA32_BNDCFGS: { entry: EntryControl.LOAD_IA32_BNDCFGS, exit: ExitControl.CLEAR_IA32_BNDCFGS },
  GUEST_IA32_RTIT_CTL: { entry: EntryControl.LOAD_IA32_RTIT_CTL, exit: ExitControl.CLEAR_IA32_RTIT_CTL },
  GUEST_IA32_LBR_CTL: { entry: EntryControl.LOAD_IA32_LBR_CTL, exit: ExitControl.CLEAR_IA32_LBR_CTL },
  GUEST_IA32_PKRS: { entry: EntryControl.LOAD_PKRS },
  GUEST_IA32_FRED_CONFIG: FRED,
  GUEST_FRED_RSP1: FRED,
  GUEST_FRED_RSP2: FRED,
  GUEST_FRED_RSP3: FRED,
  GUEST_FRED_STACK_LEVELS: FRED,
  GUEST_FRED_SSP1: FRED,
  GUEST_FRED_SSP2: FRED,
  GUEST_FRED_SSP3: FRED,
  GUEST_IA32_SPEC_CTRL: SPEC_CTRL,
  GUEST_DEADLINE: TERTIARY,
  HOST_IA32_PAT: { exit: ExitControl.LOAD_IA32_PAT },
  HOST_IA32_EFER: { exit: ExitControl.LOAD_IA32_EFER },
  HOST_IA32_PERF_GLOBAL_CTRL: { exit: ExitControl.LOAD_IA32_PERF_GLOBAL_CTRL },
  HOST_IA32_PKRS: { exit: ExitControl.LOAD_PKRS },
  HOST_IA32_FRED_CONFIG: SECONDARY_EXIT,
  HOST_FRED_RSP1: SECONDARY_EXIT,
  HOST_FRED_RSP2: SECONDARY_EXIT,
  HOST_FRED_RSP3: SECONDARY_EXIT,
  HOST_FRED_STACK_LEVELS: SECONDARY_EXIT,
  HOST_FRED_SSP1: SECONDARY_EXIT,
  HOST_FRED_SSP2: SECONDARY_EXIT,
  HOST_FRED_SSP3: SECONDARY_EXIT,
  HOST_IA32_SPEC_CTRL: SECONDARY_EXIT,
  TPR_THRESHOLD: { primary: Primary.USE_TPR_SHADOW },
  SECONDARY_PROCESSOR_BASED_CONTROLS: { primary: Primary.ACTIVATE_SECONDARY_CONTROLS },
  PLE_GAP: PAUSE_LOOP,
  PLE_WINDOW: PAUSE_LOOP,
  NOTIFY_WINDOW: { secondary: Secondary.INSTRUCTION_TIMEOUT },
  SEAM_GUEST_KEYID: { secondary: NEVER },
  PREEMPTION_TIMER_VALUE: { pinBased: PinBased.ACTIVATE_PREEMPTION_TIMER },
  GUEST_IA32_S_CET: CET_GUEST,
  GUEST_SSP: CET_GUEST,
  GUEST_IA32_INTERRUPT_SSP_TABLE_ADDR: CET_GUEST,
  HOST_IA32_S_CET: CET_HOST,
  HOST_SSP: CET_HOST,
  HOST_IA32_INTERRUPT_SSP_TABLE_ADDR: CET_HOST,
};

export function fieldExists(name: FieldName, words: Words): boolean {
  const need = NEEDS[name];
  if (need === undefined) return true;
  return (Object.keys(need) as (keyof Words)[]).some((word) => (words[word].allowed1 & (need[word] ?? 0)) !== 0);
}
