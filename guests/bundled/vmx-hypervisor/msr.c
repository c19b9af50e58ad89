/* RDMSR and WRMSR through the MSR bitmap: reads and writes, low and high range (SDM 3, "MSR-Bitmap Address"). */
#include "vm.h"

PROGRAM(msr_read, "rdmsr");
PROGRAM(msr_write, "wrmsr");

enum { NEITHER = 0, READS = 1, WRITES = 2 };
static void show_one(const char *name, const char *program, u32 index, int protected) {
  create(program);
  u32 base = index >= 0xc0000000 ? 1024 : 0, n = index & 0x1fff;
  if (protected & READS) msr_bitmap[base + n / 8] |= (u8)(1 << n % 8);
  if (protected & WRITES) msr_bitmap[2048 + base + n / 8] |= (u8)(1 << n % 8);
  vmwrite(EXCEPTION_BITMAP, 1u << GP);
  registers.rcx = index;
  registers.rax = 0x1000;
  enter();
  LINE(name);
}

#define SYSENTER_EIP 0x176
#define LSTAR 0xc0000082

void show_msr(void) {
  section("MSRs");
  show_one("RDMSR 176h, reads exit", msr_read, SYSENTER_EIP, READS);
  show_one("RDMSR 176h, writes exit", msr_read, SYSENTER_EIP, WRITES);
  show_one("WRMSR 176h, reads exit", msr_write, SYSENTER_EIP, READS);
  show_one("WRMSR 176h, writes exit", msr_write, SYSENTER_EIP, WRITES);
  show_one("RDMSR C0000082h, exits", msr_read, LSTAR, READS);
  show_one("WRMSR C0000082h, exits", msr_write, LSTAR, WRITES);
  show_one("RDMSR C0000082h, does not exit", msr_read, LSTAR, NEITHER);
  show_one("RDMSR 5000h, outside of both ranges", msr_read, 0x5000, NEITHER);
  show_one("WRMSR 40000000h, outside of both ranges", msr_write, 0x40000000, NEITHER);
  show_one("RDMSR 1FFFh, last of the low range", msr_read, 0x1fff, READS);
  create(msr_read);
  remove_bits(PRIMARY_CONTROLS, USE_MSR_BITMAPS);
  registers.rcx = SYSENTER_EIP;
  enter();
  LINE("RDMSR 176h without bitmaps");
  create(msr_write);
  registers.rcx = SYSENTER_EIP;
  registers.rax = 0x12345678;
  enter();
  LINE("WRMSR 176h", ", guest SYSENTER_EIP %lx", vmread(0x6826));
}
