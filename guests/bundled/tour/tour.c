/*
 * A tour of VM exits: does on purpose, one after the other, what makes a processor leave a virtual machine, and says what it saw.
 * On a bare machine (or in QEMU) the same instructions just run; the text is true there too.
 */
#include "../common/guest.h"

#define PAGE 4096

static int stop;
static void title(const char *text) { print("\n[%2d] %s\n", ++stop, text); }

static const char *vector_name(int vector) {
  switch (vector) {
    case 0: return "#DE";
    case 1: return "#DB";
    case 3: return "#BP";
    case 6: return "#UD";
    case 13: return "#GP";
    case 14: return "#PF";
    default: return "another exception";
  }
}

static void show_cpuid(void) {
  title("CPUID: always exits; the hypervisor decides who the processor is");
  struct cpuid r = cpuid(0, 0);
  u32 vendor[4] = { r.ebx, r.edx, r.ecx, 0 };
  print("     vendor %s, highest leaf %u\n", (const char *)vendor, r.eax);
  if (cpuid(0x80000000, 0).eax >= 0x80000004) {
    u32 brand[13] = { 0 };
    for (u32 i = 0; i < 3; i++) {
      r = cpuid(0x80000002 + i, 0);
      brand[i * 4] = r.eax, brand[i * 4 + 1] = r.ebx, brand[i * 4 + 2] = r.ecx, brand[i * 4 + 3] = r.edx;
    }
    const char *text = (const char *)brand;
    while (*text == ' ') text++;
    print("     brand  %s\n", text);
  }
  r = cpuid(1, 0);
  print("     the hypervisor bit (leaf 1, ECX[31]) is %u\n", r.ecx >> 31);
}

static u64 caught_rdmsr(u32 index) {
  u32 lo = 0, hi = 0;
  CATCH("rdmsr", : "+a"(lo), "+d"(hi) : "c"(index) : "memory");
  return lo | (u64)hi << 32;
}

static void show_msrs(void) {
  title("RDMSR, WRMSR: exit unless the MSR bitmap lets them through");
  print("     IA32_APIC_BASE %lx\n", rdmsr(0x1b));
  u64 pat = rdmsr(0x277);
  wrmsr(0x277, pat);
  print("     IA32_PAT       %lx, written back unchanged\n", pat);
  u64 value = caught_rdmsr(0xdead);
  if (caught == NOT_CAUGHT) print("     MSR dead       %lx (this machine does not fault on unknown MSRs)\n", value);
  else print("     MSR dead       does not exist: %s(%lx), injected by whoever handled the exit\n", vector_name(caught), caught_error);
}

static u8 cmos(u8 index) {
  outb(0x70, index);
  return inb(0x71);
}

static void show_ports(void) {
  title("IN, OUT, OUTS: every character of this text is two port exits, status and data");
  print("     CMOS date 20%02x-%02x-%02x\n", cmos(9), cmos(8), cmos(7));
  static const char line[] = "     this line came out of one REP OUTSB instruction\r\n";
  const char *from = line;
  u64 count = sizeof line - 1;
  /* Fits the transmit FIFO of no real UART; a virtual one is always ready. */
  while (count) {
    u64 part = count > 16 ? 16 : count;
    count -= part;
    while (!(inb(0x3fd) & 0x20)) ;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(part) : "d"((u16)0x3f8) : "memory");
  }
}

#define LOCAL_APIC 0xfee00000ul
#define IO_APIC 0xfec00000ul
#define HPET 0xfed00000ul
enum { APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_LVT_TIMER = 0x320, APIC_LVT_LINT0 = 0x350, APIC_INITIAL_COUNT = 0x380, APIC_CURRENT_COUNT = 0x390, APIC_DIVIDE = 0x3e0 };

