/* Work that concerns the operating system or the hypervisor: faults, privilege changes, devices, code that changes. */
#include "bench.h"

enum { IA32_EFER = 0xc0000080, IA32_STAR = 0xc0000081, IA32_LSTAR = 0xc0000082, IA32_FMASK = 0xc0000084 };
#define EFER_SCE 1
#define INTERRUPT_VECTOR 0x80
#define LEAVE_VECTOR 0x81

/* user.S */
extern void syscall_entry(void), interrupt_entry(void), leave_user(void);
extern u64 enter_user(void (*program)(void), u64 count);
extern void user_syscalls(void), user_interrupts(void);

/* ---- page faults: a window of 512 pages, all onto one frame, mapped on demand ---- */

#define WINDOW 0x8000000000ul
#define WINDOW_PAGES 512
static u64 window_pdpt[512] __attribute__((aligned(4096)));
static u64 window_directory[512] __attribute__((aligned(4096)));
static u64 window_table[512] __attribute__((aligned(4096)));
static u64 window_frame[512] __attribute__((aligned(4096)));
extern u64 pml4[];

static void on_page_fault(struct frame *frame) {
  (void)frame;
  u64 page = (READ_CR(2) - WINDOW) >> 12;
  if (page >= WINDOW_PAGES) {
    print("page fault at %lx\n", READ_CR(2));
    power_off();
  }
  window_table[page] = (u64)window_frame | 3;
}

u64 run_page_faults(u64 count) {
  pml4[1] = (u64)window_pdpt | 3;
  window_pdpt[0] = (u64)window_directory | 3;
  window_directory[0] = (u64)window_table | 3;
  set_handler(14, on_page_fault);
  window_frame[0] = 0;
  for (u64 i = 0; i < count; i++) {
    u64 page = i % WINDOW_PAGES;
    *(volatile u64 *)(WINDOW + page * 4096) += i;
    window_table[page] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(WINDOW + page * 4096) : "memory");
  }
  set_handler(14, 0);
  return window_frame[0];
}

/* ---- round trips from CPL 3 ---- */

u64 run_syscalls(u64 count) {
  wrmsr(IA32_EFER, rdmsr(IA32_EFER) | EFER_SCE);
  wrmsr(IA32_STAR, 0x08ul << 32 | 0x10ul << 48);
  wrmsr(IA32_LSTAR, (u64)syscall_entry);
  wrmsr(IA32_FMASK, 0x47700);
  set_gate(LEAVE_VECTOR, leave_user, 3);
  return enter_user(user_syscalls, count);
}

u64 run_interrupts(u64 count) {
  set_gate(INTERRUPT_VECTOR, interrupt_entry, 3);
  set_gate(LEAVE_VECTOR, leave_user, 3);
  return enter_user(user_interrupts, count);
}

/* ---- what a hypervisor sees ---- */

/* The line status register of the serial port: transmitter empty (60h). */
u64 run_ports(u64 count) {
  u64 sum = 0;
  for (u64 i = 0; i < count; i++) sum += inb(0x3fd) & 0x60;
  return sum;
}

/* The diagnostic port, where nothing stands. */
u64 run_port_writes(u64 count) {
  for (u64 i = 0; i < count; i++) outb(0x80, (u8)i);
  return count;
}

/* The version register of the I/O APIC: 24 redirection entries, numbered up to 17h. */
u64 run_mmio(u64 count) {
  volatile u32 *io_apic = (volatile u32 *)0xfec00000;
  io_apic[0] = 1;
  u64 sum = 0;
  for (u64 i = 0; i < count; i++) sum += io_apic[4] >> 16 & 0xff;
  return sum;
}

u64 run_cpuid(u64 count) {
  u64 n = 0;
  for (u64 i = 0; i < count; i++) n += cpuid(0, 0).ebx != 0;
  return n;
}

u64 run_cr3(u64 count) {
  u64 sum = 0;
  volatile u64 *word = (volatile u64 *)window_frame;
  *word = 1;
  for (u64 i = 0; i < count; i++) {
    WRITE_CR(3, READ_CR(3));
    sum += *word;
  }
  return sum;
}

/* ---- MOV EAX, imm32; RET with a new immediate each time ---- */

u64 run_self_modifying(u64 count) {
  static u8 code[16] __attribute__((aligned(16))) = { 0xb8, 0, 0, 0, 0, 0xc3 };
  u32 (*volatile call)(void) = (u32 (*)(void))code;
  u64 sum = 0;
  for (u64 i = 0; i < count; i++) {
    *(volatile u32 *)(code + 1) = (u32)i;
    sum += call();
  }
  return sum;
}
