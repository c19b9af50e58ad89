/* RDMSR and WRMSR through the MSR permission map: two bits an MSR, read then write (APM 2, "MSR Intercepts"). */
#include "vm.h"

PROGRAM(msr_read, "rdmsr");
PROGRAM(msr_write, "wrmsr");

/* Byte offset in the map of each range of 8192 MSRs. */
static const struct { u32 first, offset; } ranges[] = { { 0, 0 }, { 0xc0000000, 0x800 }, { 0xc0010000, 0x1000 } };

static void protect(u32 index, int write) {
  for (u32 i = 0; i < 3; i++) {
    u32 n = index - ranges[i].first;
    if (n >= 0x2000) continue;
    u32 bit = n * 2 + (u32)write;
    msrpm[ranges[i].offset + bit / 8] |= (u8)(1 << bit % 8);
  }
}

enum { NEITHER = 0, READS = 1, WRITES = 2 };
static void show_one(const char *name, const char *program, u32 index, int protected) {
  create(program);
  intercept(MSR);
  intercept(EXCEPTION + GP);
  if (protected & READS) protect(index, 0);
  if (protected & WRITES) protect(index, 1);
  registers.rcx = index;
  vmcb.rax = 0x1000;
  enter();
  begin(name);
  if (exit_code() == MSR) print(", %s", vmcb.exit_info1 == 0 ? "read" : vmcb.exit_info1 == 1 ? "write" : "?");
  print("\n");
}

#define SYSENTER_EIP 0x176
#define LSTAR 0xc0000082
#define NOWHERE 0x5000

void show_msr(void) {
  section("MSR intercepts");
  show_one("RDMSR 176h, reads intercepted", msr_read, SYSENTER_EIP, READS);
  show_one("RDMSR 176h, writes intercepted", msr_read, SYSENTER_EIP, WRITES);
  show_one("WRMSR 176h, reads intercepted", msr_write, SYSENTER_EIP, READS);
  show_one("WRMSR 176h, writes intercepted", msr_write, SYSENTER_EIP, WRITES);
  show_one("RDMSR C0000082h, intercepted", msr_read, LSTAR, READS);
  show_one("WRMSR C0000082h, intercepted", msr_write, LSTAR, WRITES);
  show_one("RDMSR C0000082h, not intercepted", msr_read, LSTAR, NEITHER);
  show_one("RDMSR C0010117h, intercepted", msr_read, VM_HSAVE_PA, READS);
  show_one("RDMSR 5000h, outside every range", msr_read, NOWHERE, NEITHER);
  show_one("WRMSR 40000000h, outside every range", msr_write, 0x40000000, NEITHER);
  show_one("RDMSR 1FFFh, last of the first range", msr_read, 0x1fff, READS);

  create(msr_write);
  registers.rcx = SYSENTER_EIP;
  vmcb.rax = 0x89abcdef;
  enter();
  begin("WRMSR 176h without any intercept");
  print(", VMSAVE wrote %lx\n", vmcb.sysenter_eip);
}