static void show_mmio(void) {
  title("Memory-mapped devices: no RAM behind the page, so the nested page walk fails");
  print("     local APIC version %x\n", mmio_read(LOCAL_APIC + 0x30) & 0xff);
  mmio_write(IO_APIC, 1);
  u32 version = mmio_read(IO_APIC + 0x10);
  print("     I/O APIC version %x, %u inputs\n", version & 0xff, (version >> 16 & 0xff) + 1);
  u32 hpet = mmio_read(HPET), period = mmio_read(HPET + 4);
  if (hpet == 0xffffffff || !period) print("     no HPET here\n");
  else print("     HPET with %u timers, one tick every %u femtoseconds\n", (hpet >> 8 & 0x1f) + 1, period);
}

static void show_control_registers(void) {
  title("Control registers: the hypervisor owns some bits and shows the guest a shadow of them");
  u64 cr0 = READ_CR(0);
  print("     CR0 %lx  CR3 %lx  CR4 %lx\n", cr0, READ_CR(3), READ_CR(4));
  WRITE_CR(0, cr0 | 8);
  int set = (READ_CR(0) & 8) != 0;
  __asm__ volatile("clts");
  print("     CR0.TS after MOV: %d, after CLTS: %d\n", set, (READ_CR(0) & 8) != 0);
  WRITE_CR(3, READ_CR(3));
  __asm__ volatile("invlpg (%0)" : : "r"(0x200000ul) : "memory");
  u64 dr7;
  __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
  print("     DR7 %lx\n", dr7);
}

static void show_time(void) {
  title("RDTSC: normally no exit, but an offset may be added");
  u64 first = rdtsc(), second = rdtsc();
  print("     it counts: %s\n", second > first ? "yes" : "no");
}

static void show_xsetbv(void) {
  title("XSETBV: always exits");
  if (!(cpuid(1, 0).ecx & 1 << 26)) {
    print("     no XSAVE here\n");
    return;
  }
  u64 cr4 = READ_CR(4);
  WRITE_CR(4, cr4 | 1 << 18);
  u32 lo, hi;
  __asm__ volatile("xsetbv" : : "c"(0), "a"(3), "d"(0));
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  print("     XCR0 is now %x: x87 and SSE state\n", lo);
  CATCH("xsetbv", : : "c"(0), "a"(2), "d"(0) : "memory");
  print("     XCR0 = 2, without x87: %s(%lx)\n", vector_name(caught), caught_error);
  __asm__ volatile("xsetbv" : : "c"(0), "a"(1), "d"(0));
  WRITE_CR(4, cr4);
}

static void show_exceptions(void) {
  title("Exceptions: the guest's own affair, through its own IDT; no exit unless asked for");
  CATCH("ud2", : : : "memory");
  print("     UD2: %s\n", vector_name(caught));
  CATCH("int3", : : : "memory");
  print("     INT3: %s\n", vector_name(caught));
  CATCH("xor %%edx, %%edx\n\tdiv %%edx", : : "a"(1) : "edx", "memory");
  print("     1 / 0: %s\n", vector_name(caught));
  u64 nowhere = 0x400000001238;
  CATCH("movq $1, (%0)", : : "r"(nowhere) : "memory");
  print("     write to %lx: %s, error code %lx, CR2 %lx\n", nowhere, vector_name(caught), caught_error, caught_address);
  CATCH("mov (%0), %%rax", : : "r"(0x800000000000ul) : "rax", "memory");
  print("     read from a non-canonical address: %s(%lx)\n", vector_name(caught), caught_error);
}

#define FIRST_TOUCH 0x1000000ul
#define TOUCHES 16

static void show_lazy_memory(void) {
  title("First touch of memory: the host gives frames when they are needed");
  print("     the memory map promises %lu KiB\n", usable_bytes() >> 10);
  u64 sum = 0, step = 0x200000 + PAGE;
  int touched = 0;
  for (int i = 0; i < TOUCHES; i++) {
    u64 address = FIRST_TOUCH + (u64)i * step;
    if (!is_usable(address, PAGE)) break;
    *(volatile u64 *)address = (u64)i + 1;
    touched++;
  }
  for (int i = 0; i < touched; i++) sum += *(volatile u64 *)(FIRST_TOUCH + (u64)i * step);
  print("     %d pages touched, 2 MiB apart; they add up to %lu\n", touched, sum);
}

