/* What VMRUN and #VMEXIT switch, what VMLOAD and VMSAVE move, and what nobody moves. */
#include "vm.h"

#define FS_BASE 0xc0000100
#define GS_BASE 0xc0000101
#define KERNEL_GS_BASE 0xc0000102
enum { STAR = 0xc0000081, LSTAR, CSTAR, SFMASK };
enum { SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };

static const struct {
  const char *name;
  u32 index;
  u16 offset; /* in the VMCB */
  u64 value;
} moved[] = {
  { "FS.base", FS_BASE, 0x448, 0x7f0000001000 },
  { "GS.base", GS_BASE, 0x458, 0x7f0000002000 },
  { "KernelGSBase", KERNEL_GS_BASE, 0x620, 0x7f0000003000 },
  { "STAR", STAR, 0x600, 0x0010000800001234 },
  { "LSTAR", LSTAR, 0x608, 0x7f0000004000 },
  { "CSTAR", CSTAR, 0x610, 0x7f0000005000 },
  { "SFMASK", SFMASK, 0x618, 0x47700 },
  { "SYSENTER_CS", SYSENTER_CS, 0x628, 0x8 },
  { "SYSENTER_ESP", SYSENTER_ESP, 0x630, 0x7f0000006000 },
  { "SYSENTER_EIP", SYSENTER_EIP, 0x638, 0x7f0000007000 },
};
#define MOVED (sizeof moved / sizeof *moved)

static struct vmcb saved __attribute__((aligned(PAGE)));
static u64 field(const struct vmcb *in, u16 at) { return *(const u64 *)((const u8 *)in + at); }

/* FS, GS, LDTR and TR, and the MSRs: everything else is not VMSAVE's to write. */
static int is_saved(u32 at) {
  return (at >= 0x440 && at < 0x460) || (at >= 0x470 && at < 0x480) || (at >= 0x490 && at < 0x4a0) || (at >= 0x600 && at < 0x640);
}

static void show_vmsave(void) {
  section("VMSAVE and VMLOAD");
  for (u32 i = 0; i < MOVED; i++) wrmsr(moved[i].index, moved[i].value);
  memset(&saved, 0xaa, sizeof saved);
  vmsave(&saved);
  for (u32 i = 0; i < MOVED; i++) wrmsr(moved[i].index, 0);
  vmload(&saved);
  for (u32 i = 0; i < MOVED; i++)
    print("%-44s saved %lx, loaded %lx\n", moved[i].name, field(&saved, moved[i].offset), rdmsr(moved[i].index));
  int strangers = 0;
  for (u32 i = 0; i < sizeof saved; i++) strangers += !is_saved(i) && ((const u8 *)&saved)[i] != 0xaa;
  print("%-44s %d\n", "other bytes of the VMCB that VMSAVE wrote", strangers);
  print("%-44s selector %x, attributes %x, limit %x\n", "TR", saved.tr.selector, saved.tr.attributes, saved.tr.limit);
  for (u32 i = 0; i < MOVED; i++) wrmsr(moved[i].index, 0);
}

PROGRAM(s_change, "mov $0xc0000082, %ecx\n mov $0x1234, %eax\n xor %edx, %edx\n wrmsr\n mov $0xc0000100, %ecx\n wrmsr\n"
                  "mov $0x4321, %eax\n mov %rax, %cr2\n mov %rax, %dr0\n xor %eax, %eax\n mov %rax, %cr8");

/* VMRUN and #VMEXIT alone. */
static void show_not_switched(void) {
  section("VMRUN and #VMEXIT without VMLOAD and VMSAVE");
  create(s_change);
  vmcb.lstar = 0x1111;
  vmcb.fs.base = 0x2222;
  wrmsr(LSTAR, 0);
  wrmsr(FS_BASE, 0);
  WRITE_CR(2, 0x5678);
  bare_switch(&vmcb, &registers);
  u64 lstar = rdmsr(LSTAR), fs = rdmsr(FS_BASE), dr0;
  __asm__ volatile("mov %%dr0, %0" : "=r"(dr0));
  stgi();
  begin("the guest writes LSTAR, FS.base, CR2, DR0");
  print("\n");
  print("%-44s %lx, in the VMCB %lx\n", "LSTAR afterwards: the guest's", lstar, vmcb.lstar);
  print("%-44s %lx, in the VMCB %lx\n", "FS.base afterwards: the guest's", fs, vmcb.fs.base);
  print("%-44s %lx\n", "DR0 afterwards: the guest's", dr0);
  print("%-44s %lx\n", "CR2 in the VMCB", vmcb.cr2);
  wrmsr(LSTAR, 0);
  wrmsr(FS_BASE, 0);
}

