/* APIC virtualization and virtual interrupts. */
#include "vm.h"

enum { INTERRUPT_STATUS = 0x0810, VIRTUAL_APIC = 0x2012, APIC_ACCESS_ADDRESS = 0x2014, EOI_EXIT_BITMAP = 0x201c, TPR_THRESHOLD = 0x401c };
#define TPR_SHADOW (1u << 21)
#define APIC_ACCESSES (1u << 0)
#define X2APIC (1u << 4)
#define REGISTERS (1u << 8)
#define DELIVERY (1u << 9)
enum { TPR = 0x80, PPR = 0xa0, EOI = 0xb0, ISR = 0x100, IRR = 0x200, ICR = 0x300, ICR_HIGH = 0x310 };

static u8 virtual_page[PAGE] __attribute__((aligned(PAGE)));
static u8 access_page[PAGE] __attribute__((aligned(PAGE)));

static volatile u32 *reg(u32 at) { return (volatile u32 *)(virtual_page + at); }
static void request(u32 first, u32 vector) { *reg(first + (vector >> 5) * 16) |= 1u << (vector & 31); }

static void start(const char *program, u32 secondary, u32 rvi, u32 svi) {
  create(program);
  memset(virtual_page, 0, sizeof virtual_page);
  add(PRIMARY_CONTROLS, TPR_SHADOW);
  add(SECONDARY_CONTROLS, secondary);
  if (secondary & DELIVERY) {
    add(PIN_BASED_CONTROLS, EXTERNAL_INTERRUPT_EXITING);
    vmwrite(INTERRUPT_STATUS, rvi | svi << 8);
    for (u32 i = 0; i < 4; i++) vmwrite(EOI_EXIT_BITMAP + 2 * i, 0);
    if (rvi) request(IRR, rvi);
    if (svi) request(ISR, svi);
  }
  vmwrite(VIRTUAL_APIC, (u64)virtual_page);
  vmwrite(APIC_ACCESS_ADDRESS, (u64)access_page);
  vmwrite(TPR_THRESHOLD, 0);
  window_map(0, access_page, EPT_ALL | EPT_WRITE_BACK);
}

static void show(const char *name, u32 secondary) {
  enter();
  begin(name);
  if (exit_reason() != VMCALL) print(", qualification %lx", qualification());
  print("; TPR %x", *reg(TPR));
  if (secondary & DELIVERY) print(", PPR %x, status %lx, ISR %x, IRR %x", *reg(PPR), vmread(INTERRUPT_STATUS), *reg(ISR + 16), *reg(IRR + 16));
  print("\n");
}

/* RBX is the APIC-access page, ECX an offset, EAX a value. */
PROGRAM(a_read, "mov (%rbx, %rcx), %eax");
PROGRAM(a_read64, "mov (%rbx, %rcx), %rax");
PROGRAM(a_write, "mov %eax, (%rbx, %rcx)\n nop");
PROGRAM(a_write8, "mov %al, (%rbx, %rcx)\n nop");
PROGRAM(a_or, "orl $0x11, (%rbx, %rcx)\n nop");
PROGRAM(a_xchg, "xchg %eax, (%rbx, %rcx)\n nop");
PROGRAM(a_stos, "lea -8(%rbx), %rdi\n mov $4, %ecx\n rep stosl");
PROGRAM(a_cr8, "mov %rax, %cr8\n nop");
PROGRAM(a_write_sti, "mov %eax, (%rbx, %rcx)\n sti\n nop\n nop");
PROGRAM(a_sti_write, "sti\n nop\n mov %eax, (%rbx, %rcx)\n nop");
PROGRAM(a_sti_cr8, "sti\n nop\n mov %rax, %cr8\n nop");
PROGRAM(a_nops, "nop\n nop\n nop");
PROGRAM(a_wrmsr, "wrmsr\n nop");
PROGRAM(a_rdmsr, "rdmsr\n nop");

static void at(u32 offset, u64 value) {
  registers.rbx = WINDOW;
  registers.rcx = offset;
  registers.rax = value;
}

static void show_access(const char *name, const char *program, u32 secondary, u32 offset, u64 value) {
  start(program, secondary | APIC_ACCESSES, 0, 0);
  *reg(TPR) = 0x40;
  *reg(0x30) = 0x50014;
  at(offset, value);
  show(name, secondary);
}

