/* What a processor may or may not have (CPUID 8000_000Ah): shown where it is offered. */
#include "vm.h"

enum { NRIP_SAVE = 3, DECODE_ASSISTS = 7, PAUSE_FILTER = 10 };

PROGRAM(f_cpuid, "nop\n cpuid");
PROGRAM(f_vmmcall, "nop");
PROGRAM(f_ud, "ud2");
PROGRAM(f_cr3, "mov %cr3, %r11\n mov %r11, %cr3");
PROGRAM(f_clts, "clts");
PROGRAM(f_smsw, "smsw %eax");
PROGRAM(f_dr7, "mov $0x400, %r10d\n mov %r10, %dr7");
PROGRAM(f_int, "int $0x21");
PROGRAM(f_invlpg, "mov $0x12345678, %eax\n invlpg (%rax)");
PROGRAM(f_load, "mov 0x40001010, %rax");
PROGRAM(f_pause, "xor %ebx, %ebx\n1: inc %ebx\n pause\n cmp $10, %ebx\n jne 1b");

static void show_next_rip(void) {
  create(f_cpuid);
  intercept(CPUID);
  enter();
  LINE("next RIP: CPUID", ", next +%lx", offset(vmcb.next_rip));
  run(f_vmmcall);
  LINE("next RIP: VMMCALL", ", next +%lx", offset(vmcb.next_rip));
  create(f_int);
  intercept(SWINT);
  enter();
  LINE("next RIP: INT", ", next +%lx", offset(vmcb.next_rip));
  create(f_ud);
  intercept(EXCEPTION + UD);
  vmcb.next_rip = 1;
  enter();
  LINE("next RIP: #UD has none", ", next %lx", vmcb.next_rip);
}

static void show_general_register(const char *name, const char *program, u32 code) {
  create(program);
  intercept(code);
  enter();
  LINE(name, ", info %lx", vmcb.exit_info1);
}

static void show_decode_assists(void) {
  show_general_register("decode assist: MOV R11, CR3", f_cr3, CR_READ + 3);
  show_general_register("decode assist: MOV CR3, R11", f_cr3, CR_WRITE + 3);
  show_general_register("decode assist: CLTS", f_clts, CR_WRITE + 0);
  show_general_register("decode assist: SMSW", f_smsw, CR_READ + 0);
  show_general_register("decode assist: MOV DR7, R10", f_dr7, DR_WRITE + 7);
  show_general_register("decode assist: INT 21h", f_int, SWINT);
  show_general_register("decode assist: INVLPG", f_invlpg, INVLPG);
  run(f_load);
  begin("decode assist: instruction bytes");
  print(", %u:", vmcb.fetched & 0xf);
  for (int i = 0; i < 8; i++) print(" %02x", vmcb.instruction_bytes[i]);
  print("\n");
  create(f_cpuid);
  intercept(CPUID);
  vmcb.fetched = 15;
  enter();
  LINE("decode assist: no bytes of CPUID", ", %u", vmcb.fetched);
}

static void show_pause_filter(void) {
  create(f_pause);
  intercept(PAUSE);
  vmcb.pause_filter_count = 3;
  enter();
  LINE("pause filter: count 3", ", in the third or fourth iteration: %s", registers.rbx == 3 || registers.rbx == 4 ? "yes" : "no");
}

void show_features(void) {
  u32 features = cpuid(0x8000000a, 0).edx;
  section("Features");
  if (features >> NRIP_SAVE & 1) show_next_rip();
  if (features >> DECODE_ASSISTS & 1) show_decode_assists();
  if (features >> PAUSE_FILTER & 1) show_pause_filter();
}
