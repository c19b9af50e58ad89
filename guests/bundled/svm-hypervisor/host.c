/* What SVM asks of the host itself: EFER.SVME, VM_HSAVE_PA, the operand of VMRUN. */
#include "vm.h"

static const char *outcome(void) {
  switch (caught) {
    case NOT_CAUGHT: return "runs";
    case UD: return "#UD";
    case GP: return "#GP";
    default: return "another exception";
  }
}

#define TRY(name, instruction, ...) \
  do { \
    CATCH(instruction, __VA_ARGS__); \
    print("%-44s %s\n", name, outcome()); \
  } while (0)

static void try_all(void) {
  TRY("CLGI", "clgi", : : : "memory");
  TRY("STGI", "stgi", : : : "memory");
  TRY("VMLOAD", "vmload %%rax", : : "a"(&host_vmcb) : "memory");
  TRY("VMSAVE", "vmsave %%rax", : : "a"(&host_vmcb) : "memory");
  TRY("INVLPGA", "invlpga %%rax, %%ecx", : : "a"(0), "c"(0) : "memory");
  TRY("VMMCALL", "vmmcall", : : : "memory");
}

void show_host(void) {
  u64 efer = rdmsr(EFER_MSR);
  section("EFER.SVME = 0");
  wrmsr(EFER_MSR, efer & ~EFER_SVME);
  TRY("VMRUN", "vmrun %%rax", : : "a"(&vmcb) : "memory");
  try_all();
  section("EFER.SVME = 1");
  wrmsr(EFER_MSR, efer | EFER_SVME);
  vmsave(&host_vmcb);
  try_all();
  TRY("VMRUN, rAX not aligned to a page", "vmrun %%rax", : : "a"((u64)&vmcb + 8) : "memory");
  TRY("VMLOAD, rAX not aligned to a page", "vmload %%rax", : : "a"((u64)&vmcb + 16) : "memory");
  TRY("VMSAVE, rAX not aligned to a page", "vmsave %%rax", : : "a"((u64)&vmcb + 0x800) : "memory");
  TRY("VMRUN, rAX beyond physical memory", "vmrun %%rax", : : "a"(1ul << 60) : "memory");
  u32 hsave = (u32)rdmsr(VM_HSAVE_PA);
  TRY("WRMSR VM_HSAVE_PA, not aligned", "wrmsr", : : "a"(hsave + 8), "c"(VM_HSAVE_PA), "d"(0) : "memory");
  wrmsr(VM_HSAVE_PA, hsave);
}
