/* EPT violations and misconfigurations (SDM 3, "Exit Qualification for EPT Violations"). */
#include "vm.h"

PROGRAM(ept_read, "mov 0x40001010, %rax");
PROGRAM(ept_write, "movq $1, 0x40001010");
PROGRAM(ept_jump, "mov $0x40001010, %eax\n jmp *%rax");
PROGRAM(ept_nop, "nop");
PROGRAM(ept_missing, "mov 0x8000000000, %rax");
PROGRAM(ept_ud, "ud2");

static u8 page[PAGE] __attribute__((aligned(PAGE)));
static u64 guest_table[512] __attribute__((aligned(PAGE)));
extern u8 pml4[];
#define ACCESSED 0x20ul

static void show_fault(const char *name) {
  begin(name);
  if (exit_reason() == EPT_VIOLATION) {
    /* Bits 11:9 are advanced information that only some processors give. */
    print(", qualification %lx, address %lx", qualification() & 0x1ff, vmread(GUEST_PHYSICAL_ADDRESS));
    u64 linear = vmread(GUEST_LINEAR_ADDRESS);
    if (qualification() & 0x80) print(", linear %s%lx", offset(linear) < PAGE ? "+" : "", offset(linear) < PAGE ? offset(linear) : linear);
  }
  if (exit_reason() == EPT_MISCONFIGURATION) print(", address %lx", vmread(GUEST_PHYSICAL_ADDRESS));
  if (vmread(IDT_VECTORING) >> 31) {
    print(", during event %lx", vmread(IDT_VECTORING));
    if (vmread(IDT_VECTORING) & WITH_ERROR) print(" (%lx)", vmread(IDT_VECTORING_ERROR));
  }
  print("\n");
}

static void show_rights(const char *name, const char *program, u64 rights) {
  create(program);
  if (rights) window_map(1, page, rights);
  enter();
  show_fault(name);
}

static void show_guest_tables(const char *name, u64 rights) {
  create(ept_nop);
  if (rights) window_map(2, guest_table, rights);
  vmwrite(GUEST_CR3, WINDOW + 2 * PAGE);
  enter();
  show_fault(name);
}

static void show_repair(void) {
  create(ept_read);
  *(u64 *)(page + 0x10) = 0x1122334455667788;
  enter();
  begin("not present, then mapped");
  window_map(1, page, EPT_ALL | EPT_WRITE_BACK);
  enter();
  print("; guest reads %lx\n", registers.rax);
  create(ept_write);
  window_map(1, page, EPT_READ | EPT_WRITE_BACK);
  enter();
  begin("read-only, then writable");
  window_map(1, page, EPT_ALL | EPT_WRITE_BACK);
  enter();
  print("; our page has %lx\n", *(u64 *)(page + 0x10));
}

static void show_events(void) {
  create(ept_nop);
  vmwrite(GUEST_IDTR_BASE, WINDOW + 3 * PAGE);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, GP) | WITH_ERROR);
  vmwrite(ENTRY_ERROR_CODE, 0x20);
  enter();
  show_fault("no IDT while #GP(20h) is injected");
  create(ept_nop);
  vmwrite(GUEST_IDTR_BASE, WINDOW + 3 * PAGE);
  vmwrite(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
  vmwrite(ENTRY_INTERRUPTION, EVENT(EXTERNAL, 0x21));
  enter();
  show_fault("no IDT while interrupt 21h is injected");
  create(ept_ud);
  vmwrite(GUEST_IDTR_BASE, WINDOW + 3 * PAGE);
  enter();
  show_fault("no IDT at the guest's own #UD");
}

void show_ept(void) {
  section("Extended page tables");
  show_rights("read, not present", ept_read, 0);
  show_rights("write, not present", ept_write, 0);
  show_rights("fetch, not present", ept_jump, 0);
  show_rights("write, read-only", ept_write, EPT_READ | EPT_EXECUTE | EPT_WRITE_BACK);
  show_rights("read, read-only", ept_read, EPT_READ | EPT_WRITE_BACK);
  show_rights("fetch, no-execute", ept_jump, EPT_READ | EPT_WRITE | EPT_WRITE_BACK);
  show_rights("misconfigured: write-only", ept_read, EPT_WRITE | EPT_WRITE_BACK);
  show_rights("misconfigured: memory type 2", ept_read, EPT_ALL | 2ul << 3);
  show_rights("misconfigured: reserved bit", ept_read, EPT_ALL | EPT_WRITE_BACK | 1ul << 51);
  show_guest_tables("guest page table, not present", 0);
  memcpy(guest_table, pml4, sizeof guest_table);
  *guest_table &= ~ACCESSED;
  show_guest_tables("guest page table, read-only", EPT_READ | EPT_WRITE_BACK);
  show_guest_tables("guest page table, writable", EPT_ALL | EPT_WRITE_BACK);
  show_repair();
  run(ept_missing);
  LINE("the guest's own page fault", ", CR2 %lx", READ_CR(2));
  show_events();
}
