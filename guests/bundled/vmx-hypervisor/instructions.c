/* Instructions that exit: always, or with a control of their own; then let through where that is harmless. */
#include "vm.h"

static u8 scratch[64] __attribute__((aligned(64), used));
static u64 operand __attribute__((used));
static const u64 guest_gdt[] __attribute__((aligned(16), used)) = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff };
static struct { u16 limit; u64 base; } __attribute__((packed)) gdtr __attribute__((used)) = { sizeof guest_gdt - 1, (u64)guest_gdt };

PROGRAM(p_cpuid, "xor %eax, %eax\n cpuid");
PROGRAM(p_vmcall, "nop");
PROGRAM(p_invd, "invd");
PROGRAM(p_xsetbv, "xor %ecx, %ecx\n xor %edx, %edx\n mov $1, %eax\n xsetbv");
PROGRAM(p_vmclear, "vmclear operand");
PROGRAM(p_vmlaunch, "vmlaunch");
PROGRAM(p_vmptrld, "vmptrld operand");
PROGRAM(p_vmptrst, "vmptrst operand");
PROGRAM(p_vmread, "vmread %rax, %rcx");
PROGRAM(p_vmresume, "vmresume");
PROGRAM(p_vmwrite, "vmwrite %rax, %rcx");
PROGRAM(p_vmxoff, "vmxoff");
PROGRAM(p_vmxon, "vmxon operand");
PROGRAM(p_invept, "invept scratch, %rax");
PROGRAM(p_invvpid, "invvpid scratch, %rax");
PROGRAM(p_hlt, "hlt");
PROGRAM(p_invlpg, "mov $0x200000, %eax\n invlpg (%rax)");
PROGRAM(p_mwait, "xor %eax, %eax\n xor %ecx, %ecx\n mwait");
PROGRAM(p_monitor, "lea scratch, %rax\n xor %ecx, %ecx\n xor %edx, %edx\n monitor");
PROGRAM(p_rdpmc, "xor %ecx, %ecx\n rdpmc");
PROGRAM(p_rdtsc, "rdtsc");
PROGRAM(p_rdtscp, "rdtscp");
PROGRAM(p_pause, "pause");
PROGRAM(p_wbinvd, "wbinvd");
PROGRAM(p_sgdt, "sgdt scratch");
PROGRAM(p_sidt, "sidt scratch");
PROGRAM(p_lgdt, "lgdt gdtr");
PROGRAM(p_sldt, "sldt %eax");
PROGRAM(p_str, "str %eax");
PROGRAM(p_lldt, "xor %eax, %eax\n lldt %ax");

