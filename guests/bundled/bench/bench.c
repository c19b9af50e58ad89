/*
 * Benchmarks: each row is one kind of work. Words of the command line select the rows whose names contain one of them;
 * "quick" divides all counts by 16.
 */
#include "bench.h"

static const struct row rows[] = {
  { "alu", run_alu, 8000000, 0 },
  { "memory", run_memory, 4000000, BUFFER + 0x100000 },
  { "fib", run_fib, 28, 0 },
  { "bytecode", run_bytecode, 400000, 0 },
  { "xorshift", run_xorshift, 4000000, 0 },
  { "crc32", run_crc32, 4000000, BUFFER + 0x100000 },
  { "sieve", run_sieve, 2000000, BUFFER + 2000000 },
  { "copy-32MiB-apart", run_copy, 32, COPY_TO + COPY_SIZE },
  { "pointer-chase", run_chase, 500000, BUFFER + 0x800000 },
  { "mandelbrot", run_mandelbrot, 32, 0 },
  { "page-fault", run_page_faults, 40960, 0 },
  { "syscall", run_syscalls, 200000, 0 },
  { "interrupt", run_interrupts, 100000, 0 },
  { "port-io", run_ports, 200000, 0 },
  { "port-out", run_port_writes, 200000, 0 },
  { "mmio", run_mmio, 200000, 0 },
  { "cpuid", run_cpuid, 200000, 0 },
  { "cr3", run_cr3, 20000, 0 },
  { "self-modifying", run_self_modifying, 40000, 0 },
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

/* fib and mandelbrot count in problem size, not in rounds. */
static u64 count_of(const struct row *row) {
  if (!command_line_has("quick")) return row->count;
  return row->run == run_fib ? row->count - 6 : row->run == run_mandelbrot ? row->count / 4 : row->count / 16;
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
