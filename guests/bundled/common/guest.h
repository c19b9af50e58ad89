/* What the bundled guests share: types, instructions, console, interrupts, and what the loader told. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

/* ---- instructions ---- */

static inline void outb(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outw(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void outl(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdtsc(void) { u32 lo, hi; __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory"); return lo | (u64)hi << 32; }
static inline u64 rdmsr(u32 index) { u32 lo, hi; __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index)); return lo | (u64)hi << 32; }
static inline void wrmsr(u32 index, u64 value) { __asm__ volatile("wrmsr" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory"); }

struct cpuid { u32 eax, ebx, ecx, edx; };
static inline struct cpuid cpuid(u32 leaf, u32 subleaf) {
  struct cpuid r;
  __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

#define READ_CR(n) ({ u64 v; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)); v; })
#define WRITE_CR(n, value) __asm__ volatile("mov %0, %%cr" #n : : "r"((u64)(value)) : "memory")

static inline u32 mmio_read(u64 address) { return *(volatile u32 *)address; }
static inline void mmio_write(u64 address, u32 value) { *(volatile u32 *)address = value; }

/* ---- console (serial port COM1), print.c ---- */

void console_open(void);
void put_char(char c);
/* %s string, %u %d decimal, %x hexadecimal; l for 64 bits; a width pads with blanks (or zeros: %08x), - pads on the right. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- interrupts, interrupts.c ---- */

struct frame {
  u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
  u64 vector, error;
  u64 rip, cs, rflags, rsp, ss;
};
typedef void handler(struct frame *frame);

void load_idt(void);
/* Without a handler, an interrupt is reported and the machine powers off. */
void set_handler(u8 vector, handler *function);
/* A gate of one's own: straight to `entry`, callable from privilege level `dpl`. */
void set_gate(u8 vector, void (*entry)(void), u8 dpl);

/*
 * Runs an instruction that may fault. After it, `caught` is the vector (or NOT_CAUGHT), `caught_error` and `caught_address`
 * the error code and CR2.
 */
#define NOT_CAUGHT (-1)
extern volatile int caught;
extern volatile u64 caught_error, caught_address, recovery;
#define CATCH(instruction, ...) \
  do { \
    caught = NOT_CAUGHT; \
    __asm__ volatile("movq $9f, recovery\n\t" instruction "\n9:\tmovq $0, recovery" __VA_ARGS__); \
  } while (0)

/* ---- the machine, machine.c ---- */

/* hvm_start_info version 1 of the PVH boot protocol. */
struct memory_range { u64 address, size; u32 type, reserved; };
struct start_info {
  u32 magic, version, flags, module_count;
  u64 modules, command_line, rsdp, memory_map;
  u32 memory_map_entries, reserved;
};
extern const struct start_info *start_info;

void machine_open(const struct start_info *info);
const char *command_line(void);
int command_line_has(const char *word);
/* 1 if the range is RAM that nothing uses. */
int is_usable(u64 address, u64 size);
u64 usable_bytes(void);
void power_off(void);

void *memset(void *to, int value, u64 size);
void *memcpy(void *to, const void *from, u64 size);
