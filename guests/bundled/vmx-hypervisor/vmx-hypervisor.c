/*
 * A hypervisor of its own on the bare machine: small guests, one for each thing that makes a processor with VT-x leave a guest, and a line
 * for what the VMCS said afterwards. It needs EPT and unrestricted guests.
 */
#include "vm.h"

static int has_vmx(void) {
  if (!(cpuid(1, 0).ecx >> 5 & 1)) {
    print("This processor has no VMX (CPUID 1, ECX[5] = 0): run me on one that has, like --cpu intel-vmx --bare.\n");
    return 0;
  }
  if (!(rdmsr(VMX_BASIC) >> 55 & 1)) {
    print("This processor has no TRUE control MSRs (IA32_VMX_BASIC[55] = 0), which I use.\n");
    return 0;
  }
  u64 secondary = rdmsr(VMX_SECONDARY) >> 32;
  if ((secondary & (ENABLE_EPT | UNRESTRICTED_GUEST)) != (ENABLE_EPT | UNRESTRICTED_GUEST)) {
    print("This processor has no EPT or no unrestricted guests (IA32_VMX_PROCBASED_CTLS2), which my guests need.\n");
    return 0;
  }
  if (!vmx_open()) {
    print("VMX is switched off (IA32_FEATURE_CONTROL).\n");
    return 0;
  }
  return 1;
}

void main(const struct start_info *info) {
  machine_open(info);
  print("\nA machine-code hypervisor on VMX\n");
  if (!has_vmx()) return;
  /* Firmware may have left the timer running: nothing is to interrupt a guest before its turn (interrupts.c). */
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  wrmsr(EFER_MSR, rdmsr(EFER_MSR) | EFER_NXE);
  ept_open();
  show_outside();
  show_vmx_instructions();
  show_instructions();
  show_io();
  show_msr();
  show_ept();
  show_exceptions();
  show_injection();
  show_windows();
  show_control_registers();
  show_modes();
  show_failures();
  show_interrupts();
  show_apic();
  show_root_vmcall();
  print("\nEnd of the run\n");
}
