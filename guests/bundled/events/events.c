/*
 * Interrupts, exceptions and debug traps where they meet devices, shadows and each other. Prints one line for each case; the same on every
 * machine, bare or in a VM. What a processor does with them: Intel SDM volume 3, "Interrupt and Exception Handling" and "Debug".
 */
#include "../common/guest.h"

#define APIC 0xfee00000UL
#define APIC_EOI 0xb0
#define APIC_SVR 0xf0
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_INITIAL_COUNT 0x380
#define APIC_DIVIDE 0x3e0
#define SELF (1 << 18)
#define NMI_TO_SELF 0x400 /* The shorthand is for fixed interrupts only; this processor has the identifier 0. */
#define VECTOR 0x40
#define TRAP_FLAG 0x100
#define DR6_RESET 0xffff0ff0UL
#define DR7_RESET 0x400UL
/* Where no machine of this kind has memory or a device: reads give all ones. */
#define NOWHERE 0xf0000000UL
#define PORT 0x80

/* ---- what happened during a case ---- */

#define MOST 24
static struct event { u8 vector; u64 rip, dr6, rflags; } events[MOST];
static volatile u32 count;
static volatile u64 origin;

static void remember(struct frame *frame) {
  u64 dr6;
  __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
  if (count < MOST) events[count] = (struct event){ (u8)frame->vector, frame->rip, dr6, frame->rflags };
  count++;
}

static void report(const char *name) {
  print("%-44s", name);
  if (count == 0) print(" nothing");
  for (u32 i = 0; i < count && i < MOST; i++) {
    struct event *e = &events[i];
    long at = (long)(e->rip - origin);
    print(" %u@", e->vector);
    if (at < -9999 || at > 9999) print("%lx", e->rip);
    else print("%s%lu", at < 0 ? "-" : "+", (u64)(at < 0 ? -at : at));
    if (e->vector == 1) print("/%lx", (e->dr6 ^ DR6_RESET) & 0xe00f);
    if (e->rflags & 0x10000) print("R");
  }
  print("\n");
  count = 0;
  __asm__ volatile("mov %0, %%dr7\n\tmov %1, %%dr6" : : "r"(DR7_RESET), "r"(DR6_RESET));
}

/* ---- handlers ---- */

static void trap(struct frame *frame) { remember(frame); }
/* Instruction breakpoints are faults: RF lets the instruction execute. */
static void debug(struct frame *frame) {
  remember(frame);
  frame->rflags |= 0x10000;
  if (count > 20) frame->rflags &= ~(u64)TRAP_FLAG;
  __asm__ volatile("mov %0, %%dr6" : : "r"(DR6_RESET));
}
static void interrupt(struct frame *frame) {
  remember(frame);
  mmio_write(APIC + APIC_EOI, 0);
}
/* Faults go on where the case says. */
static volatile u64 resume_at;
static void fault(struct frame *frame) {
  remember(frame);
  frame->rip = resume_at;
  frame->rflags &= ~(u64)TRAP_FLAG;
}

/*
 * One case: the instructions, between labels 0 and 9. `origin` is where they begin; a fault goes on at 9.
 * All general registers but RSP may change: A and D are inputs.
 */
#define CASE(name, a, d, instructions) \
  do { \
    u64 rax = (u64)(a), rdx = (u64)(d); \
    __asm__ volatile( \
      "movq $0f, origin\n\tmovq $9f, resume_at\n\tmov %%rsp, saved_rsp\n\tjmp 0f\n\t.balign 64\n" \
      "0:\t" instructions "\n9:\tmov saved_rsp, %%rsp" \
      : "+a"(rax), "+d"(rdx) : : "rbx", "rcx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc"); \
    report(name); \
  } while (0)
volatile u64 saved_rsp __attribute__((used));

/* ---- delivery onto a stack that is no memory ---- */

