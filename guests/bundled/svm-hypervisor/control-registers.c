/* Control and debug register intercepts. */
#include "vm.h"

PROGRAM(cr0_read, "mov %cr0, %rax");
PROGRAM(cr2_read, "mov %cr2, %rax");
PROGRAM(cr3_read, "mov %cr3, %rax");
PROGRAM(cr4_read, "mov %cr4, %rax");
PROGRAM(cr8_read, "mov %cr8, %rax");
PROGRAM(cr0_same, "mov %cr0, %rax\n mov %rax, %cr0");
PROGRAM(cr0_ts, "mov %cr0, %rax\n or $8, %eax\n mov %rax, %cr0");
PROGRAM(cr0_wp, "mov %cr0, %rax\n btr $16, %eax\n mov %rax, %cr0");
PROGRAM(cr2_write, "xor %eax, %eax\n mov %rax, %cr2");
PROGRAM(cr3_write, "mov %cr3, %rax\n mov %rax, %cr3");
PROGRAM(cr4_write, "mov %cr4, %rax\n mov %rax, %cr4");
PROGRAM(cr8_write, "xor %eax, %eax\n mov %rax, %cr8");
PROGRAM(cr_smsw, "smsw %eax");
PROGRAM(cr_lmsw, "smsw %eax\n lmsw %ax");
PROGRAM(cr_clts, "clts");
PROGRAM(dr0_read, "mov %dr0, %rax");
PROGRAM(dr6_read, "mov %dr6, %rax");
PROGRAM(dr7_read, "mov %dr7, %rax");
PROGRAM(dr0_write, "xor %eax, %eax\n mov %rax, %dr0");
PROGRAM(dr3_write, "xor %eax, %eax\n mov %rax, %dr3");
PROGRAM(dr7_write, "mov $0x400, %eax\n mov %rax, %dr7");

static const struct {
  const char *name, *program;
  u32 code;
} cases[] = {
  { "MOV from CR0", cr0_read, CR_READ + 0 },
  { "MOV from CR2", cr2_read, CR_READ + 2 },
  { "MOV from CR3", cr3_read, CR_READ + 3 },
  { "MOV from CR4", cr4_read, CR_READ + 4 },
  { "MOV from CR8", cr8_read, CR_READ + 8 },
  { "SMSW", cr_smsw, CR_READ + 0 },
  { "MOV to CR0", cr0_same, CR_WRITE + 0 },
  { "MOV to CR2", cr2_write, CR_WRITE + 2 },
  { "MOV to CR3", cr3_write, CR_WRITE + 3 },
  { "MOV to CR4", cr4_write, CR_WRITE + 4 },
  { "MOV to CR8", cr8_write, CR_WRITE + 8 },
  { "LMSW", cr_lmsw, CR_WRITE + 0 },
  { "CLTS", cr_clts, CR_WRITE + 0 },
  { "MOV to CR0: selective, nothing changes", cr0_same, CR0_SEL_WRITE },
  { "MOV to CR0: selective, TS changes", cr0_ts, CR0_SEL_WRITE },
  { "MOV to CR0: selective, WP changes", cr0_wp, CR0_SEL_WRITE },
  { "CLTS: selective", cr_clts, CR0_SEL_WRITE },
  { "LMSW: selective, nothing changes", cr_lmsw, CR0_SEL_WRITE },
  { "MOV from DR0", dr0_read, DR_READ + 0 },
  { "MOV from DR6", dr6_read, DR_READ + 6 },
  { "MOV from DR7", dr7_read, DR_READ + 7 },
  { "MOV to DR0", dr0_write, DR_WRITE + 0 },
  { "MOV to DR3", dr3_write, DR_WRITE + 3 },
  { "MOV to DR7", dr7_write, DR_WRITE + 7 },
};

void show_control_registers(void) {
  section("Control and debug registers");
  for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
    create(cases[i].program);
    intercept(cases[i].code);
    enter();
    LINE(cases[i].name);
  }
  create(cr0_wp);
  intercept(CR_WRITE);
  intercept(CR0_SEL_WRITE);
  enter();
  LINE("MOV to CR0: both intercepts");
  create(cr0_ts);
  enter();
  LINE("MOV to CR0 by itself", ", guest TS %lu, our TS %lu", vmcb.cr0 >> 3 & 1, READ_CR(0) >> 3 & 1);
  create(cr2_write);
  vmcb.cr2 = 0x1234;
  enter();
  LINE("MOV to CR2 by itself", ", CR2 %lx", vmcb.cr2);
}
