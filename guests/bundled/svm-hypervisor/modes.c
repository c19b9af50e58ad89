/* Guests in other modes: 32-bit without and with paging, PAE, compatibility, real mode with and without paging. */
#include "vm.h"

#define CODE32 0xc9b
#define CODE16 0x09b
#define DATA16 0x093

static u32 page_directory[1024] __attribute__((aligned(PAGE)));
static u64 pae_pointers[4] __attribute__((aligned(32)));
static u64 pae_directory[512] __attribute__((aligned(PAGE)));

PROGRAM_BITS(32, m_protected, "mov $0x89abcdef, %eax\n lea 4(%eax,%eax), %ebx\n push %ebx\n pop %ecx\n mov %cr0, %edx");
PROGRAM_BITS(32, m_fault, "mov 0x90000000, %eax");
PROGRAM_BITS(32, m_cpuid, "nop\n cpuid");

static void protected_mode(const char *program) {
  create(program);
  vmcb.cs = (struct vmcb_segment){ 0x08, CODE32, 0xffffffff, 0 };
  vmcb.efer = EFER_SVME;
  vmcb.cr0 = CR0_PE | CR0_ET | CR0_NE;
  vmcb.cr3 = 0;
  vmcb.cr4 = 0;
}

static void show_protected(void) {
  section("32-bit guests");
  protected_mode(m_protected);
  enter();
  LINE("protected mode without paging", ", EAX %lx, EBX %lx, ECX %lx, CR0 %lx", vmcb.rax, registers.rbx, registers.rcx, registers.rdx);

  for (u32 i = 0; i < 512; i++) page_directory[i] = i << 22 | 0x87;
  protected_mode(m_protected);
  vmcb.cr0 |= CR0_PG;
  vmcb.cr4 = CR4_PSE;
  vmcb.cr3 = (u64)page_directory;
  enter();
  LINE("two-level paging", ", EAX %lx, EBX %lx, ECX %lx, CR0 %lx", vmcb.rax, registers.rbx, registers.rcx, registers.rdx);
  protected_mode(m_fault);
  vmcb.cr0 |= CR0_PG;
  vmcb.cr4 = CR4_PSE;
  vmcb.cr3 = (u64)page_directory;
  intercept(EXCEPTION + PF);
  enter();
  LINE("two-level paging, no page", ", error code %lx, address %lx", vmcb.exit_info1, vmcb.exit_info2);

  for (u64 i = 0; i < 512; i++) pae_directory[i] = i << 21 | 0x87;
  pae_pointers[0] = (u64)pae_directory | 1;
  protected_mode(m_protected);
  vmcb.cr0 |= CR0_PG;
  vmcb.cr4 = CR4_PAE;
  vmcb.cr3 = (u64)pae_pointers;
  enter();
  LINE("PAE paging", ", EAX %lx, EBX %lx, ECX %lx, CR0 %lx", vmcb.rax, registers.rbx, registers.rcx, registers.rdx);

  protected_mode(m_cpuid);
  intercept(CPUID);
  enter();
  LINE("CPUID");

  create(m_protected);
  vmcb.cs = (struct vmcb_segment){ 0x08, CODE32, 0xffffffff, 0 };
  intercept(EXCEPTION + GP);
  enter();
  LINE("compatibility mode", ", EAX %lx, EBX %lx, ECX %lx, CR0 %lx", vmcb.rax, registers.rbx, registers.rcx, registers.rdx);
}

/* Guest-physical memory is 64 KiB of its own: interrupt table at 0, code at 1000h, stack below 9000h. */
#define REAL_CODE 0x1000
#define REAL_HANDLER 0x2000
PROGRAM_BITS(16, r_main, "mov $0x400, %ax\n mov %ax, %ds\n mov $0x5678, %bx\n int $0x21\n hlt");
PROGRAM_BITS(16, r_handler, "mov %bx, 0x10\n mov %cs, %cx");
PROGRAM_BITS(16, r_outside, "mov $0xf000, %ax\n mov %ax, %ds\n mov 0xfff0, %al");