struct gate { u16 offset_low, selector; u8 ist, access; u16 offset_middle; u32 offset_high, reserved; } __attribute__((packed));
static volatile u64 landed_rsp;
void landing(void);
/* The frame is lost: only the stack pointer tells what was pushed. */
__asm__(".text\nlanding:\n\tmov %rsp, landed_rsp\n\tmov saved_rsp, %rsp\n\tjmp *resume_at");

#define LOST(name, vector, instructions) \
  do { \
    struct { u16 limit; u64 base; } __attribute__((packed)) idtr; \
    __asm__ volatile("sidt %0" : "=m"(idtr)); \
    struct gate *gate = (struct gate *)idtr.base + (vector); \
    struct gate before = *gate; \
    set_gate(vector, landing, 0); \
    landed_rsp = 0; \
    u64 rax = 0, rdx = NOWHERE; \
    __asm__ volatile( \
      "movq $9f, resume_at\n\tmov %%rsp, saved_rsp\n\t" instructions "\n\tmovq $0, landed_rsp\n9:\tmov saved_rsp, %%rsp\n\tcli" \
      : "+a"(rax), "+d"(rdx) : : "rbx", "rcx", "memory", "cc"); \
    *gate = before; \
    print("%-44s %ld bytes\n", name, landed_rsp ? (long)(NOWHERE - landed_rsp) : -1L); \
  } while (0)

#define SEND_SELF(what) "mov $0xfee00300, %%ebx\n\tmovl $" what ", (%%rbx)\n\t"
#define NMI "0x400"
#define IPI "0x40040"

static void lost_frames(void) {
  print("\nA stack that is no memory\n");
  LOST("#UD", 6, "mov %%rdx, %%rsp\n\tud2");
  LOST("INT 80h", 0x80, "mov %%rdx, %%rsp\n\tint $0x80");
  LOST("INT3", 3, "mov %%rdx, %%rsp\n\tint3");
  LOST("#GP, with an error code", 13, "mov %%rdx, %%rsp\n\tmov $0x7ff8, %%ecx\n\tmov %%cx, %%ds");
  LOST("#DB after an instruction", 1, "mov %%rdx, %%rsp\n\tpushf\n\tmov saved_rsp, %%rsp\n\tpushf\n\torl $0x100, (%%rsp)\n\tpopf\n\tmov %%rdx, %%rsp\n\tnop");
  LOST("external interrupt", VECTOR, "mov %%rdx, %%rsp\n\t" SEND_SELF(IPI) "sti\n\tnop\n\tnop");
  mmio_write(APIC + APIC_EOI, 0);
  /* The IRET that ends blocking by NMI is one from here to here. */
  LOST("NMI", 2, "mov %%rdx, %%rsp\n\t" SEND_SELF(NMI) "nop\n\tnop");
  __asm__ volatile("mov %%rsp, %%rax\n\tpush $0x10\n\tpush %%rax\n\tpushf\n\tpush $8\n\tpush $1f\n\tiretq\n1:" : : : "rax", "memory");
}

/* ---- NMIs ---- */

static volatile u32 nested;
static void nmi(struct frame *frame) {
  remember(frame);
  if (!nested) return;
  nested = 0;
  mmio_write(APIC + APIC_ICR_LOW, NMI_TO_SELF);
  __asm__ volatile("nop\n\tnop");
  /* What comes out of turn would be in the list before this. */
  struct frame marker = *frame;
  marker.vector = 255;
  remember(&marker);
}
static void nmi_and_halt(struct frame *frame) {
  remember(frame);
  if (!nested) return;
  nested = 0;
  mmio_write(APIC + APIC_ICR_LOW, NMI_TO_SELF);
  mmio_write(APIC + APIC_LVT_TIMER, VECTOR);
  mmio_write(APIC + APIC_INITIAL_COUNT, 1000);
  __asm__ volatile("sti\n\thlt\n\tcli");
}

