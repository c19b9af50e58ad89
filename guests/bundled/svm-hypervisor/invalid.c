/* VMRUN with a state that no processor can be in: exit code -1 and nothing of the guest happens (APM 2, "Canonicalization and Consistency Checks"). */
#include "vm.h"

PROGRAM(bad_nop, "nop");

static void no_vmrun_intercept(void) { vmcb.intercepts[4] &= ~1u; }
static void asid_0(void) { vmcb.asid = 0; }
static void no_svme(void) { vmcb.efer &= ~EFER_SVME; }
static void efer_reserved(void) { vmcb.efer |= 1ul << 40; }
static void efer_reserved_low(void) { vmcb.efer |= 1ul << 9; }
static void nw_without_cd(void) { vmcb.cr0 |= CR0_NW; }
static void cr0_high(void) { vmcb.cr0 |= 1ul << 32; }
static void cr3_mbz(void) { vmcb.cr3 |= 1ul << 62; }
static void cr4_high(void) { vmcb.cr4 |= 1ul << 32; }
static void cr4_reserved(void) { vmcb.cr4 |= 1ul << 31; }
static void dr6_high(void) { vmcb.dr6 |= 1ul << 32; }
static void dr7_high(void) { vmcb.dr7 |= 1ul << 32; }
static void long_without_pae(void) { vmcb.cr4 &= ~CR4_PAE; }
static void long_without_pe(void) { vmcb.cr0 &= ~CR0_PE; }
static void long_and_default(void) { vmcb.cs.attributes |= 0x400; }
static void iopm_far(void) { vmcb.iopm = ~0xffful; }
static void msrpm_far(void) { vmcb.msrpm = ~0xffful; }
static void iopm_unaligned(void) { vmcb.iopm += 8; }
static void cd_and_nw(void) { vmcb.cr0 |= CR0_CD | CR0_NW; }
static void cd_alone(void) { vmcb.cr0 |= CR0_CD; }
static void nothing(void) {}

static const struct {
  const char *name;
  void (*break_it)(void);
} cases[] = {
  { "nothing broken", nothing },
  { "CR0.CD and CR0.NW", cd_and_nw },
  { "CR0.CD without CR0.NW", cd_alone },
  { "IOPM_BASE_PA not aligned", iopm_unaligned },
  { "VMRUN not intercepted", no_vmrun_intercept },
  { "ASID 0", asid_0 },
  { "EFER.SVME clear", no_svme },
  { "EFER bit 40", efer_reserved },
  { "EFER bit 9", efer_reserved_low },
  { "CR0.NW without CR0.CD", nw_without_cd },
  { "CR0 bit 32", cr0_high },
  { "CR3 bit 62", cr3_mbz },
  { "CR4 bit 32", cr4_high },
  { "CR4 bit 31", cr4_reserved },
  { "DR6 bit 32", dr6_high },
  { "DR7 bit 32", dr7_high },
  { "long mode, CR4.PAE clear", long_without_pae },
  { "long mode, CR0.PE clear", long_without_pe },
  { "long mode, CS.L and CS.D", long_and_default },
  { "I/O permission map beyond physical memory", iopm_far },
  { "MSR permission map beyond physical memory", msrpm_far },
};

void show_invalid(void) {
  section("VMRUN with invalid state");
  for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
    create(bad_nop);
    cases[i].break_it();
    enter();
    LINE(cases[i].name);
  }
  create(bad_nop);
  vmcb.rip |= 1ul << 60;
  intercept(EXCEPTION + GP);
  enter();
  print("%-44s %03x, error code %lx\n", "rIP not canonical: a fault of the guest", exit_code(), vmcb.exit_info1);
  create(bad_nop);
  asid_0();
  enter();
  print("%-44s %lx\n", "all 64 bits of EXITCODE", vmcb.exit_code);
}
