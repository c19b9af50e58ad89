/* One virtual machine with one processor: its VMCS, its memory, and what an exit told. The twin of svm-hypervisor/vm.h. */
#pragma once
#include "vmcs.h"

struct registers { u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15; };

extern struct registers registers;
#define PAGE 4096
extern u8 vmxon_region[PAGE], vmcs_region[PAGE], spare_region[PAGE];
extern u8 io_bitmaps[2 * PAGE], msr_bitmap[PAGE];
#define GUEST_STACK_SIZE 8192
extern u8 guest_stack[GUEST_STACK_SIZE];

/* A guest program: a few instructions of machine code, followed by VMCALL, which always exits. */
#define PROGRAM_BITS(bits, name, code) \
  __asm__(".pushsection .text.guest, \"ax\"\n\t.balign 16\n\t.code" #bits "\n" #name ":\t" code "\n\tvmcall\n\t.code64\n\t.popsection"); \
  extern const char name[]
#define PROGRAM(name, code) PROGRAM_BITS(64, name, code)
#define VMCALL_LENGTH 3

static inline u64 vmread(u32 field) { u64 value; __asm__ volatile("vmread %1, %0" : "=r"(value) : "r"((u64)field) : "cc", "memory"); return value; }
static inline void vmwrite(u32 field, u64 value) { __asm__ volatile("vmwrite %1, %0" : : "r"((u64)field), "r"(value) : "cc", "memory"); }

/* How a VMX instruction ended (SDM 3, "Conventions"). */
enum { SUCCEED = 0, FAIL_INVALID = 1, FAIL_VALID = 2 };
#define VMX(instruction, ...) ({ \
  u8 invalid, valid; \
  __asm__ volatile(instruction "\n\tsetc %0\n\tsetz %1" : "=q"(invalid), "=q"(valid) : __VA_ARGS__ : "cc", "memory"); \
  invalid ? FAIL_INVALID : valid ? FAIL_VALID : SUCCEED; })

/* Controls as the capability MSRs ask for them: `wanted`, and what must be 1. */
int vmx_open(void);
/* A new 64-bit guest at privilege level 0 about to run `program`, with EPT, without exits that can be avoided. */
void create(const char *program);
void as_user(void);
void add(u32 field, u64 bits);
void remove_bits(u32 field, u64 bits);
/* VMLAUNCH or VMRESUME until the next exit; the answer of the instruction if there was no exit. */
int enter(void);
void run(const char *program);
void resume_after(u32 length);

void begin(const char *name);
#define LINE(name, ...) LINE_(name, "" __VA_ARGS__)
#define LINE_(name, format, ...) (begin(name), print(format "\n", ##__VA_ARGS__))
void section(const char *title);
u64 offset(u64 address);
u32 exit_reason(void);
u64 qualification(void);
int delivered(void);

/* ---- world-switch.S ---- */
int world_switch(struct registers *guest, int launched);
extern const char guest_handlers[], guest_handlers_end[];
#define GUEST_HANDLER_SIZE 16

/* ---- ept.c ---- */
#define EPT_READ 1ul
#define EPT_WRITE 2ul
#define EPT_EXECUTE 4ul
#define EPT_ALL (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_WRITE_BACK 0x30ul
/* 2 MiB of guest-physical memory in 4 KiB pages, none of them present at first. */
#define WINDOW 0x40000000ul
void ept_open(void);
u64 ept_pointer(void);
void window_clear(void);
void window_map(u32 n, const void *page, u64 rights);
void invept(void);
extern u8 small_memory[0x10000];
u64 ept_small_pointer(void);

/* ---- one group of cases a file ---- */
void show_outside(void);
void show_vmx_instructions(void);
void show_instructions(void);
void show_io(void);
void show_msr(void);
void show_ept(void);
void show_exceptions(void);
void show_injection(void);
void show_windows(void);
void show_control_registers(void);
void show_interrupts(void);
void show_apic(void);
void show_modes(void);
void show_failures(void);
void show_root_vmcall(void);
