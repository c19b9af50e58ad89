#pragma once
#include "../common/guest.h"

/* One row of the table: does `count` units of work and returns a value that depends on all of them. */
struct row {
  const char *name;
  u64 (*run)(u64 count);
  u64 count;
  u64 quick;
  /* First byte of RAM beyond what the row uses. */
  u64 memory_end;
};

/* Memory that rows may use. The copy buffers are 32 MiB apart on purpose: direct-mapped translation caches alias there. */
#define BUFFER 0x1000000ul
#define COPY_FROM 0x2000000ul
#define COPY_TO 0x4000000ul
#define COPY_SIZE 0x80000ul

u64 run_alu(u64 count), run_memory(u64 count), run_fib(u64 count), run_bytecode(u64 count), run_xorshift(u64 count), run_crc32(u64 count), run_sieve(u64 count);
u64 run_copy(u64 count), run_chase(u64 count), run_mandelbrot(u64 count);
u64 run_page_faults(u64 count), run_syscalls(u64 count), run_interrupts(u64 count), run_ports(u64 count), run_port_writes(u64 count), run_mmio(u64 count), run_cpuid(u64 count), run_self_modifying(u64 count), run_cr3(u64 count);
