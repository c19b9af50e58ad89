/* Guests in other modes: 32-bit without and with paging, PAE, compatibility, real mode, virtual-8086. */
#include "vm.h"

#define CODE32 0xc09b
#define CODE16 0x009b
#define DATA16 0x0093

static u32 page_directory[1024] __attribute__((aligned(PAGE)));
static u64 pae_pointers[4] __attribute__((aligned(32)));
static u64 pae_directory[512] __attribute__((aligned(PAGE)));

PROGRAM_BITS(32, m_protected, "mov $0x89abcdef, %eax\n lea 4(%eax,%eax), %ebx\n push %ebx\n pop %ecx\n mov %cr0, %edx");
PROGRAM_BITS(32, m_fault, "mov 0x90000000, %eax");
PROGRAM_BITS(32, m_cpuid, "nop\n cpuid");

static void protected_mode(const char *program) {
  create(program);
  remove_bits(ENTRY_CONTROLS, ENTRY_IA32E);
  vmwrite(GUEST_CS_ACCESS, CODE32);
  vmwrite(GUEST_EFER, 0);
  vmwrite(GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
  vmwrite(GUEST_CR3, 0);
  vmwrite(GUEST_CR4, CR4_VMXE);
}

static void show_registers(const char *name) {
  enter();
  LINE(name, ", EAX %lx, EBX %lx, ECX %lx, CR0 %lx", registers.rax, registers.rbx, registers.rcx, registers.rdx);
}

static void two_levels(const char *program) {
  protected_mode(program);
  add(GUEST_CR0, CR0_PG);
  add(GUEST_CR4, CR4_PSE);
  vmwrite(GUEST_CR3, (u64)page_directory);
}

static void show_protected(void) {
  section("32-bit guests");
  protected_mode(m_protected);
  show_registers("protected mode without paging");
  for (u32 i = 0; i < 512; i++) page_directory[i] = i << 22 | 0x87;
  two_levels(m_protected);
  show_registers("two-level paging");
  two_levels(m_fault);
  vmwrite(EXCEPTION_BITMAP, 1u << PF);
  enter();
  LINE("two-level paging, no page", ", error code %lx, address %lx", vmread(EXIT_ERROR_CODE), qualification());
  for (u64 i = 0; i < 512; i++) pae_directory[i] = i << 21 | 0x87;
  pae_pointers[0] = (u64)pae_directory | 1;
  protected_mode(m_protected);
  add(GUEST_CR0, CR0_PG);
  add(GUEST_CR4, CR4_PAE);
  vmwrite(GUEST_CR3, (u64)pae_pointers);
  /* With EPT the page-directory-pointer entries come from the VMCS. */
  for (u32 i = 0; i < 4; i++) vmwrite(GUEST_PDPTE0 + 2 * i, pae_pointers[i]);
  show_registers("PAE paging");
  protected_mode(m_cpuid);
  enter();
  LINE("CPUID");
  create(m_protected);
  vmwrite(GUEST_CS_ACCESS, CODE32);
  vmwrite(EXCEPTION_BITMAP, 1u << GP);
  show_registers("compatibility mode");
}

/* Guest-physical memory is 64 KiB of its own: interrupt table at 0, code at 1000h, stack below 9000h. */
#define REAL_CODE 0x1000
#define REAL_HANDLER 0x2000
PROGRAM_BITS(16, r_main, "mov $0x400, %ax\n mov %ax, %ds\n mov $0x5678, %bx\n int $0x21\n hlt");
PROGRAM_BITS(16, r_handler, "mov %bx, 0x10\n mov %cs, %cx");
PROGRAM_BITS(16, r_outside, "mov $0xf000, %ax\n mov %ax, %ds\n mov 0xfff0, %al");
PROGRAM_BITS(16, r_cpuid, "nop\n cpuid");

static void small_guest(const char *program, u64 access) {
  protected_mode(program);
  memset(small_memory, 0, sizeof small_memory);
  *(u32 *)(small_memory + 4 * 0x21) = REAL_HANDLER;
  memcpy(small_memory + REAL_CODE, program, 64);
  memcpy(small_memory + REAL_HANDLER, r_handler, 64);
  vmwrite(EPT_POINTER, ept_small_pointer());
  for (u32 i = 0; i < 6; i++) {
    vmwrite(GUEST_ES_SELECTOR + 2 * i, 0);
    vmwrite(GUEST_ES_LIMIT + 2 * i, 0xffff);
    vmwrite(GUEST_ES_ACCESS + 2 * i, access);
  }
  vmwrite(GUEST_CS_SELECTOR, REAL_CODE >> 4);
  vmwrite(GUEST_CS_BASE, REAL_CODE);
  vmwrite(GUEST_IDTR_BASE, 0);
  vmwrite(GUEST_IDTR_LIMIT, 0x3ff);
  vmwrite(GUEST_RIP, 0);
  vmwrite(GUEST_RSP, 0x9000);
}

static void real_mode(const char *program) {
  small_guest(program, DATA16);
  vmwrite(GUEST_CS_ACCESS, CODE16);
  vmwrite(GUEST_CR0, CR0_ET | CR0_NE);
}

static void show_place(const char *name) {
  enter();
  u64 rsp = vmread(GUEST_RSP) & 0xffff;
  print("%-44s %u at %lx:%lx, pushed IP %x CS %x", name, exit_reason() & 0xffff, vmread(GUEST_CS_SELECTOR), vmread(GUEST_RIP), *(u16 *)(small_memory + rsp), *(u16 *)(small_memory + rsp + 2));
}

static void show_real(void) {
  section("Real mode and virtual-8086 mode");
  real_mode(r_main);
  show_place("INT 21h through the interrupt table");
  print(", CX %lx, SP %lx\n", registers.rcx & 0xffff, vmread(GUEST_RSP));
  print("%-44s %x at DS base %lx\n", "stored by the handler", *(u16 *)(small_memory + (vmread(GUEST_DS_BASE) + 0x10) % 0x10000), vmread(GUEST_DS_BASE));
  real_mode(r_outside);
  show_place("read outside of guest memory");
  print(", qualification %lx, address %lx\n", qualification() & 0x1ff, vmread(GUEST_PHYSICAL_ADDRESS));
  real_mode(r_main);
  add(GUEST_RFLAGS, RFLAGS_IF);
  vmwrite(ENTRY_INTERRUPTION, EVENT(EXTERNAL, 0x21));
  show_place("interrupt 21h injected");
  print("\n");
  small_guest(r_cpuid, 0xf3);
  for (u32 i = 0; i < 6; i++) vmwrite(GUEST_ES_BASE + 2 * i, vmread(GUEST_ES_SELECTOR + 2 * i) << 4);
  vmwrite(GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
  add(GUEST_RFLAGS, RFLAGS_VM);
  enter();
  print("%-44s %u at %lx:%lx, RFLAGS %lx\n", "virtual-8086 mode: CPUID", exit_reason(), vmread(GUEST_CS_SELECTOR), vmread(GUEST_RIP), vmread(GUEST_RFLAGS));
}

void show_modes(void) {
  show_protected();
  show_real();
}