static void nmis(void) {
  print("\nNMIs\n");
  set_handler(2, nmi);
  CASE("to itself", 0, 0, SEND_SELF(NMI) "nop\n\tnop\n\tnop");
  nested = 1;
  CASE("another in the handler waits for IRET", 0, 0, SEND_SELF(NMI) "nop\n\tnop\n\tnop");
  CASE("MOV SS behind it", 0x10, 0, SEND_SELF(NMI) "mov %%eax, %%ss\n\tnop\n\tnop");
  CASE("sent in the shadow of MOV SS", 0x10, 0, "mov $0xfee00300, %%ebx\n\tmov %%eax, %%ss\n\tmovl $" NMI ", (%%rbx)\n\tnop\n\tnop");
  CASE("sent in the shadow of STI", 0x10, 0, "mov $0xfee00300, %%ebx\n\tsti\n\tmovl $" NMI ", (%%rbx)\n\tnop\n\tcli");
  set_handler(2, nmi_and_halt);
  nested = 1;
  CASE("a blocked one does not wake it", 0, 0, SEND_SELF(NMI) "nop\n\tnop\n\tnop");
  set_handler(2, nmi);
}

/* ---- external interrupts ---- */

static void interrupts(void) {
  print("\nInterrupts\n");
  CASE("IPI to itself with IF = 0, then STI", 0, 0, SEND_SELF(IPI) "nop\n\tsti\n\tnop\n\tnop\n\tcli");
  CASE("STI; CLI lets nothing in", 0, 0, SEND_SELF(IPI) "nop\n\tsti\n\tcli\n\tnop\n\tsti\n\tnop\n\tcli");
  CASE("MOV SS after STI", 0x10, 0, SEND_SELF(IPI) "nop\n\tsti\n\tmov %%eax, %%ss\n\tnop\n\tnop\n\tcli");
  CASE("STI; CPUID", 0, 0, SEND_SELF(IPI) "nop\n\tsti\n\tcpuid\n\tnop\n\tcli");
  CASE("STI; HLT", 0, 0, SEND_SELF(IPI) "nop\n\tsti\n\thlt\n\tnop\n\tcli");
  CASE("STI; UD2", 0, 0, SEND_SELF(IPI) "nop\n\tsti\n\tud2\n\tnop");
  __asm__ volatile("sti\n\tnop\n\tnop\n\tcli");
  count = 0;
  CASE("STI; load from a device", 0, APIC, SEND_SELF(IPI) "nop\n\tsti\n\tmovl 0x30(%%rdx), %%eax\n\tnop\n\tcli");
  CASE("POPF", 0, 0, SEND_SELF(IPI) "pushf\n\torl $0x200, (%%rsp)\n\tpopf\n\tnop\n\tcli");
  CASE("CR8 above, then below", 0xf, 0, "mov %%rax, %%cr8\n\t" SEND_SELF(IPI) "sti\n\tnop\n\txor %%eax, %%eax\n\tmov %%rax, %%cr8\n\tnop\n\tcli");
}

/* ---- single-stepping ---- */

#define STEP(instructions) "pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t" instructions "\n\tpushf\n\tandl $~0x100, (%%rsp)\n\tpopf"

static volatile u64 memory[256] __attribute__((aligned(64)));
/* A stack in it, with room for a handler below. */
#define TOP 200

