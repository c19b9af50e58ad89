/* Exception intercepts: EXITINFO1 is the error code, EXITINFO2 of #PF the address; CR2 stays (APM 2, "Exception Intercepts"). */
#include "vm.h"

PROGRAM(x_ud, "nop\n ud2");
PROGRAM(x_de, "xor %ecx, %ecx\n mov $1, %eax\n xor %edx, %edx\n div %ecx");
PROGRAM(x_bp, "nop\n int3");
PROGRAM(x_int3, "nop\n int $3");
PROGRAM(x_int6, "int $6");
PROGRAM(x_gp_selector, "mov $0xfff8, %eax\n mov %ax, %ds");
PROGRAM(x_gp_address, "movabs $0x1234567812345678, %rbx\n mov (%rbx), %rax");
PROGRAM(x_ss, "movabs $0x1234567812345678, %rbp\n mov (%rbp), %rax");
PROGRAM(x_pf_read, "movabs $0x8000001234, %rbx\n mov (%rbx), %eax");
PROGRAM(x_pf_write, "movabs $0x8000001234, %rbx\n mov %eax, (%rbx)");
PROGRAM(x_pf_fetch, "movabs $0x8000001234, %rbx\n jmp *%rbx");
PROGRAM(x_nm, "nop\n fninit");
PROGRAM(x_trace, "nop\n nop");

static void show_one(const char *name, const char *program, u32 vector) {
  create(program);
  intercept(EXCEPTION + vector);
  enter();
  begin(name);
  if (exit_code() == EXCEPTION + GP || exit_code() == EXCEPTION + SS) print(", error code %lx", vmcb.exit_info1);
  print("\n");
}

static void show_page_fault(const char *name, const char *program, int user) {
  create(program);
  if (user) as_user();
  intercept(EXCEPTION + PF);
  vmcb.cr2 = 0x1111;
  enter();
  LINE(name, ", error code %lx, EXITINFO2 %lx, CR2 %lx", vmcb.exit_info1, vmcb.exit_info2, vmcb.cr2);
}

static void no_idt(const char *program) {
  create(program);
  vmcb.idtr.limit = 0;
}

static void show_nested(void) {
  no_idt(x_ud);
  intercept(EXCEPTION + GP);
  enter();
  begin("#GP while #UD is delivered");
  /* Whether EXT (bit 0) counts an exception as external is not said. */
  print(", error code %lx, EXITINTINFO %lx\n", vmcb.exit_info1 & ~1ul, vmcb.exit_int_info);
  no_idt(x_ud);
  intercept(EXCEPTION + UD);
  intercept(EXCEPTION + GP);
  enter();
  begin("#UD, both intercepted");
  print(", EXITINTINFO valid: %lu\n", vmcb.exit_int_info >> 31 & 1);
  /* Intercepts are looked at before the two become a double fault. */
  no_idt(x_de);
  intercept(EXCEPTION + GP);
  intercept(EXCEPTION + DF);
  enter();
  begin("#GP while #DE is delivered, and #DF");
  print(", EXITINTINFO %lx\n", vmcb.exit_int_info);
  no_idt(x_gp_address);
  intercept(EXCEPTION + DF);
  enter();
  LINE("double fault");
}

/* Comes late: Bochs 2.7 stops here. */
void show_shutdown(void) {
  section("Shutdown");
  no_idt(x_gp_address);
  enter();
  LINE("triple fault");
}

void show_exceptions(void) {
  section("Exceptions: intercepted");
  show_one("#DE", x_de, DE);
  show_one("#BP, INT3", x_bp, BP);
  show_one("#UD", x_ud, UD);
  show_one("#GP(selector)", x_gp_selector, GP);
  show_one("#GP(0)", x_gp_address, GP);
  show_one("#SS(0)", x_ss, SS);
  show_page_fault("#PF, read", x_pf_read, 0);
  show_page_fault("#PF, write", x_pf_write, 0);
  show_page_fault("#PF, fetch", x_pf_fetch, 0);
  show_page_fault("#PF, read in user mode", x_pf_read, 1);
  create(x_nm);
  vmcb.cr0 |= CR0_TS;
  intercept(EXCEPTION + NM);
  enter();
  LINE("#NM");
  create(x_trace);
  vmcb.rflags |= RFLAGS_TF;
  intercept(EXCEPTION + DB);
  enter();
  LINE("#DB, single step", ", DR6 %lx", vmcb.dr6);
  show_one("INT 6 with #UD intercepted", x_int6, UD);

  section("Exceptions: the guest's own");
  run(x_ud);
  LINE("#UD");
  run(x_bp);
  LINE("#BP, INT3");
  run(x_int3);
  LINE("INT 3");
  run(x_gp_selector);
  LINE("#GP(selector)");
  run(x_pf_write);
  LINE("#PF, write", ", CR2 %lx", vmcb.cr2);

  section("Exceptions while exceptions are delivered");
  show_nested();
}