static void real_mode(const char *program) {
  create(program);
  memset(small_memory, 0, sizeof small_memory);
  *(u32 *)(small_memory + 4 * 0x21) = REAL_HANDLER;
  memcpy(small_memory + REAL_CODE, program, 64);
  memcpy(small_memory + REAL_HANDLER, r_handler, 64);
  vmcb.nested_cr3 = npt_small_root();
  vmcb.efer = EFER_SVME;
  vmcb.cr0 = CR0_ET;
  vmcb.cr3 = vmcb.cr4 = 0;
  vmcb.cs = (struct vmcb_segment){ REAL_CODE >> 4, CODE16, 0xffff, REAL_CODE };
  vmcb.ds = vmcb.es = vmcb.ss = (struct vmcb_segment){ 0, DATA16, 0xffff, 0 };
  vmcb.idtr.base = 0;
  vmcb.idtr.limit = 0x3ff;
  vmcb.rip = 0;
  vmcb.rsp = 0x9000;
}

PROGRAM_BITS(16, r_paged, "mov $0x9abc, %bx");
PROGRAM_BITS(16, r_cpuid, "nop\n cpuid");

/* CR0.PG without CR0.PE is a state that only VMRUN can load (APM 2, "Paged Real Mode"). */
#define REAL_DIRECTORY 0x7000
#define REAL_TABLE 0x8000
static void paged_real_mode(void) {
  real_mode(r_main);
  *(u32 *)(small_memory + REAL_DIRECTORY) = REAL_TABLE | 7;
  for (u32 i = 0; i < 16; i++) *(u32 *)(small_memory + REAL_TABLE + 4 * i) = i << 12 | 7;
  *(u32 *)(small_memory + REAL_TABLE + 4) = 0x5007;
  memcpy(small_memory + 0x5000, r_paged, 64);
  vmcb.cr0 = CR0_ET | CR0_PG;
  vmcb.cr3 = REAL_DIRECTORY;
}

static void virtual_8086(void) {
  real_mode(r_cpuid);
  vmcb.cr0 = CR0_ET | CR0_PE;
  vmcb.cs.attributes = vmcb.ds.attributes = vmcb.es.attributes = vmcb.ss.attributes = 0x0f3;
  vmcb.rflags |= RFLAGS_VM;
}

static void show_real(void) {
  section("Real mode");
  real_mode(r_main);
  enter();
  print("%-44s %03x at %x:%lx, CX %lx, SP %lx, pushed IP %x CS %x\n", "INT 21h through the interrupt table", exit_code(), vmcb.cs.selector, vmcb.rip, registers.rcx & 0xffff,
        vmcb.rsp, *(u16 *)(small_memory + vmcb.rsp), *(u16 *)(small_memory + vmcb.rsp + 2));
  print("%-44s %x at DS base %lx\n", "stored by the handler", *(u16 *)(small_memory + (vmcb.ds.base + 0x10) % 0x10000), vmcb.ds.base);
  real_mode(r_main);
  intercept(SWINT);
  enter();
  print("%-44s %03x at %x:%lx\n", "INT 21h intercepted", exit_code(), vmcb.cs.selector, vmcb.rip);
  real_mode(r_outside);
  enter();
  print("%-44s %03x at %x:%lx, error %lx, address %lx\n", "read outside of guest memory", exit_code(), vmcb.cs.selector, vmcb.rip, vmcb.exit_info1, vmcb.exit_info2);
  real_mode(r_main);
  vmcb.event_injection = EVENT(EXTERNAL, 0x21);
  enter();
  print("%-44s %03x at %x:%lx, pushed IP %x\n", "interrupt 21h injected", exit_code(), vmcb.cs.selector, vmcb.rip, *(u16 *)(small_memory + vmcb.rsp));
  paged_real_mode();
  enter();
  print("%-44s %03x at %x:%lx, BX %lx\n", "paged: linear 1000h is physical 5000h", exit_code(), vmcb.cs.selector, vmcb.rip, registers.rbx & 0xffff);
  virtual_8086();
  intercept(CPUID);
  enter();
  print("%-44s %03x at %x:%lx, RFLAGS %lx\n", "virtual-8086 mode: CPUID", exit_code(), vmcb.cs.selector, vmcb.rip, vmcb.rflags);
  print("%-44s %u\n", "virtual-8086 mode: CPL 0 became", vmcb.cpl);
  real_mode(r_paged);
  vmcb.cpl = 3;
  enter();
  print("%-44s %u\n", "real mode: CPL 3 became", vmcb.cpl);
}

void show_modes(void) {
  show_protected();
  show_real();
}