static void single_steps(void) {
  print("\nSingle-stepping\n");
  CASE("NOP", 0, 0, STEP("nop"));
  CASE("CPUID", 0, 0, STEP("cpuid"));
  CASE("RDMSR", 0, 0, "mov $0x1b, %%ecx\n\t" STEP("rdmsr"));
  CASE("OUT", 0, PORT, STEP("outb %%al, %%dx"));
  CASE("IN", 0, PORT, STEP("inb %%dx, %%al"));
  CASE("INSB", 0, PORT, "mov $memory, %%edi\n\t" STEP("insb"));
  CASE("REP OUTSB, three bytes", 0, PORT, "mov $memory, %%esi\n\tmov $3, %%ecx\n\t" STEP("rep outsb"));
  CASE("load from a device", 0, APIC, STEP("movl 0x30(%%rdx), %%eax"));
  CASE("store to a device", 0x1ff, APIC, STEP("movl %%eax, 0xf0(%%rdx)"));
  CASE("addition to a device's register", 0, APIC, STEP("orl %%eax, 0xf0(%%rdx)"));
  CASE("MOV to CR8", 0, 0, STEP("mov %%rax, %%cr8"));
  CASE("MOV SS: its trap waits for the next", 0x10, 0, STEP("mov %%eax, %%ss\n\tnop"));
  CASE("MOV SS; CPUID", 0x10, 0, STEP("mov %%eax, %%ss\n\tcpuid"));
  CASE("STI; CPUID with an interrupt pending", 0, 0, SEND_SELF(IPI) STEP("sti\n\tcpuid\n\tnop\n\tcli"));
  CASE("INT3", 0, 0, STEP("int3\n\tnop"));
  CASE("UD2: a fault, no trap", 0, 0, STEP("ud2\n\tnop"));
  CASE("REP STOSB, three bytes", 0, 0, "mov $memory, %%edi\n\tmov $3, %%ecx\n\t" STEP("rep stosb"));
}

/* ---- breakpoints ---- */

#define ARM(n, address, condition, length) \
  __asm__ volatile("mov %0, %%dr" #n "\n\tmov %1, %%dr7" : : "r"((u64)(address)), "r"(DR7_RESET | 2UL << (2 * n) | (u64)(condition) << (16 + 4 * n) | (u64)(length) << (18 + 4 * n)))
#define EXECUTE 0
#define WRITE 1
#define IO 2
#define ACCESS 3

static void breakpoints(void) {
  print("\nBreakpoints\n");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write, four bytes: store", 0, memory, "movl %%eax, 8(%%rdx)\n\tnop");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write: load", 0, memory, "movl 8(%%rdx), %%eax\n\tnop");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write: store of the last byte", 0, memory, "movb %%al, 11(%%rdx)\n\tnop");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write: store behind it", 0, memory, "movb %%al, 12(%%rdx)\n\tnop");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write: store of eight bytes across it", 0, memory, "movq %%rax, 4(%%rdx)\n\tnop");
  ARM(1, &memory[2], ACCESS, 2);
  CASE("access, eight bytes: load", 0, memory, "movb 23(%%rdx), %%al\n\tnop");
  ARM(1, &memory[2], ACCESS, 2);
  CASE("access: read and write", 0, memory, "incl 16(%%rdx)\n\tnop");
  ARM(2, &memory[TOP], WRITE, 2);
  CASE("write: PUSH", 0, memory + TOP + 1, "mov %%rdx, %%rsp\n\tpush %%rax\n\tnop\n\tmov saved_rsp, %%rsp");
  ARM(2, &memory[TOP], ACCESS, 2);
  CASE("access: POP", 0, memory + TOP, "mov %%rdx, %%rsp\n\tpop %%rax\n\tmov saved_rsp, %%rsp");
  ARM(2, &memory[TOP], WRITE, 2);
  CASE("write: CALL", 0, memory + TOP + 1, "mov %%rdx, %%rsp\n\tcall 8f\n\tnop\n8:\tmov saved_rsp, %%rsp");
  ARM(3, &memory[1], WRITE, 0);
  CASE("write: REP STOSB passes over it", 0, 0, "mov $memory + 6, %%edi\n\tmov $5, %%ecx\n\trep stosb\n\tnop");
  ARM(3, &memory[1], WRITE, 0);
  CASE("write: MOVSB", 0, 0, "mov $memory, %%esi\n\tmov $memory + 8, %%edi\n\tmovsb\n\tnop");
  ARM(0, &memory[1], WRITE, 3);
  CASE("write: MOV SS in front of it", 0x10, memory, "movl $1, %%ecx\n\tmov %%eax, %%ss\n\tmovl %%ecx, 8(%%rdx)\n\tnop");
  ARM(0, &memory[1], ACCESS, 3);
  CASE("access: MOV SS itself; the trap waits", 0, memory, "movl $0x10, memory + 64\n\tmovl $0x10, %%ecx\n\tmov %%ecx, %%ss\n\tmovl 8(%%rdx), %%eax\n\tnop");
  ARM(1, APIC + 0x30, ACCESS, 3);
  CASE("access: a device's register", 0, APIC, "movl 0x30(%%rdx), %%eax\n\tnop");
  WRITE_CR(4, READ_CR(4) | 8);
  ARM(2, PORT, IO, 0);
  CASE("I/O: OUT", 0, PORT, "outb %%al, %%dx\n\tnop");
  ARM(2, PORT, IO, 0);
  CASE("I/O: IN", 0, PORT, "inb %%dx, %%al\n\tnop");
  ARM(2, PORT, IO, 0);
  CASE("I/O: REP OUTSB, two bytes", 0, PORT, "mov $memory, %%esi\n\tmov $2, %%ecx\n\trep outsb\n\tnop");
  ARM(2, PORT + 1, IO, 0);
  CASE("I/O: OUT to the port before", 0, PORT, "outb %%al, %%dx\n\tnop");
  WRITE_CR(4, READ_CR(4) & ~8UL);

  print("\nInstruction breakpoints\n");
