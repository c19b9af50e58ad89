/* What is printed: a line a case, with the exit code and what the manual defines for it. */
#include "vm.h"

static const char *const names[] = {
  [INTR] = "INTR", [NMI] = "NMI", [SMI] = "SMI", [INIT] = "INIT", [VINTR] = "VINTR", [CR0_SEL_WRITE] = "CR0_SEL_WRITE",
  [IDTR_READ] = "IDTR_READ", [GDTR_READ] = "GDTR_READ", [LDTR_READ] = "LDTR_READ", [TR_READ] = "TR_READ",
  [IDTR_WRITE] = "IDTR_WRITE", [GDTR_WRITE] = "GDTR_WRITE", [LDTR_WRITE] = "LDTR_WRITE", [TR_WRITE] = "TR_WRITE",
  [RDTSC] = "RDTSC", [RDPMC] = "RDPMC", [PUSHF] = "PUSHF", [POPF] = "POPF", [CPUID] = "CPUID", [RSM] = "RSM", [IRET] = "IRET",
  [SWINT] = "SWINT", [INVD] = "INVD", [PAUSE] = "PAUSE", [HLT] = "HLT", [INVLPG] = "INVLPG", [INVLPGA] = "INVLPGA", [IOIO] = "IOIO",
  [MSR] = "MSR", [TASK_SWITCH] = "TASK_SWITCH", [FERR_FREEZE] = "FERR_FREEZE", [SHUTDOWN] = "SHUTDOWN",
  [VMRUN] = "VMRUN", [VMMCALL] = "VMMCALL", [VMLOAD] = "VMLOAD", [VMSAVE] = "VMSAVE", [STGI] = "STGI", [CLGI] = "CLGI",
  [SKINIT] = "SKINIT", [RDTSCP] = "RDTSCP", [ICEBP] = "ICEBP", [WBINVD] = "WBINVD", [MONITOR] = "MONITOR", [MWAIT] = "MWAIT",
  [MWAIT_CONDITIONAL] = "MWAIT_CONDITIONAL", [XSETBV] = "XSETBV",
};

static void print_exit(u32 code) {
  print("%03x ", code);
  if (code < DR_READ) print("CR%u %s", code % 16, code < CR_WRITE ? "read" : "write");
  else if (code < EXCEPTION) print("DR%u %s", code % 16, code < DR_WRITE ? "read" : "write");
  else if (code < INTR) print("exception %u", code - EXCEPTION);
  else if (code < sizeof names / sizeof *names && names[code]) print("%s", names[code]);
  else print("%s", code == NPF ? "NPF" : code == INVALID ? "INVALID" : "?");
}

/* The frame that an event pushed in 64-bit mode: [error code,] RIP, CS, RFLAGS, RSP, SS. */
static void print_delivery(int vector) {
  u64 top = (u64)guest_stack + sizeof guest_stack;
  const u64 *frame = (const u64 *)vmcb.rsp;
  int has_error = top - vmcb.rsp == 48;
  print("vector %d delivered", vector);
  if (has_error) print(" with error code %lx", *frame++);
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
  print_exit(exit_code());
  /* After a shutdown the saved state is undefined, after a double fault the saved rIP. */
  if (exit_code() != INVALID && exit_code() != SHUTDOWN && exit_code() != EXCEPTION + DF) print_place(vmcb.rip);
}

void section(const char *title) { print("\n%s\n", title); }
