/* V_IRQ: an interrupt that exists in the VMCB only (APM 2, "Injecting Virtual (INTR) Interrupts"). */
#include "vm.h"

PROGRAM(v_nops, "nop\n nop\n nop");
PROGRAM(v_sti, "sti\n nop\n nop\n nop");
PROGRAM(v_popf, "pushq $0x202\n popf\n nop\n nop");
PROGRAM(v_cr8, "xor %eax, %eax\n mov %rax, %cr8\n nop");
PROGRAM(v_read_cr8, "mov %cr8, %rbx\n mov $9, %eax\n mov %rax, %cr8");
PROGRAM(v_hlt, "sti\n hlt\n nop");

#define VECTOR 0x25
static void prepare(const char *program, u64 virtual_interrupt) {
  create(program);
  vmcb.virtual_interrupt = V_INTR_MASKING | V_INTR_VECTOR(VECTOR) | virtual_interrupt;
}

static void finish(const char *name) {
  enter();
  begin(name);
  print(", V_IRQ %lu\n", vmcb.virtual_interrupt >> 8 & 1);
}

static void show_one(const char *name, const char *program, u64 rflags, u64 virtual_interrupt) {
  prepare(program, virtual_interrupt);
  vmcb.rflags |= rflags;
  finish(name);
}

static void show_window(const char *name, const char *program, u64 rflags, u64 virtual_interrupt) {
  prepare(program, virtual_interrupt);
  vmcb.rflags |= rflags;
  intercept(VINTR);
  finish(name);
}

/* QEMU 7.2 itself stops (an assertion) when MOV to CR8 unmasks a waiting virtual interrupt. */
static int skip_cr8(void) { return command_line_has("skip-cr8"); }

void show_virtual_interrupts(void) {
  section("Virtual interrupts");
  show_one("IF = 1", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2));
  show_one("IF = 0", v_nops, 0, V_IRQ | V_INTR_PRIO(2));
  show_one("IF = 0, then STI", v_sti, 0, V_IRQ | V_INTR_PRIO(2));
  show_one("IF = 0, then POPF", v_popf, 0, V_IRQ | V_INTR_PRIO(2));
  show_one("V_IRQ = 0", v_nops, RFLAGS_IF, V_INTR_PRIO(2));
  show_one("priority 2, V_TPR 1", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(1));
  show_one("priority 2, V_TPR 3", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(3));
  show_one("priority 2, V_TPR 2", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(2));
  show_one("priority 2, V_TPR 3, V_IGN_TPR", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(3) | V_IGN_TPR);
  if (!skip_cr8()) show_one("V_TPR 3, then CR8 = 0", v_cr8, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(3));

  prepare(v_nops, V_IRQ | V_INTR_PRIO(2));
  vmcb.rflags |= RFLAGS_IF;
  vmcb.interrupt_shadow = 1;
  finish("IF = 1, interrupt shadow");

  prepare(v_nops, V_IRQ | V_INTR_PRIO(2));
  vmcb.rflags |= RFLAGS_IF;
  vmcb.event_injection = EVENT(EXCEPTION_EVENT, UD);
  finish("injected #UD first");

  section("Virtual interrupts: VINTR intercepted");
  show_window("IF = 1", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2));
  show_window("IF = 0", v_nops, 0, V_IRQ | V_INTR_PRIO(2));
  show_window("IF = 0, then STI", v_sti, 0, V_IRQ | V_INTR_PRIO(2));
  show_window("priority 2, V_TPR 3", v_nops, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(3));
  if (!skip_cr8()) show_window("V_TPR 3, then CR8 = 0", v_cr8, RFLAGS_IF, V_IRQ | V_INTR_PRIO(2) | V_TPR(3));

  section("Virtual interrupts: V_TPR and the interrupt shadow");
  prepare(v_read_cr8, V_TPR(5));
  enter();
  LINE("CR8 is V_TPR", ", read %lx, V_TPR %lx", registers.rbx, vmcb.virtual_interrupt & 0xf);
  create(v_hlt);
  intercept(HLT);
  enter();
  LINE("HLT right after STI", ", interrupt shadow %lu", vmcb.interrupt_shadow & 1);
  create(v_sti);
  intercept(VINTR);
  enter();
  LINE("a NOP later", ", interrupt shadow %lu", vmcb.interrupt_shadow & 1);
}

/* Comes late: Bochs 2.7 sleeps for ever. */
void show_virtual_wake(void) {
  section("Virtual interrupts: HLT");
  show_one("STI, HLT: the interrupt ends it", v_hlt, 0, V_IRQ | V_INTR_PRIO(2));
}
