/* Control and debug registers: masks, shadows, CR3 targets (SDM 3, "Exit Qualification for Control-Register Accesses"). */
#include "vm.h"

PROGRAM(cr0_ts, "mov %cr0, %rax\n or $8, %eax\n mov %rax, %cr0\n mov %cr0, %rbx");
PROGRAM(cr0_wp, "mov %cr0, %rax\n btr $16, %eax\n mov %rax, %cr0\n mov %cr0, %rbx");
PROGRAM(cr_clts, "clts\n mov %cr0, %rbx");
PROGRAM(cr_smsw, "smsw %ebx");
PROGRAM(cr_lmsw, "mov $0xf, %eax\n lmsw %ax\n mov %cr0, %rbx");
PROGRAM(cr3_read, "mov %cr3, %r11");
PROGRAM(cr3_write, "mov %cr3, %r12\n mov %r12, %cr3");
PROGRAM(cr4_pse, "mov %cr4, %rcx\n xor $0x10, %ecx\n mov %rcx, %cr4");
PROGRAM(cr8_read, "mov %cr8, %r9");
PROGRAM(cr8_write, "xor %edi, %edi\n mov %rdi, %cr8");
PROGRAM(dr_read, "mov %dr6, %r10");
PROGRAM(dr_write, "mov $0x400, %eax\n mov %rax, %dr7");

static void show(const char *name) {
  begin(name);
  if (exit_reason() == CR_ACCESS || exit_reason() == DR_ACCESS) print(", qualification %lx", qualification());
  print("\n");
}

static void show_control(const char *name, const char *program, u32 control) {
  create(program);
  add(PRIMARY_CONTROLS, control);
  enter();
  show(name);
}

static void show_cr0(const char *name, const char *program, u64 mask, u64 shadow, u64 value) {
  create(program);
  vmwrite(CR0_MASK, mask);
  vmwrite(CR0_SHADOW, shadow);
  if (value) add(GUEST_CR0, value);
  enter();
  begin(name);
  if (exit_reason() == CR_ACCESS) print(", qualification %lx\n", qualification());
  else print(", guest sees TS %lu WP %lu, CR0 has TS %lu WP %lu\n", registers.rbx >> 3 & 1, registers.rbx >> 16 & 1, vmread(GUEST_CR0) >> 3 & 1, vmread(GUEST_CR0) >> 16 & 1);
}

void show_control_registers(void) {
  section("Control and debug registers");
  show_control("MOV R11, CR3", cr3_read, CR3_STORE_EXITING);
  show_control("MOV CR3, R12", cr3_write, CR3_LOAD_EXITING);
  create(cr3_write);
  add(PRIMARY_CONTROLS, CR3_LOAD_EXITING);
  vmwrite(CR3_TARGET_COUNT, 1);
  vmwrite(CR3_TARGET0, vmread(GUEST_CR3));
  enter();
  show("MOV CR3, R12: a target value");
  show_control("MOV R9, CR8", cr8_read, CR8_STORE_EXITING);
  show_control("MOV CR8, RDI", cr8_write, CR8_LOAD_EXITING);
  show_control("MOV R10, DR6", dr_read, MOV_DR_EXITING);
  show_control("MOV DR7, RAX", dr_write, MOV_DR_EXITING);
  show_cr0("MOV CR0: TS not owned", cr0_ts, 0, 0, 0);
  show_cr0("MOV CR0: TS owned, shadow 0", cr0_ts, CR0_TS, 0, 0);
  show_cr0("MOV CR0: TS owned, shadow 1", cr0_ts, CR0_TS, CR0_TS, 0);
  show_cr0("MOV CR0: WP owned, shadow 1", cr0_wp, CR0_WP, CR0_WP, 0);
  show_cr0("MOV CR0: WP owned, shadow 0", cr0_wp, CR0_WP, 0, 0);
  show_cr0("CLTS: not owned", cr_clts, 0, 0, CR0_TS);
  show_cr0("CLTS: owned, shadow 1", cr_clts, CR0_TS, CR0_TS, CR0_TS);
  show_cr0("CLTS: owned, shadow 0", cr_clts, CR0_TS, 0, CR0_TS);
  show_cr0("SMSW: TS owned, shadow 1", cr_smsw, CR0_TS, CR0_TS, 0);
  show_cr0("LMSW 0Fh: not owned", cr_lmsw, 0, 0, 0);
  show_cr0("LMSW 0Fh: TS owned, shadow 0", cr_lmsw, CR0_TS, 0, 0);
  show_cr0("LMSW 0Fh: TS owned, shadow 1", cr_lmsw, CR0_TS, CR0_TS, 0);
  create(cr4_pse);
  vmwrite(CR4_MASK, CR4_PSE);
  enter();
  show("MOV CR4: PSE owned, changes");
  create(cr4_pse);
  enter();
  show("MOV CR4: PSE not owned");
}