static void show_accesses(void) {
  section("Accesses to the APIC-access page");
  show_access("read of the TPR", a_read, 0, TPR, 0);
  show_access("read of the TPR, 64 bits", a_read64, 0, TPR, 0);
  show_access("read of the version", a_read, 0, 0x30, 0);
  show_access("read of the version, registers virtualized", a_read, REGISTERS, 0x30, 0);
  show_access("read of the PPR, registers virtualized", a_read, REGISTERS, PPR, 0);
  show_access("read at 84h, registers virtualized", a_read, REGISTERS, 0x84, 0);
  show_access("write of the TPR", a_write, 0, TPR, 0x12345678);
  show_access("write of the TPR, a byte", a_write8, 0, TPR, 0x12345678);
  show_access("write of the version, registers virtualized", a_write, REGISTERS, 0x30, 1);
  show_access("write of the EOI register", a_write, 0, EOI, 0);
  show_access("... registers virtualized", a_write, REGISTERS, EOI, 0);
  show_access("write of the SVR, registers virtualized", a_write, REGISTERS, 0xf0, 0x1ff);
  show_access("OR to the TPR", a_or, 0, TPR, 0);
  show_access("XCHG with the TPR", a_xchg, 0, TPR, 0x23);
  show_access("OR to the version", a_or, 0, 0x30, 0);
  show_access("REP STOSD into the page", a_stos, REGISTERS, 0, 0);
  start(a_nops, APIC_ACCESSES, 0, 0);
  vmwrite(GUEST_RSP, WINDOW + 0x400);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, UD));
  enter();
  LINE("stack in the page while #UD is injected", ", qualification %lx, IDT vectoring %lx", qualification(), vmread(IDT_VECTORING));
  start(a_nops, APIC_ACCESSES, 0, 0);
  vmwrite(GUEST_IDTR_BASE, WINDOW);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, UD));
  enter();
  LINE("IDT in the page while #UD is injected", ", qualification %lx, IDT vectoring %lx", qualification(), vmread(IDT_VECTORING));
}

static void show_priority(void) {
  section("Task priority");
  start(a_cr8, 0, 0, 0);
  *reg(TPR) = 0x90;
  vmwrite(TPR_THRESHOLD, 5);
  registers.rax = 5;
  show("MOV CR8, at the threshold", 0);
  start(a_cr8, 0, 0, 0);
  *reg(TPR) = 0x90;
  vmwrite(TPR_THRESHOLD, 5);
  registers.rax = 4;
  show("MOV CR8, below the threshold", 0);
  start(a_write, APIC_ACCESSES, 0, 0);
  *reg(TPR) = 0x90;
  vmwrite(TPR_THRESHOLD, 5);
  at(TPR, 0x4f);
  show("write, below the threshold", 0);
  start(a_nops, APIC_ACCESSES, 0, 0);
  *reg(TPR) = 0x40;
  vmwrite(TPR_THRESHOLD, 5);
  show("VM entry below the threshold", 0);
}

static void show_delivery(const char *name, const char *program, u32 rvi, u32 svi, u32 tpr, u32 offset, u64 value, u64 rflags) {
  start(program, APIC_ACCESSES | REGISTERS | DELIVERY, rvi, svi);
  *reg(TPR) = tpr;
  add(GUEST_RFLAGS, rflags);
  at(offset, value);
  show(name, DELIVERY);
}

