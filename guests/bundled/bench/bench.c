/*
 * Benchmarks: each row is one kind of work. Words of the command line select the rows whose names contain one of them;
 * "quick" takes counts that show that everything runs, too small to compare speeds.
 */
#include "bench.h"

static const struct row rows[] = {
  { "alu", run_alu, 8000000, 500000, 0 },
  { "memory", run_memory, 12000000, 250000, BUFFER + 0x100000 },
  { "fib", run_fib, 33, 22, 0 },
  { "bytecode", run_bytecode, 800000, 25000, 0 },
  { "xorshift", run_xorshift, 8000000, 250000, 0 },
  { "crc32", run_crc32, 12000000, 250000, BUFFER + 0x100000 },
  { "sieve", run_sieve, 6000000, 125000, BUFFER + 6000000 },
  { "copy-32MiB-apart", run_copy, 256, 2, COPY_TO + COPY_SIZE },
  { "pointer-chase", run_chase, 4000000, 31250, BUFFER + 0x800000 },
  { "mandelbrot", run_mandelbrot, 128, 8, 0 },
  { "page-fault", run_page_faults, 40960, 2560, 0 },
  { "syscall", run_syscalls, 200000, 12500, 0 },
  { "interrupt", run_interrupts, 100000, 6250, 0 },
  { "port-io", run_ports, 200000, 12500, 0 },
  { "port-out", run_port_writes, 200000, 12500, 0 },
  { "mmio", run_mmio, 200000, 12500, 0 },
  { "cpuid", run_cpuid, 200000, 12500, 0 },
  { "cr3", run_cr3, 20000, 1250, 0 },
  { "self-modifying", run_self_modifying, 40000, 2500, 0 },
};

static int contains(const char *text, const char *part, u64 length) {
  for (; *text; text++) {
    u64 i = 0;
    while (i < length && text[i] == part[i]) i++;
    if (i == length) return 1;
  }
  return 0;
}

static int is_option(const char *word, u64 length) {
  return (length == 5 && contains("quick", word, 5)) || (length == 10 && contains("debug-exit", word, 10));
}

static int selected(const char *name) {
  const char *word = command_line();
  int any = 0;
  while (*word) {
    u64 length = 0;
    while (word[length] && word[length] != ' ') length++;
    if (length && !is_option(word, length)) {
      any = 1;
      if (contains(name, word, length)) return 1;
    }
    word += length;
    while (*word == ' ') word++;
  }
  return !any;
}

static u64 count_of(const struct row *row) {
  return command_line_has("quick") ? row->quick : row->count;
}

void main(const struct start_info *info) {
  machine_open(info);
  print("%-18s %10s %18s %14s\n", "name", "count", "check", "ticks");
  int ran = 0;
  for (u32 i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *row = &rows[i];
    if (!selected(row->name)) continue;
    ran++;
    if (row->memory_end && !is_usable(BUFFER, row->memory_end - BUFFER)) {
      print("%-18s needs RAM up to %lu MiB\n", row->name, row->memory_end >> 20);
      continue;
    }
    u64 count = count_of(row);
    u64 start = rdtsc();
    u64 check = row->run(count);
    u64 ticks = rdtsc() - start;
    print("%-18s %10lu %18lx %14lu\n", row->name, count, check, ticks);
  }
  if (!ran) print("no row matches \"%s\"\n", command_line());
  print("end of the rows\n");
}
