/* What is printed: a line a case, with the exit reason and what the manual defines for it. */
#include "vm.h"

static const char *const names[] = {
  [EXCEPTION_OR_NMI] = "exception or NMI", [EXTERNAL_INTERRUPT] = "external interrupt", [TRIPLE_FAULT] = "triple fault",
  [INTERRUPT_WINDOW] = "interrupt window", [NMI_WINDOW] = "NMI window", [TASK_SWITCH] = "task switch", [CPUID] = "CPUID", [HLT] = "HLT",
  [INVD] = "INVD", [INVLPG] = "INVLPG", [RDPMC] = "RDPMC", [RDTSC] = "RDTSC", [VMCALL] = "VMCALL", [VMCLEAR] = "VMCLEAR", [VMLAUNCH] = "VMLAUNCH",
  [VMPTRLD] = "VMPTRLD", [VMPTRST] = "VMPTRST", [VMREAD] = "VMREAD", [VMRESUME] = "VMRESUME", [VMWRITE] = "VMWRITE", [VMXOFF] = "VMXOFF",
  [VMXON] = "VMXON", [CR_ACCESS] = "CR access", [DR_ACCESS] = "MOV DR", [IO] = "I/O", [RDMSR] = "RDMSR", [WRMSR] = "WRMSR",
  [INVALID_GUEST_STATE] = "invalid guest state", [MWAIT] = "MWAIT", [MTF] = "monitor trap flag", [MONITOR] = "MONITOR", [PAUSE] = "PAUSE",
  [GDTR_IDTR] = "GDTR or IDTR", [LDTR_TR] = "LDTR or TR", [EPT_VIOLATION] = "EPT violation", [EPT_MISCONFIGURATION] = "EPT misconfiguration",
  [INVEPT] = "INVEPT", [RDTSCP] = "RDTSCP", [PREEMPTION] = "preemption timer", [INVVPID] = "INVVPID", [WBINVD] = "WBINVD", [XSETBV] = "XSETBV",
  [TPR_BELOW_THRESHOLD] = "TPR below threshold", [APIC_ACCESS] = "APIC access", [VIRTUALIZED_EOI] = "virtualized EOI", [APIC_WRITE] = "APIC write",
};

static void print_exit(u32 reason) {
  u32 basic = reason & 0xffff;
  print("%u %s", basic, basic < sizeof names / sizeof *names && names[basic] ? names[basic] : "?");
  if (reason & ENTRY_FAILURE) print(", entry failed");
}

/* The frame that an event pushed in 64-bit mode: [error code,] RIP, CS, RFLAGS, RSP, SS. */
static void print_delivery(int vector) {
  u64 top = (u64)guest_stack + sizeof guest_stack, rsp = vmread(GUEST_RSP);
  const u64 *frame = (const u64 *)rsp;
  print("vector %d delivered", vector);
  if (top - rsp == 48) print(" with error code %lx", *frame++);
  print(", return to +%lx", offset(frame[0]));
}

/* An offset into the program, unless the guest left it. */
static void print_place(u64 rip) {
  if (offset(rip) < PAGE) print(" at +%lx", offset(rip));
  else print(" at %lx", rip);
}

void begin(const char *name) {
  print("%-44s ", name);
  int vector = delivered();
  if (vector >= 0) {
    print_delivery(vector);
    return;
  }
  print_exit(exit_reason());
  if (!(exit_reason() & ENTRY_FAILURE)) print_place(vmread(GUEST_RIP));
}

void section(const char *title) { print("\n%s\n", title); }