static void show_virtual(void) {
  section("Virtual interrupts");
  show_delivery("at VM entry", a_nops, 0x31, 0, 0, 0, 0, RFLAGS_IF);
  show_delivery("at VM entry, IF = 0", a_nops, 0x31, 0, 0, 0, 0, 0);
  show_delivery("at VM entry, TPR too high", a_nops, 0x31, 0, 0x30, 0, 0, RFLAGS_IF);
  show_delivery("at VM entry, the same class in service", a_nops, 0x35, 0x31, 0x2f, 0, 0, RFLAGS_IF);
  show_delivery("at VM entry, a lower class in service", a_nops, 0x35, 0x21, 0, 0, 0, RFLAGS_IF);
  show_delivery("MOV CR8 lets it through", a_sti_cr8, 0x31, 0, 0x50, 0, 2, 0);
  show_delivery("write of the TPR lets it through", a_sti_write, 0x31, 0, 0x50, TPR, 0x2f, 0);
  show_delivery("EOI lets it through", a_sti_write, 0x31, 0x35, 0, EOI, 0, 0);
  show_delivery("EOI, nothing waits", a_sti_write, 0, 0x35, 0x12, EOI, 0, 0);
  show_delivery("self-IPI", a_sti_write, 0, 0, 0, ICR, 0x40033, 0);
  show_delivery("self-IPI, IF = 0", a_write, 0, 0, 0, ICR, 0x40033, 0);
  show_delivery("self-IPI below the one that waits", a_write, 0x35, 0, 0, ICR, 0x40033, 0);
  show_delivery("self-IPI, vector 15", a_write, 0, 0, 0, ICR, 0x4000f, 0);
  show_delivery("self-IPI, level-triggered", a_write, 0, 0, 0, ICR, 0x48033, 0);
  show_delivery("IPI to all", a_write, 0, 0, 0, ICR, 0x80033, 0);
  show_delivery("behind STI", a_write_sti, 0, 0, 0, ICR, 0x40033, 0);
  show_delivery("ICR, upper half", a_write, 0, 0, 0, ICR_HIGH, 0x12345678, 0);
  print("upper half of the virtual ICR: %x\n", *reg(ICR_HIGH));
  start(a_sti_write, APIC_ACCESSES | REGISTERS | DELIVERY, 0x31, 0x35);
  vmwrite(EOI_EXIT_BITMAP, 1ul << 0x35);
  at(EOI, 0);
  show("EOI that exits", DELIVERY);
  start(a_nops, DELIVERY, 0x31, 0);
  add(GUEST_RFLAGS, RFLAGS_IF);
  add(PRIMARY_CONTROLS, INTERRUPT_WINDOW_EXITING);
  show("interrupt-window exiting", DELIVERY);
  start(a_nops, DELIVERY, 0x31, 0);
  add(GUEST_RFLAGS, RFLAGS_IF);
  vmwrite(GUEST_INTERRUPTIBILITY, BLOCKING_BY_MOV_SS);
  show("blocking by MOV SS", DELIVERY);
}

static void show_msr_access(const char *name, const char *program, u32 secondary, u32 svi, u32 msr, u64 value) {
  start(program, X2APIC | secondary, 0, svi);
  *reg(TPR) = 0x40;
  *reg(PPR) = 0x77;
  registers.rcx = msr;
  registers.rax = (u32)value;
  registers.rdx = value >> 32;
  show(name, secondary);
}

static void show_x2apic(void) {
  section("Virtualized x2APIC mode");
  show_msr_access("RDMSR 808H", a_rdmsr, 0, 0, 0x808, 0);
  print("EAX %lx, EDX %lx\n", registers.rax, registers.rdx);
  show_msr_access("RDMSR 80AH", a_rdmsr, 0, 0, 0x80a, 0);
  show_msr_access("RDMSR 80AH, registers virtualized", a_rdmsr, REGISTERS, 0, 0x80a, 0);
  print("EAX %lx, EDX %lx\n", registers.rax, registers.rdx);
  show_msr_access("WRMSR 808H", a_wrmsr, 0, 0, 0x808, 0x9f);
  show_msr_access("WRMSR 808H, bit 8", a_wrmsr, 0, 0, 0x808, 0x19f);
  show_msr_access("WRMSR 808H, bit 32", a_wrmsr, 0, 0, 0x808, 1ul << 32);
  show_msr_access("WRMSR 80BH", a_wrmsr, DELIVERY, 0x35, 0x80b, 0);
  show_msr_access("WRMSR 80BH, bit 0", a_wrmsr, DELIVERY, 0x35, 0x80b, 1);
  show_msr_access("WRMSR 83FH", a_wrmsr, DELIVERY, 0, 0x83f, 0x33);
  show_msr_access("WRMSR 83FH, vector 15", a_wrmsr, DELIVERY, 0, 0x83f, 0xf);
  show_msr_access("WRMSR 83FH, bit 8", a_wrmsr, DELIVERY, 0, 0x83f, 0x133);
}

#define ALL (APIC_ACCESSES | X2APIC | REGISTERS | DELIVERY)

void show_apic(void) {
  if (((rdmsr(VMX_SECONDARY) >> 32) & ALL) != ALL) return;
  show_accesses();
  show_priority();
  show_virtual();
  show_x2apic();
}