static volatile int timer_ticks, pit_ticks;
static void on_apic_timer(struct frame *frame) {
  (void)frame;
  timer_ticks++;
  mmio_write(LOCAL_APIC + APIC_EOI, 0);
}
static void on_pit(struct frame *frame) {
  (void)frame;
  pit_ticks++;
  outb(0x20, 0x20);
}
static void on_spurious(struct frame *frame) { (void)frame; }

#define TIMER_VECTOR 0x40
#define PIC_VECTOR 0x30
#define SPURIOUS_VECTOR 0xff

static void show_interrupts(void) {
  title("HLT and interrupts: a halted guest costs nothing until its timer fires");
  set_handler(TIMER_VECTOR, on_apic_timer);
  set_handler(PIC_VECTOR, on_pit);
  set_handler(SPURIOUS_VECTOR, on_spurious);
  /* Both interrupt controllers start out of the way: vectors 30h-3Fh, all masked. */
  static const u16 init[][2] = { { 0x20, 0x11 }, { 0xa0, 0x11 }, { 0x21, PIC_VECTOR }, { 0xa1, PIC_VECTOR + 8 }, { 0x21, 4 }, { 0xa1, 2 }, { 0x21, 1 }, { 0xa1, 1 }, { 0x21, 0xff }, { 0xa1, 0xff } };
  for (u32 i = 0; i < sizeof init / sizeof *init; i++) outb(init[i][0], (u8)init[i][1]);
  mmio_write(LOCAL_APIC + APIC_SPURIOUS, 0x100 | SPURIOUS_VECTOR);
  mmio_write(LOCAL_APIC + APIC_DIVIDE, 0xb);
  mmio_write(LOCAL_APIC + APIC_LVT_TIMER, TIMER_VECTOR);
  for (int i = 0; i < 3; i++) {
    int before = timer_ticks;
    mmio_write(LOCAL_APIC + APIC_INITIAL_COUNT, 100000);
    while (timer_ticks == before) __asm__ volatile("sti; hlt; cli" : : : "memory");
  }
  print("     local APIC timer: woken %d times\n", timer_ticks);
  /* The 8254 through the 8259, which the local APIC lets through on LINT0 (ExtINT). */
  mmio_write(LOCAL_APIC + APIC_LVT_LINT0, 0x700);
  outb(0x21, 0xfe);
  outb(0x43, 0x30); /* channel 0, mode 0: once */
  outb(0x40, 0x00);
  outb(0x40, 0x10);
  while (!pit_ticks) __asm__ volatile("sti; hlt; cli" : : : "memory");
  outb(0x21, 0xff);
  print("     8254 timer through the 8259: woken %d time\n", pit_ticks);
}

static void show_vmcall(void) {
  title("VMCALL: a call to the hypervisor");
  u64 rax = 0;
  CATCH("vmcall", : "+a"(rax) : "b"(0), "c"(0), "d"(0), "S"(0) : "memory");
  if (caught == NOT_CAUGHT) print("     somebody answered: %lx\n", rax);
  else print("     nobody answers: %s\n", vector_name(caught));
}

static void show_caches(void) {
  title("WBINVD and PAUSE: exit only if the hypervisor wants to know");
  __asm__ volatile("wbinvd" : : : "memory");
  for (int i = 0; i < 100; i++) __asm__ volatile("pause");
  print("     done\n");
}

void main(const struct start_info *info) {
  machine_open(info);
  print("\nA tour of VM exits\n");
  print("==================\n");
  print("I am a 64-bit kernel of a few kilobytes. Each stop does something that concerns a hypervisor.\n");
  show_cpuid();
  show_msrs();
  show_ports();
  show_mmio();
  show_control_registers();
  show_time();
  show_xsetbv();
  show_exceptions();
  show_lazy_memory();
  show_interrupts();
  show_vmcall();
  show_caches();
  title("Power-off: a write to an ACPI register, and the last exit");
  print("     good-bye\n");
}
