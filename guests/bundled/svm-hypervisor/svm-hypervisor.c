/*
 * A hypervisor of its own on the bare machine: small guests, one for each thing that makes a processor with AMD-V leave a guest, and a
 * line for what the VMCB said afterwards. It needs nested paging; no next-RIP save and no decode assists.
 */
#include "vm.h"

static u8 host_save[PAGE] __attribute__((aligned(PAGE)));
#define SVM_DISABLED 0x10
#define NESTED_PAGING 1

static int has_svm(void) {
  if (cpuid(0x80000000, 0).eax < 0x8000000a || !(cpuid(0x80000001, 0).ecx >> 2 & 1)) {
    print("This processor has no SVM (CPUID 8000_0001h, ECX[2] = 0): run me on one that has, like --cpu amd-svm --bare.\n");
    return 0;
  }
  if (rdmsr(VM_CR) & SVM_DISABLED) {
    print("SVM is switched off (VM_CR.SVMDIS = 1).\n");
    return 0;
  }
  if (!(cpuid(0x8000000a, 0).edx & NESTED_PAGING)) {
    print("This processor has no nested paging (CPUID 8000_000Ah, EDX[0] = 0), which my guests need.\n");
    return 0;
  }
  return 1;
}

void main(const struct start_info *info) {
  machine_open(info);
  print("\nA machine-code hypervisor on SVM\n");
  if (!has_svm()) return;
  /* Firmware may have left the timer running: nothing is to interrupt a guest before its turn (interrupts.c). */
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  /* Nested tables have no-execute pages if the host's EFER says so. */
  wrmsr(EFER_MSR, rdmsr(EFER_MSR) | EFER_SVME | EFER_NXE | EFER_SCE);
  wrmsr(VM_HSAVE_PA, (u64)host_save);
  npt_open();
  show_host();
  show_instructions();
  show_io();
  show_msr();
  show_nested_page_faults();
  show_exceptions();
  show_injection();
  show_virtual_interrupts();
  show_control_registers();
  show_interrupts();
  show_state();
  show_modes();
  show_invalid();
  show_features();
  show_shutdown();
  show_virtual_wake();
  print("\nEnd of the run\n");
}
