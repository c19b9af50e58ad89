/* IN, OUT and their string forms through the I/O bitmaps (SDM 3, "Exit Qualification for I/O Instructions"). */
#include "vm.h"

static const char text[] __attribute__((used)) = "0123456789abcdef";
static u8 buffer[64] __attribute__((used));

PROGRAM(io_in8, "in $0x80, %al");
PROGRAM(io_in16, "mov $0x1234, %edx\n in %dx, %ax");
PROGRAM(io_in32, "mov $0xcf8, %edx\n in %dx, %eax");
PROGRAM(io_out8, "mov $0x5a, %al\n out %al, $0x80");
PROGRAM(io_out16, "mov $0xffff, %edx\n out %ax, %dx");
PROGRAM(io_out32, "mov $0xcfc, %edx\n out %eax, %dx");
PROGRAM(io_outsb, "mov $text, %rsi\n mov $0x80, %edx\n outsb");
PROGRAM(io_outsd, "mov $text, %rsi\n mov $0x80, %edx\n addr32 outsl");
PROGRAM(io_rep_outsb, "mov $text, %rsi\n mov $0x80, %edx\n mov $5, %ecx\n rep outsb");
PROGRAM(io_insb, "mov $buffer, %rdi\n mov $0x80, %edx\n insb");
PROGRAM(io_rep_insd, "mov $buffer, %rdi\n mov $0x80, %edx\n mov $3, %ecx\n rep insl");

static void show_one(const char *name, const char *program) {
  create(program);
  memset(io_bitmaps, 0xff, sizeof io_bitmaps);
  enter();
  LINE(name, ", qualification %lx, length %lu", qualification(), vmread(EXIT_INSTRUCTION_LENGTH));
}

static void protect(u32 port) { io_bitmaps[port / 8] |= (u8)(1 << port % 8); }

static void show_map(const char *name, const char *program, u32 port) {
  create(program);
  protect(port);
  enter();
  LINE(name);
}

PROGRAM(io_byte, "mov $0x80, %edx\n in %dx, %al");
PROGRAM(io_word, "mov $0x80, %edx\n in %dx, %ax");
PROGRAM(io_across, "mov $0x7fff, %edx\n in %dx, %ax");
PROGRAM(io_wrap, "mov $0xffff, %edx\n in %dx, %ax");
PROGRAM(io_resume, "in $0x80, %al\n movzx %al, %ebx");

void show_io(void) {
  section("I/O");
  show_one("IN AL, imm8", io_in8);
  show_one("IN AX, DX", io_in16);
  show_one("IN EAX, DX", io_in32);
  show_one("OUT imm8, AL", io_out8);
  show_one("OUT DX, AX", io_out16);
  show_one("OUT DX, EAX", io_out32);
  show_one("OUTSB", io_outsb);
  show_one("OUTSD, 32-bit address", io_outsd);
  show_one("REP OUTSB", io_rep_outsb);
  show_one("INSB", io_insb);
  show_one("REP INSD", io_rep_insd);
  show_map("port 80h clear, 81h set: byte", io_byte, 0x81);
  show_map("port 80h clear, 81h set: word", io_word, 0x81);
  show_map("port 80h clear, 82h set: word", io_word, 0x82);
  show_map("word at 7FFFh: the second bitmap", io_across, 0x8000);
  show_map("word at FFFFh: wraps, so it exits", io_wrap, 0x1000);
  create(io_byte);
  remove_bits(PRIMARY_CONTROLS, USE_IO_BITMAPS);
  add(PRIMARY_CONTROLS, UNCONDITIONAL_IO_EXITING);
  enter();
  LINE("unconditional I/O exiting");

  create(io_resume);
  protect(0x80);
  enter();
  begin("IN emulated: AL = A5h");
  registers.rax = 0xa5;
  resume_after((u32)vmread(EXIT_INSTRUCTION_LENGTH));
  print("; guest goes on with %lx\n", registers.rbx);
}