enum { ONLY_EXITS = 0, RUNS = 1 };
static const struct {
  const char *name, *program;
  u32 field, control;
  int runs;
} cases[] = {
  { "CPUID", p_cpuid, 0, 0, ONLY_EXITS },
  { "VMCALL", p_vmcall, 0, 0, ONLY_EXITS },
  { "INVD", p_invd, 0, 0, ONLY_EXITS },
  { "XSETBV", p_xsetbv, 0, 0, ONLY_EXITS },
  { "VMCLEAR", p_vmclear, 0, 0, ONLY_EXITS },
  { "VMLAUNCH", p_vmlaunch, 0, 0, ONLY_EXITS },
  { "VMPTRLD", p_vmptrld, 0, 0, ONLY_EXITS },
  { "VMPTRST", p_vmptrst, 0, 0, ONLY_EXITS },
  { "VMREAD", p_vmread, 0, 0, ONLY_EXITS },
  { "VMRESUME", p_vmresume, 0, 0, ONLY_EXITS },
  { "VMWRITE", p_vmwrite, 0, 0, ONLY_EXITS },
  { "VMXOFF", p_vmxoff, 0, 0, ONLY_EXITS },
  { "VMXON", p_vmxon, 0, 0, ONLY_EXITS },
  { "INVEPT", p_invept, 0, 0, ONLY_EXITS },
  { "INVVPID", p_invvpid, 0, 0, ONLY_EXITS },
  { "HLT", p_hlt, PRIMARY_CONTROLS, HLT_EXITING, ONLY_EXITS },
  { "INVLPG", p_invlpg, PRIMARY_CONTROLS, INVLPG_EXITING, RUNS },
  { "MWAIT", p_mwait, PRIMARY_CONTROLS, MWAIT_EXITING, ONLY_EXITS },
  { "MONITOR", p_monitor, PRIMARY_CONTROLS, MONITOR_EXITING, RUNS },
  { "RDPMC", p_rdpmc, PRIMARY_CONTROLS, RDPMC_EXITING, ONLY_EXITS },
  { "RDTSC", p_rdtsc, PRIMARY_CONTROLS, RDTSC_EXITING, RUNS },
  { "RDTSCP", p_rdtscp, PRIMARY_CONTROLS, RDTSC_EXITING, RUNS },
  { "PAUSE", p_pause, PRIMARY_CONTROLS, PAUSE_EXITING, RUNS },
  { "WBINVD", p_wbinvd, SECONDARY_CONTROLS, WBINVD_EXITING, RUNS },
  { "SGDT", p_sgdt, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
  { "SIDT", p_sidt, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
  { "LGDT", p_lgdt, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
  { "SLDT", p_sldt, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
  { "STR", p_str, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
  { "LLDT", p_lldt, SECONDARY_CONTROLS, DESCRIPTOR_TABLE_EXITING, RUNS },
};

#define CR4_OSXSAVE 0x40000ul

static void show_cases(void) {
  section("Instructions: exit, then the instruction by itself");
  for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
    create(cases[i].program);
    if (cases[i].program == p_xsetbv) {
      if (!(cpuid(1, 0).ecx >> 26 & 1)) continue;
      add(GUEST_CR4, CR4_OSXSAVE);
    }
    if ((cases[i].program == p_monitor || cases[i].program == p_mwait) && !(cpuid(1, 0).ecx >> 3 & 1)) continue;
    if (cases[i].program == p_rdtscp && !(vmread(SECONDARY_CONTROLS) & ENABLE_RDTSCP)) continue;
    if (cases[i].field) add(cases[i].field, cases[i].control);
    int failure = enter();
    if (failure) {
      print("%-44s entry refused: %lu\n", cases[i].name, vmread(INSTRUCTION_ERROR));
      continue;
    }
    begin(cases[i].name);
    print(", length %lu", vmread(EXIT_INSTRUCTION_LENGTH));
    if (cases[i].program == p_invlpg) print(", qualification %lx", qualification());
    if (cases[i].runs == RUNS) {
      remove_bits(cases[i].field, cases[i].control);
      enter();
      print("; %s", exit_reason() == VMCALL && delivered() < 0 ? "runs" : "does not run");
    }
    print("\n");
  }
}

PROGRAM(p_leaf, "mov $0x12345678, %eax\n mov $0x9abcdef0, %ecx\n cpuid\n mov %rbx, %rsi");

static void show_registers(void) {
  run(p_leaf);
  begin("CPUID, registers");
  print(", RAX %lx, RCX %lx", registers.rax, registers.rcx);
  registers.rbx = 0x1122334455667788;
  resume_after(2);
  print(", RBX through RSI %lx\n", registers.rsi);
}

PROGRAM(p_rdmsr, "mov $0x1b, %ecx\n rdmsr");
PROGRAM(p_in, "in $0x80, %al");
PROGRAM(p_mov_cr3, "mov %cr3, %rax");
PROGRAM(p_ud, "ud2");

/* SDM 3, "Relative Priority of Faults and VM Exits". */
static void show_priorities(void) {
  static const struct { const char *name, *program; } user[] = {
    { "HLT at CPL 3", p_hlt }, { "RDMSR at CPL 3", p_rdmsr }, { "IN at CPL 3, no I/O permission", p_in }, { "MOV from CR3 at CPL 3", p_mov_cr3 },
    { "INVLPG at CPL 3", p_invlpg }, { "VMREAD at CPL 3", p_vmread }, { "VMXOFF at CPL 3", p_vmxoff }, { "VMCALL at CPL 3", p_vmcall },
    { "CPUID at CPL 3", p_cpuid }, { "INVD at CPL 3", p_invd },
  };
  section("Exit or exception: which comes first");
  for (u32 i = 0; i < sizeof user / sizeof *user; i++) {
    create(user[i].program);
    as_user();
    vmwrite(GUEST_TR_LIMIT, 0x67);
    memset(io_bitmaps, 0xff, sizeof io_bitmaps);
    memset(msr_bitmap, 0xff, sizeof msr_bitmap);
    add(PRIMARY_CONTROLS, HLT_EXITING | INVLPG_EXITING | CR3_STORE_EXITING);
    vmwrite(EXCEPTION_BITMAP, 1u << GP | 1u << UD);
    /* The I/O map of the TSS would begin at 0: an offset behind the limit means that there is none. */
    extern u8 tss[];
    *(u16 *)(tss + 102) = 104;
    enter();
    begin(user[i].name);
    if (exit_reason() == EXCEPTION_OR_NMI) print(", information %lx, error code %lx", vmread(EXIT_INTERRUPTION), vmread(EXIT_ERROR_CODE));
    print("\n");
  }
}

static void show_tsc(void) {
  section("Time stamp counter");
  create(p_rdtsc);
  add(PRIMARY_CONTROLS, USE_TSC_OFFSETTING);
  vmwrite(TSC_OFFSET, 1ul << 40);
  u64 before = rdtsc();
  enter();
  u64 after = rdtsc();
  u64 seen = registers.rax | registers.rdx << 32;
  begin("RDTSC with TSC offset 2^40");
  print(", in the offset interval: %s\n", seen - (1ul << 40) >= before && seen - (1ul << 40) <= after ? "yes" : "no");
}

void show_instructions(void) {
  show_cases();
  show_registers();
  show_priorities();
  show_tsc();
}