#define ARM_AT(label) "movq $" label ", %%rcx\n\tmov %%rcx, %%dr0\n\tmov $0x402, %%ecx\n\tmov %%rcx, %%dr7\n\t"
  CASE("NOP, armed just before", 0, 0, ARM_AT("7f") "nop\n7:\tnop\n\tnop");
  CASE("CPUID", 0, 0, ARM_AT("7f") "7:\tcpuid\n\tnop");
  CASE("IN", 0, PORT, ARM_AT("7f") "7:\tinb %%dx, %%al\n\tnop");
  CASE("load from a device", 0, APIC, ARM_AT("7f") "7:\tmovl 0x30(%%rdx), %%eax\n\tnop");
  CASE("in a loop", 3, 0, ARM_AT("7f") "7:\tdec %%eax\n\tjnz 7b");
  CASE("behind MOV SS: not seen", 0x10, 0, ARM_AT("7f") "mov %%eax, %%ss\n7:\tnop\n\tnop");
  CASE("behind STI", 0, 0, ARM_AT("7f") "sti\n7:\tnop\n\tcli");
  CASE("and a trap flag", 0, 0, ARM_AT("7f") STEP("nop\n7:\tnop"));
  CASE("a jump to it", 0, 0, ARM_AT("7f") "jmp 7f\n\tnop\n7:\tnop");

  print("\nGeneral detection\n");
  CASE("MOV from DR7 with GD", 0, 0, "mov $0x2400, %%ecx\n\tmov %%rcx, %%dr7\n\tmov %%dr7, %%rax\n\tnop");
}

/* ---- branches to where no code can be ---- */

static void branches(void) {
  print("\nTargets that are not canonical\n");
  u64 bad = 0x0000800000000000UL;
  CASE("RET", bad, 0, "push %%rax\n\tret");
  CASE("JMP register", bad, 0, "jmp *%%rax");
  CASE("CALL register", bad, 0, "call *%%rax");
  memory[0] = bad;
  CASE("JMP memory", 0, memory, "jmp *(%%rdx)");
  CASE("CALL memory", 0, memory, "call *(%%rdx)");
}

void main(const struct start_info *info) {
  machine_open(info);
  print("vmexit events\n");
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
  mmio_write(APIC + APIC_SVR, 0x1ff);
  mmio_write(APIC + APIC_ICR_HIGH, 0);
  mmio_write(APIC + APIC_DIVIDE, 0xb);
  set_handler(1, debug);
  set_handler(3, trap);
  set_handler(6, fault);
  set_handler(13, fault);
  set_handler(VECTOR, interrupt);
  lost_frames();
  nmis();
  interrupts();
  single_steps();
  breakpoints();
  branches();
  print("\nA halt\n");
  CASE("HLT: the trap ends it", 0, 0, STEP("hlt\n\tnop"));
  print("\ndone\n");
  power_off();
}
