/* Nested page tables: the first 4 GiB one to one in 2 MiB pages, except the window; and a second root for a small guest. */
#include "vm.h"

static u64 root[512] __attribute__((aligned(PAGE)));
static u64 pointers[512] __attribute__((aligned(PAGE)));
static u64 directories[4][512] __attribute__((aligned(PAGE)));
static u64 window[512] __attribute__((aligned(PAGE)));
static u64 small_root[512] __attribute__((aligned(PAGE)));
static u64 small_pointers[512] __attribute__((aligned(PAGE)));
static u64 small_directory[512] __attribute__((aligned(PAGE)));
static u64 small_table[512] __attribute__((aligned(PAGE)));
u8 small_memory[0x10000] __attribute__((aligned(PAGE)));

#define LARGE 0x80ul

void npt_open(void) {
  root[0] = (u64)pointers | NPT_ALL;
  for (u32 i = 0; i < 4; i++) pointers[i] = (u64)directories[i] | NPT_ALL;
  for (u64 i = 0; i < 2048; i++) directories[i / 512][i % 512] = i << 21 | LARGE | NPT_ALL;
  directories[WINDOW >> 30][(WINDOW >> 21) % 512] = (u64)window | NPT_ALL;

  small_root[0] = (u64)small_pointers | NPT_ALL;
  small_pointers[0] = (u64)small_directory | NPT_ALL;
  small_directory[0] = (u64)small_table | NPT_ALL;
  for (u64 i = 0; i < sizeof small_memory / PAGE; i++) small_table[i] = ((u64)small_memory + i * PAGE) | NPT_ALL;
}

u64 npt_root(void) { return (u64)root; }
u64 npt_small_root(void) { return (u64)small_root; }

void window_clear(void) { memset(window, 0, sizeof window); }
void window_map(u32 n, const void *page, u64 rights) { window[n] = (u64)page | rights; }
u64 window_entry(u32 n) { return window[n]; }
