#include "vm.h"

struct vmcb vmcb __attribute__((aligned(PAGE)));
struct vmcb host_vmcb __attribute__((aligned(PAGE)));
struct registers registers;
u8 iopm[3 * 4096] __attribute__((aligned(PAGE)));
u8 msrpm[2 * 4096] __attribute__((aligned(PAGE)));
u8 guest_stack[GUEST_STACK_SIZE] __attribute__((aligned(PAGE)));

struct gate { u16 offset_low, selector; u8 ist, access; u16 offset_middle; u32 offset_high, reserved; };
static struct gate guest_idt[64] __attribute__((aligned(16)));
static const char *started;
extern u8 pml4[];

void stgi(void) { __asm__ volatile("stgi" : : : "memory"); }
void clgi(void) { __asm__ volatile("clgi" : : : "memory"); }
void vmsave(struct vmcb *to) { __asm__ volatile("vmsave %%rax" : : "a"(to) : "memory"); }
void vmload(struct vmcb *from) { __asm__ volatile("vmload %%rax" : : "a"(from) : "memory"); }

static void build_idt(void) {
  for (u32 v = 0; v < 64; v++) {
    u64 entry = (u64)guest_handlers + v * GUEST_HANDLER_SIZE;
    guest_idt[v] = (struct gate){ (u16)entry, 0x08, 0, 0x8e, (u16)(entry >> 16), (u32)(entry >> 32), 0 };
  }
}

void intercept(u32 code) { vmcb.intercepts[code / 32] |= 1u << code % 32; }

/* Segment attributes in the VMCB: bits 55:52 and 47:40 of the descriptor, side by side. */
#define CODE64 0xa9b
#define DATA 0xc93
#define CODE64_USER 0xafb
#define DATA_USER 0xcf3

void create(const char *program) {
  memset(&vmcb, 0, sizeof vmcb);
  memset(&registers, 0, sizeof registers);
  memset(iopm, 0, sizeof iopm);
  memset(msrpm, 0, sizeof msrpm);
  window_clear();
  build_idt();
  intercept(VMRUN);
  intercept(VMMCALL);
  intercept(SHUTDOWN);
  vmcb.iopm = (u64)iopm;
  vmcb.msrpm = (u64)msrpm;
  vmcb.asid = 1;
  vmcb.tlb_control = FLUSH_ALL;
  vmcb.nested_paging = 1;
  vmcb.nested_cr3 = npt_root();
  vmcb.g_pat = 0x0007040600070406;

  vmsave(&vmcb); /* FS, GS, TR, LDTR and the MSRs as ours */
  struct { u16 limit; u64 base; } __attribute__((packed)) gdtr;
  __asm__ volatile("sgdt %0" : "=m"(gdtr));
  vmcb.gdtr.limit = gdtr.limit;
  vmcb.gdtr.base = gdtr.base;
  vmcb.idtr.limit = sizeof guest_idt - 1;
  vmcb.idtr.base = (u64)guest_idt;
  vmcb.cs = (struct vmcb_segment){ 0x08, CODE64, 0xffffffff, 0 };
  vmcb.ds = vmcb.es = vmcb.ss = (struct vmcb_segment){ 0x10, DATA, 0xffffffff, 0 };
  vmcb.efer = EFER_SVME | EFER_LME | EFER_LMA | EFER_NXE;
  vmcb.cr0 = READ_CR(0);
  vmcb.cr3 = (u64)pml4;
  vmcb.cr4 = READ_CR(4);
  vmcb.dr6 = 0xffff0ff0;
  vmcb.dr7 = 0x400;
  vmcb.rflags = RFLAGS_FIXED;
  vmcb.rip = (u64)program;
  vmcb.rsp = (u64)guest_stack + sizeof guest_stack;
  started = program;
}

void as_user(void) {
  vmcb.cpl = 3;
  vmcb.cs = (struct vmcb_segment){ 0x23, CODE64_USER, 0xffffffff, 0 };
  vmcb.ds = vmcb.es = vmcb.ss = (struct vmcb_segment){ 0x1b, DATA_USER, 0xffffffff, 0 };
}

void enter_with_if(int interrupts) {
  vmsave(&host_vmcb);
  clgi();
  if (interrupts) __asm__ volatile("sti" : : : "memory");
  world_switch(&vmcb, &registers);
  __asm__ volatile("cli" : : : "memory");
  vmload(&host_vmcb);
}

void enter(void) {
  enter_with_if(0);
  stgi();
}

void run(const char *program) {
  create(program);
  enter();
}

void resume_after(u32 length) {
  vmcb.rip += length;
  enter();
}

u64 offset(u64 address) { return address - (u64)started; }
u32 exit_code(void) { return (u32)vmcb.exit_code; }

int delivered(void) {
  if (exit_code() != VMMCALL || vmcb.rip < (u64)guest_handlers || vmcb.rip >= (u64)guest_handlers_end) return -1;
  return (int)((vmcb.rip - (u64)guest_handlers) / GUEST_HANDLER_SIZE);
}
