#include "guest.h"

struct gate { u16 offset_low, selector; u8 ist, access; u16 offset_middle; u32 offset_high, reserved; };
static struct gate idt[256] __attribute__((aligned(16)));
static handler *handlers[256];
extern char interrupt_stubs[];
#define STUB_SIZE 16

volatile int caught;
volatile u64 caught_error, caught_address, recovery;

void set_gate(u8 vector, void (*entry)(void), u8 dpl) {
  u64 offset = (u64)entry;
  idt[vector] = (struct gate){ (u16)offset, 0x08, 0, (u8)(0x8e | dpl << 5), (u16)(offset >> 16), (u32)(offset >> 32), 0 };
}

void set_handler(u8 vector, handler *function) { handlers[vector] = function; }

void load_idt(void) {
  for (int v = 0; v < 256; v++) set_gate((u8)v, (void (*)(void))(interrupt_stubs + v * STUB_SIZE), 0);
  struct { u16 limit; u64 base; } __attribute__((packed)) idtr = { sizeof idt - 1, (u64)idt };
  __asm__ volatile("lidt %0" : : "m"(idtr));
}

void on_interrupt(struct frame *frame) {
  if (handlers[frame->vector]) {
    handlers[frame->vector](frame);
    return;
  }
  if (frame->vector < 32 && recovery) {
    caught = (int)frame->vector;
    caught_error = frame->error;
    caught_address = READ_CR(2);
    frame->rip = recovery;
    return;
  }
  print("unexpected interrupt %lu, error %lx, rip %lx, cr2 %lx\n", frame->vector, frame->error, frame->rip, READ_CR(2));
  power_off();
}
