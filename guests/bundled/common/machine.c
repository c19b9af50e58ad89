#include "guest.h"

const struct start_info *start_info;

#define START_INFO_MAGIC 0x336ec578
#define USABLE 1

void machine_open(const struct start_info *info) {
  if (info && info->magic == START_INFO_MAGIC) start_info = info;
  console_open();
}

const char *command_line(void) { return start_info && start_info->command_line ? (const char *)start_info->command_line : ""; }

/* `word` stands in the command line, between blanks. */
int command_line_has(const char *word) {
  const char *line = command_line();
  while (*line) {
    while (*line == ' ') line++;
    const char *w = word;
    while (*w && *w == *line) w++, line++;
    if (!*w && (*line == ' ' || !*line)) return 1;
    while (*line && *line != ' ') line++;
  }
  return 0;
}

static const struct memory_range *memory_map(void) { return (const struct memory_range *)start_info->memory_map; }
static u32 memory_ranges(void) { return start_info && start_info->version >= 1 ? start_info->memory_map_entries : 0; }

extern char image_end[];

int is_usable(u64 address, u64 size) {
  if (address < (u64)image_end) return 0;
  for (u32 i = 0; i < memory_ranges(); i++) {
    const struct memory_range *r = &memory_map()[i];
    if (r->type == USABLE && address >= r->address && address + size <= r->address + r->size) return 1;
  }
  return 0;
}

u64 usable_bytes(void) {
  u64 sum = 0;
  for (u32 i = 0; i < memory_ranges(); i++) if (memory_map()[i].type == USABLE) sum += memory_map()[i].size;
  return sum;
}

/*
 * ACPI S5 through PM1a_CNT. The sleep type that means "off" is the board's choice: 7 on vmexit's, 0 on QEMU's; on either, the
 * other value does nothing. With "debug-exit" in the command line the ISA debug exit device ends the run instead.
 */
#define PM1A_CNT 0x604
#define SLP_EN (1 << 13)
#define SLP_TYP(type) ((type) << 10)
#define DEBUG_EXIT 0xf4

void power_off(void) {
  if (command_line_has("debug-exit")) outl(DEBUG_EXIT, 0);
  outw(PM1A_CNT, SLP_EN | SLP_TYP(7));
  outw(PM1A_CNT, SLP_EN | SLP_TYP(0));
  for (;;) __asm__ volatile("cli; hlt");
}

void *memset(void *to, int value, u64 size) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
  return start;
}

void *memcpy(void *to, const void *from, u64 size) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return start;
}
