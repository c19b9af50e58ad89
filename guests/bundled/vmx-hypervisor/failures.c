/* VM entries that fail: wrong controls (error 7), wrong host state (error 8), wrong guest state (exit reason 33). SDM 3, "VM Entries". */
#include "vm.h"

PROGRAM(bad_nop, "nop");

static const struct {
  const char *name;
  u32 field;
  u64 set, clear;
} cases[] = {
  { "nothing broken", GUEST_DR7, 0, 0 },
  { "controls: reserved pin-based control", PIN_BASED_CONTROLS, 1u << 31, 0 },
  { "controls: default1 primary control clear", PRIMARY_CONTROLS, 0, 1u << 1 },
  { "controls: I/O bitmap not aligned", IO_BITMAP_A, 1, 0 },
  { "controls: MSR bitmap not aligned", MSR_BITMAP, 8, 0 },
  { "controls: EPT pointer, memory type 3", EPT_POINTER, 3, 7 },
  { "controls: EPT pointer, 2 levels", EPT_POINTER, 0, 0x10 },
  { "controls: EPT pointer, reserved bit 7", EPT_POINTER, 0x80, 0 },
  { "controls: virtual NMIs without NMI exiting", PIN_BASED_CONTROLS, VIRTUAL_NMIS, 0 },
  { "controls: NMI window without virtual NMIs", PRIMARY_CONTROLS, NMI_WINDOW_EXITING, 0 },
  { "controls: unrestricted guest without EPT", SECONDARY_CONTROLS, 0, ENABLE_EPT },
  { "controls: VPID 0", SECONDARY_CONTROLS, ENABLE_VPID, 0 },
  { "controls: five CR3 targets", CR3_TARGET_COUNT, 5, 0 },
  { "host: CR0.PE clear", HOST_CR0, 0, CR0_PE },
  { "host: CR4.VMXE clear", HOST_CR4, 0, CR4_VMXE },
  { "host: CR4.PAE clear", HOST_CR4, 0, CR4_PAE },
  { "host: CR3 bit 60", HOST_CR3, 1ul << 60, 0 },
  { "host: CS selector null", HOST_CS_SELECTOR, 0, 0xffff },
  { "host: SS selector with RPL 3", HOST_SS_SELECTOR, 3, 0 },
  { "host: TR selector null", HOST_TR_SELECTOR, 0, 0xffff },
  { "host: RIP not canonical", HOST_RIP, 1ul << 60, 0 },
  { "host: GDTR base not canonical", HOST_GDTR_BASE, 1ul << 60, 0 },
  { "host: EFER.LMA clear", HOST_EFER, 0, EFER_LMA },
  { "host: not a 64-bit host", EXIT_CONTROLS, 0, EXIT_HOST_64 },
  { "guest: CR0.PG without PE", GUEST_CR0, 0, CR0_PE },
  { "guest: CR0 bit 32", GUEST_CR0, 1ul << 32, 0 },
  { "guest: CR4.VMXE clear", GUEST_CR4, 0, CR4_VMXE },
  { "guest: IA-32e without CR4.PAE", GUEST_CR4, 0, CR4_PAE },
  { "guest: CR3 bit 60", GUEST_CR3, 1ul << 60, 0 },
  { "guest: DEBUGCTL bit 20", GUEST_DEBUGCTL, 1u << 20, 0 },
  { "guest: EFER.LMA clear", GUEST_EFER, 0, EFER_LMA },
  { "guest: EFER bit 9", GUEST_EFER, 1u << 9, 0 },
  { "guest: RFLAGS bit 1 clear", GUEST_RFLAGS, 0, 2 },
  { "guest: RFLAGS bit 15", GUEST_RFLAGS, 1u << 15, 0 },
  { "guest: RFLAGS.VM in IA-32e mode", GUEST_RFLAGS, RFLAGS_VM, 0 },
  { "guest: RIP not canonical", GUEST_RIP, 1ul << 60, 0 },
  { "guest: CS.L and CS.D", GUEST_CS_ACCESS, 1u << 14, 0 },
  { "guest: CS type is data", GUEST_CS_ACCESS, 0, 8 },
  { "guest: CS not present", GUEST_CS_ACCESS, 0, 0x80 },
  { "guest: SS.DPL and CS disagree", GUEST_SS_ACCESS, 0x60, 0 },
  { "guest: DS access bit 8", GUEST_DS_ACCESS, 0x100, 0 },
  { "guest: DS limit and granularity", GUEST_DS_LIMIT, 0, 1 },
  { "guest: TR not busy", GUEST_TR_ACCESS, 0, 2 },
  { "guest: TR unusable", GUEST_TR_ACCESS, 1u << 16, 0 },
  { "guest: TR selector in the LDT", GUEST_TR_SELECTOR, 4, 0 },
  { "guest: SS base in the high half", GUEST_SS_BASE, 1ul << 32, 0 },
  { "guest: GDTR limit above FFFFh", GUEST_GDTR_LIMIT, 1u << 16, 0 },
  { "guest: activity state 4", GUEST_ACTIVITY, 4, 0 },
  { "guest: blocking by STI with IF = 0", GUEST_INTERRUPTIBILITY, BLOCKING_BY_STI, 0 },
  { "guest: blocking by SMI", GUEST_INTERRUPTIBILITY, 4, 0 },
  { "guest: interruptibility bit 5", GUEST_INTERRUPTIBILITY, 32, 0 },
  { "guest: pending debug exceptions, bit 4", GUEST_PENDING_DEBUG, 16, 0 },
  { "guest: link pointer 0", VMCS_LINK_POINTER, 0, ~0ul },
  { "guest: link pointer not aligned", VMCS_LINK_POINTER, 0, 1ul << 63 | 0xff },
  { "guest: DR7 bit 32 (load debug controls)", GUEST_DR7, 1ul << 32, 0 },
};

#define ENTRY_LOAD_DEBUG_CONTROLS 4

void show_failures(void) {
  section("VM entries with invalid state");
  for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
    create(bad_nop);
    add(ENTRY_CONTROLS, ENTRY_LOAD_DEBUG_CONTROLS);
    vmwrite(cases[i].field, (vmread(cases[i].field) & ~cases[i].clear) | cases[i].set);
    int failure = enter();
    if (failure) print("%-44s VMfailValid(%lu)\n", cases[i].name, vmread(INSTRUCTION_ERROR));
    else if (exit_reason() & ENTRY_FAILURE) LINE(cases[i].name, ", qualification %lx", qualification());
    else LINE(cases[i].name);
  }
  create(bad_nop);
  remove_bits(GUEST_RFLAGS, 2);
  vmwrite(ENTRY_INTERRUPTION, EVENT(HARDWARE, UD));
  enter();
  LINE("a failed entry leaves the event", ", event valid %lu", vmread(ENTRY_INTERRUPTION) >> 31);
  add(GUEST_RFLAGS, 2);
  vmwrite(ENTRY_INTERRUPTION, 0);
  enter();
  LINE("and the VMCS is still clear: VMLAUNCH");
}
