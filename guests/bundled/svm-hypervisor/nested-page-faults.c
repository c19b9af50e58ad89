/* Nested page faults and their error codes (APM 2, "Nested versus Guest Page Faults, Fault Ordering"). */
#include "vm.h"

/* Error code bits of EXITINFO1: 0 P, 1 write, 2 user, 3 reserved bit, 4 fetch, 32 the final address, 33 a guest page table. */

PROGRAM(npf_read, "mov 0x40001010, %rax");
PROGRAM(npf_write, "movq $1, 0x40001010");
PROGRAM(npf_jump, "mov $0x40001010, %eax\n jmp *%rax");
PROGRAM(npf_nop, "nop");

static u8 page[PAGE] __attribute__((aligned(PAGE)));
static u64 guest_table[512] __attribute__((aligned(PAGE)));
extern u8 pml4[];

static void show_fault(const char *name) {
  begin(name);
  if (exit_code() == NPF) print(", error %lx, address %lx", vmcb.exit_info1, vmcb.exit_info2);
  if (vmcb.exit_int_info >> 31 & 1) print(", during event %lx", vmcb.exit_int_info);
  print("\n");
}

static void show_rights(const char *name, const char *program, u64 rights) {
  create(program);
  if (rights) window_map(1, page, rights);
  enter();
  show_fault(name);
}

static void show_guest_tables(const char *name, u64 rights) {
  create(npf_nop);
  if (rights) window_map(2, guest_table, rights);
  vmcb.cr3 = WINDOW + 2 * PAGE;
  enter();
  show_fault(name);
}

static void show_repair(void) {
  create(npf_read);
  *(u64 *)(page + 0x10) = 0x1122334455667788;
  enter();
  begin("not present, then mapped");
  window_map(1, page, NPT_ALL);
  vmcb.tlb_control = FLUSH_ALL;
  enter();
  print("; guest reads %lx\n", vmcb.rax);

  create(npf_write);
  window_map(1, page, NPT_PRESENT | NPT_USER);
  enter();
  begin("read-only, then writable");
  window_map(1, page, NPT_ALL);
  enter();
  print("; our page has %lx\n", *(u64 *)(page + 0x10));
}

static const char *flag(u64 entry, u64 bit) { return entry & bit ? "1" : "0"; }

static void show_accessed_dirty(void) {
  create(npf_read);
  window_map(1, page, NPT_ALL);
  enter();
  begin("nested entry after a read");
  print(", A %s, D %s\n", flag(window_entry(1), NPT_ACCESSED), flag(window_entry(1), NPT_DIRTY));
  create(npf_write);
  window_map(1, page, NPT_ALL);
  enter();
  begin("nested entry after a write");
  print(", A %s, D %s\n", flag(window_entry(1), NPT_ACCESSED), flag(window_entry(1), NPT_DIRTY));
}

PROGRAM(npf_missing, "mov 0x8000000000, %rax");

static void show_guest_fault(void) {
  create(npf_missing);
  enter();
  LINE("the guest's own page fault", ", CR2 %lx", vmcb.cr2);
}

/* The guest's IDT is in a page that is not there: the fault comes while an injected exception is being delivered. */
static void show_event(void) {
  create(npf_nop);
  vmcb.idtr.base = WINDOW + 3 * PAGE;
  vmcb.event_injection = EVENT(EXCEPTION_EVENT, GP) | WITH_ERROR(0x20);
  enter();
  show_fault("no IDT while #GP(20h) is injected");
  create(npf_nop);
  vmcb.idtr.base = WINDOW + 3 * PAGE;
  vmcb.event_injection = EVENT(EXTERNAL, 0x21);
  enter();
  show_fault("no IDT while interrupt 21h is injected");
}

PROGRAM(npf_ud, "ud2");

static void show_exception(void) {
  create(npf_ud);
  vmcb.idtr.base = WINDOW + 3 * PAGE;
  enter();
  show_fault("no IDT at the guest's own #UD");
}

void show_nested_page_faults(void) {
  section("Nested paging");
  show_rights("read, not present", npf_read, 0);
  show_rights("write, not present", npf_write, 0);
  show_rights("fetch, not present", npf_jump, 0);
  show_rights("write, read-only", npf_write, NPT_PRESENT | NPT_USER);
  show_rights("read, read-only", npf_read, NPT_PRESENT | NPT_USER);
  show_rights("fetch, no-execute", npf_jump, NPT_ALL | NPT_NX);
  show_rights("read, supervisor page", npf_read, NPT_PRESENT | NPT_WRITABLE);
  show_rights("read, reserved bit", npf_read, NPT_ALL | 1ul << 51);
  show_guest_tables("guest page table, not present", 0);
  show_guest_tables("guest page table, read-only", NPT_PRESENT | NPT_USER);
  memcpy(guest_table, pml4, sizeof guest_table);
  show_guest_tables("guest page table, writable", NPT_ALL);
  show_repair();
  show_accessed_dirty();
  show_guest_fault();
  show_event();
  show_exception();
}