PROGRAM(s_nop, "nop");

static void show_host_state(void) {
  section("The host after #VMEXIT");
  create(s_nop);
  vmcb.dr7 = 0x455;
  vmcb.cr4 |= CR4_PSE;
  vmcb.rflags |= RFLAGS_IF | 0x8d5; /* OF SF ZF AF PF CF */
  u64 cr0 = READ_CR(0), cr3 = READ_CR(3), cr4 = READ_CR(4), efer = rdmsr(EFER_MSR);
  __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ul));
  enter();
  u64 dr7, flags;
  __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
  __asm__ volatile("pushf; pop %0" : "=r"(flags));
  int same = cr0 == READ_CR(0) && cr3 == READ_CR(3) && cr4 == READ_CR(4) && efer == rdmsr(EFER_MSR);
  print("%-44s %s\n", "CR0, CR3, CR4, EFER as before", same ? "yes" : "no");
  print("%-44s DR7 %lx, IF %lu\n", "breakpoints off, interrupts as before", dr7, flags >> 9 & 1);
  print("%-44s %lx %lx\n", "guest: RFLAGS, DR7", vmcb.rflags, vmcb.dr7);
  print("%-44s CS %x %x, SS %x, CPL %u\n", "guest: segments", vmcb.cs.selector, vmcb.cs.attributes, vmcb.ss.selector, vmcb.cpl);
  __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ul));
}

/* A translation that guest and host see: changed tables, then the two ways to make the processor look again. */
static u64 shadow_root[512] __attribute__((aligned(PAGE)));
static u64 shadow_pointers[512] __attribute__((aligned(PAGE)));
static u64 shadow_directory[512] __attribute__((aligned(PAGE)));
static u64 shadow_table[512] __attribute__((aligned(PAGE)));
static u64 first[512] __attribute__((aligned(PAGE)));
static u64 second[512] __attribute__((aligned(PAGE)));
extern u64 pml4[];
PROGRAM(s_read, "mov 0x40000000, %rax");

static void show_invalidation(void) {
  section("Without nested paging: the guest's CR3 is a table of ours");
  memcpy(shadow_root, pml4, PAGE);
  memcpy(shadow_pointers, (const void *)(pml4[0] & ~0xffful), PAGE);
  shadow_root[0] = (u64)shadow_pointers | 7;
  shadow_pointers[1] = (u64)shadow_directory | 7;
  shadow_directory[0] = (u64)shadow_table | 7;
  shadow_table[0] = (u64)first | 7;
  first[0] = 1;
  second[0] = 2;
  create(s_read);
  vmcb.nested_paging = 0;
  vmcb.cr3 = (u64)shadow_root;
  enter();
  LINE("MOV from a page of the shadow table", ", value %lx", vmcb.rax);
  shadow_table[0] = (u64)second | 7;
  __asm__ volatile("invlpga %%rax, %%ecx" : : "a"(0x40000000ul), "c"(vmcb.asid) : "memory");
  vmcb.rip = (u64)s_read;
  vmcb.tlb_control = FLUSH_NOTHING;
  enter();
  LINE("the page replaced, INVLPGA", ", value %lx", vmcb.rax);
  shadow_table[0] = (u64)first | 7;
  vmcb.rip = (u64)s_read;
  vmcb.tlb_control = FLUSH_ALL;
  enter();
  LINE("the page replaced, TLB_CONTROL = 1", ", value %lx", vmcb.rax);
  shadow_table[0] = (u64)second | 7;
  vmcb.rip = (u64)s_read;
  vmcb.tlb_control = FLUSH_NOTHING;
  vmcb.asid = 2;
  enter();
  LINE("the page replaced, another ASID", ", value %lx", vmcb.rax);
  shadow_table[0] = 0;
  vmcb.rip = (u64)s_read;
  vmcb.tlb_control = FLUSH_ALL;
  intercept(EXCEPTION + PF);
  enter();
  LINE("the page taken away", ", error code %lx, address %lx", vmcb.exit_info1, vmcb.exit_info2);
}

void show_state(void) {
  show_vmsave();
  show_not_switched();
  show_host_state();
  show_invalidation();
}
