/* Physical interrupts: who is interrupted when, GIF and V_INTR_MASKING (APM 2, "Interrupt and Exception Handling", "Global Interrupt Flag"). */
#include "vm.h"

#define PIC_VECTOR 0x30
#define LOCAL_APIC 0xfee00000ul
enum { APIC_SPURIOUS = 0xf0, APIC_LVT_LINT0 = 0x350 };
#define EXT_INT 0x700

static volatile int ticks;

static void on_pit(struct frame *frame) {
  (void)frame;
  ticks++;
  outb(0x20, 0x20);
}

static void open_timer(void) {
  static const u16 init[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, PIC_VECTOR }, { 0xa1, PIC_VECTOR + 8 }, { 0x21, 4 }, { 0xa1, 2 }, { 0x21, 1 }, { 0xa1, 1 }, { 0x21, 0xfe }, { 0xa1, 0xff } };
  for (u32 i = 0; i < sizeof init / sizeof *init; i++) outb(init[i][0], (u8)init[i][1]);
  mmio_write(LOCAL_APIC + APIC_SPURIOUS, 0x1ff);
  mmio_write(LOCAL_APIC + APIC_LVT_LINT0, EXT_INT);
  set_handler(PIC_VECTOR, on_pit);
}

static void arm(u16 count) {
  ticks = 0;
  outb(0x43, 0x30); /* channel 0, mode 0: once */
  outb(0x40, (u8)count);
  outb(0x40, (u8)(count >> 8));
}

/* The interrupt request register of the 8259 shows that IRQ0 waits. */
static void wait_pending(void) {
  do outb(0x20, 0x0a);
  while (!(inb(0x20) & 1));
}

static void make_pending(void) {
  arm(64);
  wait_pending();
}

static void take(void) { __asm__ volatile("sti; nop; nop; cli" : : : "memory"); }

PROGRAM(i_nops, "nop\n nop\n nop");
PROGRAM(i_popf, "pushq $0x202\n popf\n nop\n nop");
PROGRAM(i_hlt, "hlt\n nop");
PROGRAM(i_loop, "1: jmp 1b");

static void show_gif(void) {
  section("GIF");
  make_pending();
  clgi();
  __asm__ volatile("sti; nop; nop" : : : "memory");
  int held = ticks;
  stgi();
  __asm__ volatile("nop; nop; cli" : : : "memory");
  print("%-44s taken before STGI %d, after %d\n", "interrupt pending, IF = 1, CLGI", held, ticks);
}

static void prepare(const char *program, int masking, u64 guest_flags) {
  create(program);
  intercept(INTR);
  vmcb.virtual_interrupt = masking ? V_INTR_MASKING : 0;
  vmcb.rflags |= guest_flags;
}

/* Runs with an interrupt pending, and says when the host got it. */
static void show_pending(const char *name, const char *program, int masking, u64 guest_flags, int host_if) {
  prepare(program, masking, guest_flags);
  make_pending();
  enter_with_if(host_if);
  begin(name);
  __asm__ volatile("sti; nop; nop; cli" : : : "memory");
  int held = ticks;
  stgi();
  take();
  print("; host: %d before STGI, %d after\n", held, ticks);
}

static void show_arriving(const char *name, const char *program, u64 guest_flags) {
  prepare(program, 1, guest_flags);
  arm(20000); /* 17 ms: later than the guest's first instructions on any machine */
  enter_with_if(1);
  begin(name);
  stgi();
  take();
  print("; host: %d after STGI\n", ticks);
}

static void show_guest_takes(void) {
  create(i_nops);
  vmcb.rflags |= RFLAGS_IF;
  make_pending();
  enter();
  begin("not intercepted, guest IF = 1");
  take();
  print("; host: %d\n", ticks);
  outb(0x20, 0x20);
}

static void show_both(void) {
  prepare(i_nops, 1, RFLAGS_IF);
  vmcb.virtual_interrupt |= V_IRQ | V_INTR_PRIO(2) | V_INTR_VECTOR(0x25);
  make_pending();
  enter_with_if(1);
  begin("physical before virtual");
  stgi();
  take();
  print(", V_IRQ %lu; then ", vmcb.virtual_interrupt >> 8 & 1);
  enter();
  print("vector %d\n", delivered());
}

/* An NMI that the local APIC sends to itself. */
enum { APIC_ID = 0x20, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310 };
#define ICR_NMI 0x400
static volatile int nmis;
static void on_nmi(struct frame *frame) {
  (void)frame;
  nmis++;
}

static void send_nmi(void) {
  mmio_write(LOCAL_APIC + APIC_ICR_HIGH, mmio_read(LOCAL_APIC + APIC_ID));
  mmio_write(LOCAL_APIC + APIC_ICR_LOW, ICR_NMI);
}

static void show_nmi(void) {
  set_handler(2, on_nmi);
  create(i_nops);
  intercept(NMI);
  vmsave(&host_vmcb);
  clgi();
  send_nmi();
  int held = nmis;
  world_switch(&vmcb, &registers);
  vmload(&host_vmcb);
  begin("NMI sent while GIF = 0");
  int before = nmis;
  stgi();
  __asm__ volatile("nop; nop");
  print("; host: %d before VMRUN, %d before STGI, %d after\n", held, before, nmis);
}

void show_interrupts(void) {
  open_timer();
  show_gif();
  section("Physical interrupts: INTR intercepted");
  show_pending("V_INTR_MASKING, host IF = 1, guest IF = 0", i_nops, 1, 0, 1);
  show_pending("V_INTR_MASKING, host IF = 1, guest IF = 1", i_nops, 1, RFLAGS_IF, 1);
  show_pending("V_INTR_MASKING, host IF = 0, guest IF = 1", i_nops, 1, RFLAGS_IF, 0);
  show_pending("no masking, host IF = 1, guest IF = 0", i_nops, 0, 0, 1);
  show_pending("no masking, host IF = 0, guest IF = 1", i_nops, 0, RFLAGS_IF, 0);
  show_pending("no masking, guest POPF sets IF", i_popf, 0, 0, 0);
  show_arriving("arrives while the guest loops", i_loop, RFLAGS_IF);
  show_arriving("arrives while the guest is halted", i_hlt, RFLAGS_IF);
  show_both();
  section("Physical interrupts: the guest's");
  show_guest_takes();
  section("NMI");
  show_nmi();
  outb(0x21, 0xff);
}
