/* Every instruction with an intercept bit of its own: intercepted, then let through where that is harmless. */
#include "vm.h"

static u8 scratch[64] __attribute__((aligned(64), used));
static struct vmcb spare __attribute__((aligned(PAGE), used));
static const u64 guest_gdt[] __attribute__((aligned(16), used)) = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
static struct { u16 limit; u64 base; } __attribute__((packed)) gdtr __attribute__((used)) = { sizeof guest_gdt - 1, (u64)guest_gdt };

PROGRAM(p_cpuid, "xor %eax, %eax\n cpuid");
PROGRAM(p_rdtsc, "rdtsc");
PROGRAM(p_rdtscp, "rdtscp");
PROGRAM(p_rdpmc, "xor %ecx, %ecx\n rdpmc");
PROGRAM(p_pushf, "pushf\n pop %rax");
PROGRAM(p_popf, "pushq $2\n popf");
PROGRAM(p_iret, "push $0x10\n lea -8(%rsp), %rax\n push %rax\n push $2\n push $0x08\n lea 1f(%rip), %rax\n push %rax\n iretq\n1:");
PROGRAM(p_int, "int $0x21");
PROGRAM(p_invd, "invd");
PROGRAM(p_wbinvd, "wbinvd");
PROGRAM(p_pause, "pause");
PROGRAM(p_hlt, "hlt");
PROGRAM(p_invlpg, "mov $0x200000, %eax\n invlpg (%rax)");
PROGRAM(p_invlpga, "mov $0x200000, %eax\n xor %ecx, %ecx\n invlpga %rax, %ecx");
PROGRAM(p_sidt, "sidt scratch");
PROGRAM(p_sgdt, "sgdt scratch");
PROGRAM(p_sldt, "sldt %eax");
PROGRAM(p_str, "str %eax");
PROGRAM(p_lidt, "lidt gdtr");
PROGRAM(p_lgdt, "lgdt gdtr");
PROGRAM(p_lldt, "xor %eax, %eax\n lldt %ax");
PROGRAM(p_ltr, "mov $0x28, %eax\n ltr %ax");
PROGRAM(p_monitor, "lea scratch, %rax\n xor %ecx, %ecx\n xor %edx, %edx\n monitor");
PROGRAM(p_mwait, "xor %eax, %eax\n xor %ecx, %ecx\n mwait");
PROGRAM(p_icebp, ".byte 0xf1");
PROGRAM(p_xsetbv, "xor %ecx, %ecx\n xor %edx, %edx\n mov $1, %eax\n xsetbv");
PROGRAM(p_vmrun, "lea spare, %rax\n vmrun %rax");
PROGRAM(p_vmmcall, "nop");
PROGRAM(p_vmload, "lea spare, %rax\n vmload %rax");
PROGRAM(p_vmsave, "lea spare, %rax\n vmsave %rax");
PROGRAM(p_stgi, "stgi");
PROGRAM(p_clgi, "clgi");
PROGRAM(p_skinit, "xor %eax, %eax\n skinit %eax");

enum { ONLY_INTERCEPTED = 0, RUNS = 1 };
static const struct {
  const char *name;
  const char *program;
  u32 code;
  int runs;
} cases[] = {
  { "SIDT", p_sidt, IDTR_READ, RUNS },
  { "SGDT", p_sgdt, GDTR_READ, RUNS },
  { "SLDT", p_sldt, LDTR_READ, RUNS },
  { "STR", p_str, TR_READ, RUNS },
  { "LIDT", p_lidt, IDTR_WRITE, RUNS },
  { "LGDT", p_lgdt, GDTR_WRITE, RUNS },
  { "LLDT", p_lldt, LDTR_WRITE, RUNS },
  { "LTR", p_ltr, TR_WRITE, ONLY_INTERCEPTED },
  { "RDTSC", p_rdtsc, RDTSC, RUNS },
  { "RDPMC", p_rdpmc, RDPMC, ONLY_INTERCEPTED },
  { "PUSHF", p_pushf, PUSHF, RUNS },
  { "POPF", p_popf, POPF, RUNS },
  { "CPUID", p_cpuid, CPUID, RUNS },
  { "IRET", p_iret, IRET, RUNS },
  { "INT 21h", p_int, SWINT, RUNS },
  { "INVD", p_invd, INVD, ONLY_INTERCEPTED },
  { "PAUSE", p_pause, PAUSE, RUNS },
  { "HLT", p_hlt, HLT, ONLY_INTERCEPTED },
  { "INVLPG", p_invlpg, INVLPG, RUNS },
  { "INVLPGA", p_invlpga, INVLPGA, RUNS },
  { "VMRUN", p_vmrun, VMRUN, ONLY_INTERCEPTED },
  { "VMMCALL", p_vmmcall, VMMCALL, ONLY_INTERCEPTED },
  { "VMLOAD", p_vmload, VMLOAD, ONLY_INTERCEPTED },
  { "VMSAVE", p_vmsave, VMSAVE, RUNS },
  { "STGI", p_stgi, STGI, RUNS },
  { "CLGI", p_clgi, CLGI, ONLY_INTERCEPTED },
  { "SKINIT", p_skinit, SKINIT, ONLY_INTERCEPTED },
  { "RDTSCP", p_rdtscp, RDTSCP, RUNS },
  { "ICEBP", p_icebp, ICEBP, ONLY_INTERCEPTED },
  { "WBINVD", p_wbinvd, WBINVD, RUNS },
  { "MONITOR", p_monitor, MONITOR, RUNS },
  { "MWAIT", p_mwait, MWAIT, ONLY_INTERCEPTED },
  { "XSETBV", p_xsetbv, XSETBV, ONLY_INTERCEPTED },
};

