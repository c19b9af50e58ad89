/* VMX instructions in root operation: VMsucceed, VMfailInvalid, VMfailValid with its error number (SDM 3, "VM Instruction Error Numbers"). */
#include "vm.h"

static void show(const char *name, int result) {
  print("%-44s ", name);
  if (result == SUCCEED) print("VMsucceed\n");
  else if (result == FAIL_INVALID) print("VMfailInvalid\n");
  else print("VMfailValid(%lu)\n", vmread(INSTRUCTION_ERROR));
}

static void show_fault(const char *name) { print("%-44s %s\n", name, caught == UD ? "#UD" : caught == GP ? "#GP" : caught == NOT_CAUGHT ? "runs" : "?"); }

void show_outside(void) {
  u64 region = (u64)vmxon_region, cr4 = READ_CR(4);
  section("Outside of VMX operation");
  CATCH("vmxon %0", : : "m"(region) : "cc", "memory");
  show_fault("VMXON, CR4.VMXE = 0");
  WRITE_CR(4, cr4 | CR4_VMXE);
  CATCH("vmptrld %0", : : "m"(region) : "cc", "memory");
  show_fault("VMPTRLD");
  CATCH("vmread %%rax, %%rcx", : : "a"(0ul) : "rcx", "cc", "memory");
  show_fault("VMREAD");
  CATCH("vmcall", : : : "cc", "memory");
  show_fault("VMCALL");
  CATCH("vmxoff", : : : "cc", "memory");
  show_fault("VMXOFF");
  u64 wrong = region + 8;
  show("VMXON, region not aligned", VMX("vmxon %2", "m"(wrong)));
  *(u32 *)vmxon_region ^= 1;
  show("VMXON, another revision", VMX("vmxon %2", "m"(region)));
  *(u32 *)vmxon_region ^= 1;
  show("VMXON", VMX("vmxon %2", "m"(region)));
  CATCH("mov %0, %%cr4", : : "r"(cr4) : "memory");
  show_fault("MOV to CR4 that clears VMXE");
}

PROGRAM(vi_nop, "nop");

void show_vmx_instructions(void) {
  u64 vmxon = (u64)vmxon_region, vmcs = (u64)vmcs_region, spare = (u64)spare_region, unaligned = vmcs + 8, far = 1ul << 60, pointer = 0;
  struct { u64 first, second; } descriptor = { 0, 0 };
  section("VMX instructions without a current VMCS");
  show("VMLAUNCH", VMX("vmlaunch", "m"(vmcs)));
  show("VMREAD", VMX("vmread %%rax, %%rcx", "a"((u64)EXIT_REASON), "c"(0)));
  show("VMWRITE", VMX("vmwrite %%rcx, %%rax", "a"((u64)GUEST_RIP), "c"(0)));
  show("VMPTRLD, not aligned", VMX("vmptrld %2", "m"(unaligned)));
  show("VMPTRST", VMX("vmptrst %2", "m"(pointer)));
  print("%-44s %lx\n", "stored", pointer);

  section("VMX instructions with a current VMCS");
  create(vi_nop);
  show("VMXON in root operation", VMX("vmxon %2", "m"(vmxon)));
  show("VMCLEAR, not aligned", VMX("vmclear %2", "m"(unaligned)));
  show("VMCLEAR, beyond physical memory", VMX("vmclear %2", "m"(far)));
  show("VMCLEAR of the VMXON region", VMX("vmclear %2", "m"(vmxon)));
  show("VMPTRLD, not aligned", VMX("vmptrld %2", "m"(unaligned)));
  show("VMPTRLD of the VMXON region", VMX("vmptrld %2", "m"(vmxon)));
  *(u32 *)spare_region ^= 1;
  show("VMPTRLD, another revision", VMX("vmptrld %2", "m"(spare)));
  *(u32 *)spare_region ^= 1;
  show("VMREAD of no field", VMX("vmread %%rax, %%rcx", "a"(0x6fful), "c"(0)));
  show("VMWRITE to no field", VMX("vmwrite %%rcx, %%rax", "a"(0x6fful), "c"(0)));
  if (!(rdmsr(VMX_MISC) >> 29 & 1)) show("VMWRITE to a read-only field", VMX("vmwrite %%rcx, %%rax", "a"((u64)EXIT_REASON), "c"(0)));
  show("VMRESUME of a clear VMCS", VMX("vmresume", "m"(vmcs)));
  show("INVEPT of no type", VMX("invept %2, %3", "m"(descriptor), "r"(0ul)));
  show("INVEPT of all contexts", VMX("invept %2, %3", "m"(descriptor), "r"(2ul)));
  show("VMPTRST", VMX("vmptrst %2", "m"(pointer)));
  print("%-44s %s\n", "stored: the VMCS", pointer == vmcs ? "yes" : "no");
  enter();
  LINE("VMLAUNCH");
  show("VMLAUNCH of a launched VMCS", VMX("vmlaunch", "m"(vmcs)));
  show("VMCLEAR", VMX("vmclear %2", "m"(vmcs)));
  show("VMLAUNCH, cleared and no longer current", VMX("vmlaunch", "m"(vmcs)));
  show("VMPTRLD", VMX("vmptrld %2", "m"(vmcs)));
  show("VMRESUME, cleared", VMX("vmresume", "m"(vmcs)));
  CATCH("vmptrld %0", : : "m"(*(u64 *)0x800000000000) : "cc", "memory");
  show_fault("VMPTRLD, operand at no canonical address");
  show("VMCLEAR", VMX("vmclear %2", "m"(vmcs)));
}

/* Comes last: Bochs 2.7 stops here. */
void show_root_vmcall(void) {
  section("VMCALL in root operation");
  create(vi_nop);
  show("VMCALL", VMX("vmcall", "m"(registers)));
}
