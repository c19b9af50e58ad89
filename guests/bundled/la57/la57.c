/*
 * 5-level paging: which addresses are canonical, and what each bit of a PML5 entry does. Prints one line for each case; the same on every
 * machine with CPUID.7.0:ECX[16], bare or in a VM. Intel SDM volume 3, "4-Level Paging and 5-Level Paging".
 */
#include "../common/guest.h"

#define LA57 (1UL << 12)
#define P 1UL
#define W 2UL
#define U 4UL
#define A 0x20UL
#define PS 0x80UL
#define NX (1UL << 63)
#define TABLE (P | W | U)
#define EFER 0xc0000080
#define EFER_NXE 0x800

void set_paging(u64 cr3, u64 cr4);

static u64 pml5[512] __attribute__((aligned(4096)));
static u64 top[512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096)));
static u64 directory[512] __attribute__((aligned(4096)));
static u64 table[512] __attribute__((aligned(4096)));
static u64 page[512] __attribute__((aligned(4096)));
static u64 other_page[512] __attribute__((aligned(4096)));

/* ---- one access, one line ---- */

static void line(const char *name, u64 value) {
  print("%-44s ", name);
  if (caught == NOT_CAUGHT) print("%lx\n", value);
  else if (caught == 14) print("#PF %lx at %lx\n", caught_error, caught_address);
  else print("#%d %lx\n", caught, caught_error);
}
static void load(const char *name, u64 address) {
  u64 value = 0;
  CATCH("movq (%1), %0", : "+r"(value) : "S"(address) : "memory"); /* Not RBP: that is #SS instead of #GP. */
  line(name, value);
}
static void store(const char *name, u64 address, u64 value) {
  CATCH("movq %0, (%1)", : : "r"(value), "S"(address) : "memory");
  line(name, value);
}
/* The page has a RET. */
static u64 stack_pointer;
static void fetch(const char *name, u64 address) {
  CATCH("movq %%rsp, %1\n\tcallq *%0\n\t", "\n\tmovq %1, %%rsp" : : "r"(address), "m"(stack_pointer) : "memory");
  line(name, 0);
}

static const u64 ADDRESSES[] = {
  0x00007ffffffffff8, 0x0000800000000000, 0x0001000000000000, 0x0080000000000000, 0x00fffffffffffff8, 0x0100000000000000, 0x7ffffffffffffff8,
  0x8000000000000000, 0xfefffffffffffff8, 0xff00000000000000, 0xff80000000000000, 0xffff000000000000, 0xffff7ffffffffff8, 0xffff800000000000,
};
static void addresses(void) {
  for (u32 i = 0; i < sizeof ADDRESSES / sizeof *ADDRESSES; i++) {
    char name[17];
    for (int digit = 0; digit < 16; digit++) name[digit] = "0123456789abcdef"[ADDRESSES[i] >> (60 - 4 * digit) & 15];
    name[16] = 0;
    load(name, ADDRESSES[i]);
  }
}

/* ---- five levels ---- */

#define HALF 0xff12000000000000UL /* PML5 entry 112h */
#define PLACE (HALF + 0x3000)

static void set_entry(u64 flags) {
  pml5[0x112] = (u64)top | flags;
  __asm__ volatile("invlpg (%0)" : : "r"(PLACE) : "memory");
}
static void entry(const char *section, u64 flags) {
  print("\n%s\n", section);
  set_entry(flags);
  table[3] = (u64)page | TABLE;
  page[0] = 0xc3; /* RET */
  load("load", PLACE);
  print("%-44s %lx\n", "accessed and dirty", (pml5[0x112] & 0x60) | (table[3] & 0x60) >> 4);
  store("store", PLACE, 0xc3);
  fetch("fetch", PLACE);
  print("%-44s %lx\n", "accessed and dirty", (pml5[0x112] & 0x60) | (table[3] & 0x60) >> 4);
}

static void five_levels(void) {
  top[0] = (u64)pdpt | TABLE;
  pdpt[0] = (u64)directory | TABLE;
  directory[0] = (u64)table | TABLE;
  pml5[0xff] = pml5[0x100] = (u64)top | TABLE;
  top[511] = (u64)pdpt | TABLE;
  pdpt[511] = (u64)directory | TABLE;
  directory[511] = (u64)table | TABLE;
  table[511] = (u64)other_page | TABLE;
  other_page[511] = 0x1122334455667788;

  print("\nFive levels: addresses\n");
  addresses();
  print("\nFive levels: the end of the lower half\n");
  load("last eight bytes", 0x00fffffffffffff8);
  load("four of eight", 0x00fffffffffffffc);
  store("four of eight", 0x00fffffffffffffc, 0);
  load("untouched", 0x00fffffffffffff8);

  entry("PML5E: present, writable, user", TABLE);
  entry("PML5E: not present", W | U);
  entry("PML5E: read-only", P | U);
  entry("PML5E: supervisor", P | W);
  entry("PML5E: bit 7", TABLE | PS);
  entry("PML5E: no execute", TABLE | NX);
  entry("PML5E: bit 51", TABLE | 1UL << 51);
  entry("PML5E: bits 62:52", TABLE | 0x7ffUL << 52);

  print("\nINVLPG\n");
  set_entry(TABLE);
  page[0] = 1;
  other_page[0] = 2;
  load("before", PLACE);
  table[3] = (u64)other_page | TABLE;
  __asm__ volatile("invlpg (%0)" : : "r"(PLACE) : "memory");
  load("after", PLACE);
  load("an address that shares bits 47:0", PLACE & 0xffffffffffff);
  load("and again", PLACE);

  print("\nCR4\n");
  CATCH("movq %0, %%cr4", : : "r"(READ_CR(4) & ~LA57) : "memory");
  line("LA57 cleared in 64-bit mode", 0);
}

void main(const struct start_info *info) {
  machine_open(info);
  struct cpuid features = cpuid(7, 0), widths = cpuid(0x80000008, 0);
  if (!(features.ecx & 1 << 16)) {
    print("This processor has no 5-level paging (CPUID.7.0:ECX[16]).\n");
    return;
  }
  wrmsr(EFER, rdmsr(EFER) | EFER_NXE);
  u64 cr3 = READ_CR(3), cr4 = READ_CR(4);
  print("\nProcessor\n%-44s %u\n", "bits of linear addresses", widths.eax >> 8 & 0xff);
  print("\nFour levels: addresses\n");
  addresses();
  CATCH("movq %0, %%cr4", : : "r"(cr4 | LA57) : "memory");
  line("CR4.LA57 set in 64-bit mode", 0);

  pml5[0] = cr3 | TABLE;
  set_paging((u64)pml5, cr4 | LA57);
  five_levels();

  set_paging(cr3, cr4);
  print("\nFour levels again: addresses\n");
  addresses();
  print("\ndone\n");
}