/* CR4.OSXSAVE, without which XSETBV is undefined before anything else. */
#define CR4_OSXSAVE 0x40000ul
static int has_monitor(void) { return cpuid(1, 0).ecx >> 3 & 1; }
static int has_xsave(void) { return cpuid(1, 0).ecx >> 26 & 1; }
static int has_skinit(void) { return cpuid(0x80000001, 0).ecx >> 12 & 1; }
static int has_rdtscp(void) { return cpuid(0x80000001, 0).edx >> 27 & 1; }

static void show_cases(void) {
  section("Instruction intercepts: exit, then the instruction by itself");
  for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
    create(cases[i].program);
    if (cases[i].code == XSETBV) {
      if (!has_xsave()) continue;
      vmcb.cr4 |= CR4_OSXSAVE;
    }
    if ((cases[i].code == MONITOR || cases[i].code == MWAIT) && !has_monitor()) continue;
    if (cases[i].code == SKINIT && !has_skinit()) continue;
    if (cases[i].code == RDTSCP && !has_rdtscp()) continue;
    intercept(cases[i].code);
    enter();
    begin(cases[i].name);
    if (cases[i].runs == RUNS) {
      vmcb.intercepts[cases[i].code / 32] &= ~(1u << cases[i].code % 32);
      enter();
      if (delivered() >= 0) print("; vector %d", delivered());
      else print("; %s", exit_code() == VMMCALL ? "runs" : "does not run");
    }
    print("\n");
  }
}

PROGRAM(p_undefined_vmmcall, "vmmcall");

static void show_vmmcall(void) {
  create(p_undefined_vmmcall);
  vmcb.intercepts[VMMCALL / 32] &= ~(1u << VMMCALL % 32);
  intercept(EXCEPTION + UD);
  enter();
  LINE("VMMCALL without its intercept");
  run(p_undefined_vmmcall);
  registers.rbx = 0;
  begin("VMMCALL, then its successor");
  resume_after(VMMCALL_LENGTH);
  print("; then +%lx\n", offset(vmcb.rip));
}

PROGRAM(p_leaf, "mov $0x12345678, %eax\n mov $0x9abcdef0, %ecx\n cpuid\n mov %ebx, %eax");

static void show_registers(void) {
  create(p_leaf);
  intercept(CPUID);
  enter();
  begin("CPUID, registers");
  print(", RAX %lx, RCX %lx", vmcb.rax, registers.rcx);
  registers.rbx = 0x1122334455667788;
  resume_after(2);
  print(", RBX through EAX %lx\n", vmcb.rax);
}

PROGRAM(p_rdmsr, "mov $0x1b, %ecx\n rdmsr");
PROGRAM(p_in, "in $0x80, %al");
PROGRAM(p_mov_cr0, "mov %cr0, %rax");
PROGRAM(p_ud, "ud2");

/* Exceptions that do not depend on memory come before intercepts (APM 2, "Instruction Intercepts"). */
static void show_priorities(void) {
  static const struct {
    const char *name, *program;
    u32 code;
  } user[] = {
    { "HLT at CPL 3", p_hlt, HLT },
    { "RDMSR at CPL 3", p_rdmsr, MSR },
    { "IN at CPL 3, no I/O permission", p_in, IOIO },
    { "MOV from CR0 at CPL 3", p_mov_cr0, CR_READ },
    { "INVLPG at CPL 3", p_invlpg, INVLPG },
    { "VMRUN at CPL 3", p_vmrun, VMRUN },
    { "STGI at CPL 3", p_stgi, STGI },
    { "VMMCALL at CPL 3", p_undefined_vmmcall, VMMCALL },
    { "CPUID at CPL 3", p_cpuid, CPUID },
    { "PAUSE at CPL 3", p_pause, PAUSE },
  };
  section("Intercept or exception: which comes first");
  for (u32 i = 0; i < sizeof user / sizeof *user; i++) {
    create(user[i].program);
    as_user();
    vmcb.tr.limit = 0x5f; /* no room for an I/O map */
    memset(iopm, 0xff, sizeof iopm);
    memset(msrpm, 0xff, sizeof msrpm);
    intercept(user[i].code);
    intercept(EXCEPTION + GP);
    intercept(EXCEPTION + UD);
    enter();
    begin(user[i].name);
    if (exit_code() == EXCEPTION + GP) print(", error code %lx", vmcb.exit_info1);
    print("\n");
  }
  create(p_ud);
  intercept(EXCEPTION + UD);
  enter();
  LINE("UD2");
}

static void show_tsc(void) {
  section("Time stamp counter");
  create(p_rdtsc);
  vmcb.tsc_offset = 1ul << 40;
  u64 before = rdtsc();
  enter();
  u64 after = rdtsc();
  u64 seen = vmcb.rax | registers.rdx << 32;
  begin("RDTSC with TSC_OFFSET 2^40");
  print(", in the offset interval: %s\n", seen - (1ul << 40) >= before && seen - (1ul << 40) <= after ? "yes" : "no");
  create(p_rdtsc);
  vmcb.tsc_offset = -rdtsc();
  enter();
  seen = vmcb.rax | registers.rdx << 32;
  begin("RDTSC with a negative TSC_OFFSET");
  print(", starts near 0: %s\n", seen < 1ul << 32 ? "yes" : "no");
}

void show_instructions(void) {
  show_cases();
  show_vmmcall();
  show_registers();
  show_priorities();
  show_tsc();
}
