/* One virtual machine with one processor: its control block, its memory, and what an exit told. */
#pragma once
#include "vmcb.h"

struct registers { u64 rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15; };

extern struct vmcb vmcb;
extern struct registers registers;
extern struct vmcb host_vmcb;
extern u8 iopm[3 * 4096], msrpm[2 * 4096];

#define PAGE 4096
#define GUEST_STACK_SIZE 8192
extern u8 guest_stack[GUEST_STACK_SIZE];

/*
 * A guest program: a few instructions of machine code, followed by VMMCALL, which always exits. Programs are linked into this image,
 * and guest-physical addresses equal ours except in the window (npt.c), so labels mean the same in the guest.
 */
#define PROGRAM_BITS(bits, name, code) \
  __asm__(".pushsection .text.guest, \"ax\"\n\t.balign 16\n\t.code" #bits "\n" #name ":\t" code "\n\tvmmcall\n\t.code64\n\t.popsection"); \
  extern const char name[]
#define PROGRAM(name, code) PROGRAM_BITS(64, name, code)
#define VMMCALL_LENGTH 3

/* A new 64-bit guest at privilege level 0 about to run `program`; of intercepts only VMRUN, VMMCALL and shutdown. */
void create(const char *program);
/* The same in user mode. */
void as_user(void);
void intercept(u32 code);

/* VMRUN until #VMEXIT; GIF is 1 again afterwards. */
void enter(void);
/* The same with the host's RFLAGS.IF as given; afterwards GIF is 0 and IF is 0. */
void enter_with_if(int interrupts);
/* `program` from its start to its first exit. */
void run(const char *program);
/* After a fault-like exit: skips an instruction of `length` bytes and goes on. */
void resume_after(u32 length);
void stgi(void);
void clgi(void);
void vmsave(struct vmcb *to);
void vmload(struct vmcb *from);

/* `name`: exit code and the place where the guest stopped, as an offset into its program. The caller ends the line. */
void begin(const char *name);
#define LINE(name, ...) LINE_(name, "" __VA_ARGS__)
#define LINE_(name, format, ...) (begin(name), print(format "\n", ##__VA_ARGS__))
void section(const char *title);
/* Of an address in the program that was started last. */
u64 offset(u64 address);
u32 exit_code(void);
/* The vector in whose handler the guest stopped, or -1. */
int delivered(void);

/* ---- world-switch.S ---- */
void world_switch(struct vmcb *vmcb, struct registers *guest);
/* The same without VMLOAD and VMSAVE. */
void bare_switch(struct vmcb *vmcb, struct registers *guest);
/* Handlers for vectors 0 to 63 in the guest: VMMCALL, then return. */
extern const char guest_handlers[], guest_handlers_end[];
#define GUEST_HANDLER_SIZE 16

/* ---- npt.c ---- */
#define NPT_PRESENT 1ul
#define NPT_WRITABLE 2ul
#define NPT_USER 4ul
#define NPT_ACCESSED 0x20ul
#define NPT_DIRTY 0x40ul
#define NPT_NX (1ul << 63)
#define NPT_ALL (NPT_PRESENT | NPT_WRITABLE | NPT_USER)
/* 2 MiB of guest-physical memory in 4 KiB pages, none of them present at first. */
#define WINDOW 0x40000000ul
void npt_open(void);
u64 npt_root(void);
void window_clear(void);
/* Page `n` of the window is `page` of ours. */
void window_map(u32 n, const void *page, u64 rights);
u64 window_entry(u32 n);
/* A nested root under which guest-physical memory is the 64 KiB of small_memory, and nothing else. */
extern u8 small_memory[0x10000];
u64 npt_small_root(void);

/* ---- one group of cases a file ---- */
void show_host(void);
void show_instructions(void);
void show_io(void);
void show_msr(void);
void show_nested_page_faults(void);
void show_exceptions(void);
void show_injection(void);
void show_virtual_interrupts(void);
void show_control_registers(void);
void show_interrupts(void);
void show_state(void);
void show_modes(void);
void show_invalid(void);
void show_features(void);
void show_shutdown(void);
void show_virtual_wake(void);
