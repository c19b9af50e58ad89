/* Physical interrupts, NMIs, the preemption timer and the monitor trap flag. */
#include "vm.h"

#define PIC_VECTOR 0x30
#define LOCAL_APIC 0xfee00000ul
enum { APIC_SPURIOUS = 0xf0, APIC_LVT_LINT0 = 0x350 };
#define EXT_INT 0x700

static volatile int ticks, nmis;

static void on_pit(struct frame *frame) {
  (void)frame;
  ticks++;
  outb(0x20, 0x20);
}

static void on_nmi(struct frame *frame) {
  (void)frame;
  nmis++;
}

static void open_timer(void) {
  static const u16 init[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, PIC_VECTOR }, { 0xa1, PIC_VECTOR + 8 }, { 0x21, 4 }, { 0xa1, 2 }, { 0x21, 1 }, { 0xa1, 1 }, { 0x21, 0xfe }, { 0xa1, 0xff } };
  for (u32 i = 0; i < sizeof init / sizeof *init; i++) outb(init[i][0], (u8)init[i][1]);
  mmio_write(LOCAL_APIC + APIC_SPURIOUS, 0x1ff);
  mmio_write(LOCAL_APIC + APIC_LVT_LINT0, EXT_INT);
  set_handler(PIC_VECTOR, on_pit);
  set_handler(2, on_nmi);
}

static void arm(u16 count) {
  ticks = 0;
  outb(0x43, 0x30); /* channel 0, mode 0: once */
  outb(0x40, (u8)count);
  outb(0x40, (u8)(count >> 8));
}

/* The interrupt request register of the 8259 shows that IRQ0 waits. */
static void make_pending(void) {
  arm(64);
  do outb(0x20, 0x0a);
  while (!(inb(0x20) & 1));
}

static void take(void) { __asm__ volatile("sti; nop; nop; cli" : : : "memory"); }

PROGRAM(i_nops, "nop\n nop\n nop");
PROGRAM(i_sti, "sti\n nop\n nop\n nop");
PROGRAM(i_hlt, "hlt\n nop");
PROGRAM(i_loop, "1: jmp 1b");

static void show_one(const char *name, const char *program, u64 rflags, int pending) {
  create(program);
  add(PIN_BASED_CONTROLS, EXTERNAL_INTERRUPT_EXITING);
  add(GUEST_RFLAGS, rflags);
  if (pending) make_pending();
  else arm(20000); /* 17 ms: later than the guest's first instructions on any machine */
  enter();
  begin(name);
  print(", information valid %lu", vmread(EXIT_INTERRUPTION) >> 31);
  take();
  print("; host: %d\n", ticks);
}

static void show_acknowledged(void) {
  create(i_nops);
  add(PIN_BASED_CONTROLS, EXTERNAL_INTERRUPT_EXITING);
  add(GUEST_RFLAGS, RFLAGS_IF);
  add(EXIT_CONTROLS, EXIT_ACKNOWLEDGE);
  make_pending();
  enter();
  begin("acknowledged by the exit");
  print(", information %lx", vmread(EXIT_INTERRUPTION));
  take();
  print("; host: %d\n", ticks);
  outb(0x20, 0x20);
}

/* The local APIC sends itself an NMI. */
PROGRAM(i_nmi, "mov $0xfee00000, %eax\n mov 0x20(%rax), %ecx\n mov %ecx, 0x310(%rax)\n movl $0x400, 0x300(%rax)\n nop\n nop");

static void show_nmi(void) {
  section("NMI");
  create(i_nmi);
  add(PIN_BASED_CONTROLS, NMI_EXITING);
  nmis = 0;
  enter();
  begin("sent by the guest, NMI exiting");
  print(", information %lx; host: %d\n", vmread(EXIT_INTERRUPTION), nmis);
  /* The exit blocks NMIs until an IRET. */
  __asm__ volatile("mov %%ss, %%eax; push %%rax; lea 8(%%rsp), %%rax; push %%rax; pushf; push $8; lea 1f(%%rip), %%rax; push %%rax; iretq; 1:" : : : "rax", "memory");
  run(i_nmi);
  LINE("sent by the guest, its own");
}

static void show_timers(void) {
  section("Preemption timer and monitor trap flag");
  create(i_nops);
  add(PIN_BASED_CONTROLS, ACTIVATE_PREEMPTION_TIMER);
  vmwrite(PREEMPTION_TIMER, 0);
  enter();
  LINE("preemption timer 0");
  create(i_loop);
  add(PIN_BASED_CONTROLS, ACTIVATE_PREEMPTION_TIMER);
  vmwrite(PREEMPTION_TIMER, 100);
  enter();
  LINE("preemption timer 100, loop");
  create(i_hlt);
  add(PIN_BASED_CONTROLS, ACTIVATE_PREEMPTION_TIMER);
  vmwrite(PREEMPTION_TIMER, 100);
  enter();
  LINE("preemption timer 100, HLT", ", activity %lu", vmread(GUEST_ACTIVITY));
  create(i_nops);
  add(PRIMARY_CONTROLS, MONITOR_TRAP_FLAG);
  enter();
  begin("monitor trap flag");
  enter();
  print("; then +%lx\n", offset(vmread(GUEST_RIP)));
  create(i_nops);
  add(PRIMARY_CONTROLS, MONITOR_TRAP_FLAG);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, UD));
  enter();
  u64 place = vmread(GUEST_RIP) - (u64)guest_handlers;
  print("%-44s %u in the handler of vector %lu\n", "monitor trap flag, #UD injected", exit_reason(), place / GUEST_HANDLER_SIZE);
}

void show_interrupts(void) {
  open_timer();
  section("Physical interrupts: external-interrupt exiting");
  show_one("pending, guest IF = 0", i_nops, 0, 1);
  show_one("pending, guest IF = 1", i_nops, RFLAGS_IF, 1);
  show_one("arrives while the guest loops", i_loop, RFLAGS_IF, 0);
  show_one("arrives while the guest is halted", i_hlt, RFLAGS_IF, 0);
  show_acknowledged();
  section("Physical interrupts: the guest's");
  create(i_sti);
  make_pending();
  enter();
  LINE("does not exit, guest STI");
  outb(0x20, 0x20);
  outb(0x21, 0xff);
  show_nmi();
  show_timers();
}
