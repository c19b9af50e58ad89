/* The exception bitmap and what the exit information says (SDM 3, "Information for VM Exits Due to Vectored Events"). */
#include "vm.h"

PROGRAM(x_ud, "nop\n ud2");
PROGRAM(x_de, "xor %ecx, %ecx\n mov $1, %eax\n xor %edx, %edx\n div %ecx");
PROGRAM(x_bp, "nop\n int3");
PROGRAM(x_int6, "int $6");
PROGRAM(x_gp_selector, "mov $0xfff8, %eax\n mov %ax, %ds");
PROGRAM(x_gp_address, "movabs $0x1234567812345678, %rbx\n mov (%rbx), %rax");
PROGRAM(x_ss, "movabs $0x1234567812345678, %rbp\n mov (%rbp), %rax");
PROGRAM(x_pf_read, "movabs $0x8000001234, %rbx\n mov (%rbx), %eax");
PROGRAM(x_pf_write, "movabs $0x8000001234, %rbx\n mov %eax, (%rbx)");
PROGRAM(x_pf_fetch, "movabs $0x8000001234, %rbx\n jmp *%rbx");
PROGRAM(x_nm, "nop\n fninit");
PROGRAM(x_trace, "nop\n nop");

static void finish(const char *name) {
  enter();
  begin(name);
  if (exit_reason() == EXCEPTION_OR_NMI) {
    u64 information = vmread(EXIT_INTERRUPTION);
    print(", information %lx", information);
    if (information & WITH_ERROR) print(", error code %lx", vmread(EXIT_ERROR_CODE));
  }
}

static void show_one(const char *name, const char *program, u32 vector) {
  create(program);
  vmwrite(EXCEPTION_BITMAP, 1u << vector);
  finish(name);
  print("\n");
}

static void show_page_fault(const char *name, const char *program, int user) {
  create(program);
  if (user) as_user();
  vmwrite(EXCEPTION_BITMAP, 1u << PF);
  WRITE_CR(2, 0x1111);
  finish(name);
  print(", qualification %lx, CR2 %lx\n", qualification(), READ_CR(2));
}

/* A page fault exits if (error code & mask) == match agrees with bit 14 of the bitmap. */
static void show_filter(const char *name, u32 bitmap, u32 mask, u32 match) {
  create(x_pf_write);
  vmwrite(EXCEPTION_BITMAP, bitmap);
  vmwrite(PAGE_FAULT_MASK, mask);
  vmwrite(PAGE_FAULT_MATCH, match);
  finish(name);
  print("\n");
}

static void no_idt(const char *program) {
  create(program);
  vmwrite(GUEST_IDTR_LIMIT, 0);
}

static void show_nested(void) {
  no_idt(x_ud);
  vmwrite(EXCEPTION_BITMAP, 1u << GP);
  enter();
  /* The last bit, EXT, counts earlier exceptions as external. */
  LINE("#GP while #UD is delivered", ", error code %lx, vectoring %lx", vmread(EXIT_ERROR_CODE), vmread(IDT_VECTORING));
  no_idt(x_gp_address);
  vmwrite(EXCEPTION_BITMAP, 1u << DF);
  enter();
  LINE("double fault", ", information %lx, error code %lx, vectoring valid %lu", vmread(EXIT_INTERRUPTION), vmread(EXIT_ERROR_CODE), vmread(IDT_VECTORING) >> 31);
  no_idt(x_gp_address);
  enter();
  LINE("triple fault", ", vectoring valid %lu", vmread(IDT_VECTORING) >> 31);
}

void show_exceptions(void) {
  section("Exceptions that exit");
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
  show_filter("#PF filter: matches, bit set", 1u << PF, 2, 2);
  show_filter("#PF filter: does not match, bit set", 1u << PF, 2, 0);
  show_filter("#PF filter: matches, bit clear", 0, 2, 2);
  show_filter("#PF filter: does not match, bit clear", 0, 2, 0);
  create(x_nm);
  add(GUEST_CR0, CR0_TS);
  vmwrite(EXCEPTION_BITMAP, 1u << NM);
  finish("#NM");
  print("\n");
  create(x_trace);
  add(GUEST_RFLAGS, RFLAGS_TF);
  vmwrite(EXCEPTION_BITMAP, 1u << DB);
  finish("#DB, single step");
  print(", qualification %lx\n", qualification());
  show_one("INT 6 with #UD in the bitmap", x_int6, UD);

  section("Exceptions: the guest's own");
  run(x_ud);
  LINE("#UD");
  run(x_bp);
  LINE("#BP, INT3");
  run(x_gp_selector);
  LINE("#GP(selector)");
  run(x_pf_write);
  LINE("#PF, write", ", CR2 %lx", READ_CR(2));

  section("Exceptions while exceptions are delivered");
  show_nested();
}
