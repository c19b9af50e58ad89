/* IN, OUT and their string forms through the I/O permission map; EXITINFO1 and EXITINFO2 (APM 2, "IOIO Intercept"). */
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
PROGRAM(io_outsw, "mov $text, %rsi\n mov $0x80, %edx\n outsw");
PROGRAM(io_outsd, "mov $text, %rsi\n mov $0x80, %edx\n addr32 outsl");
PROGRAM(io_rep_outsb, "mov $text, %rsi\n mov $0x80, %edx\n mov $5, %ecx\n rep outsb");
PROGRAM(io_outsb_fs, "mov $text, %rsi\n mov $0x80, %edx\n fs outsb");
PROGRAM(io_insb, "mov $buffer, %rdi\n mov $0x80, %edx\n insb");
PROGRAM(io_rep_insd, "mov $buffer, %rdi\n mov $0x80, %edx\n mov $3, %ecx\n rep insl");

#define TYPE_IN 1
#define STRING 4
static void show_one(const char *name, const char *program) {
  create(program);
  intercept(IOIO);
  memset(iopm, 0xff, sizeof iopm);
  enter();
  begin(name);
  if (exit_code() == IOIO) {
    u64 info = vmcb.exit_info1;
    print(", port %lx, %s%s%s, size %lu", info >> 16 & 0xffff, info & TYPE_IN ? "IN" : "OUT", info & STRING ? ", string" : "", info & 8 ? ", REP" : "", info >> 4 & 7);
    print(", next +%lx", offset(vmcb.exit_info2));
  }
  print("\n");
}

/* EXITINFO1[9:7] is the address size, EXITINFO1[12:10] the segment, which string instructions depend on. */
static void show_address(const char *name, const char *program) {
  create(program);
  intercept(IOIO);
  memset(iopm, 0xff, sizeof iopm);
  enter();
  begin(name);
  print(", address size %lu, segment %lu\n", vmcb.exit_info1 >> 7 & 7, vmcb.exit_info1 >> 10 & 7);
}

static void protect(u32 port) { iopm[port / 8] |= (u8)(1 << port % 8); }

static void show_map(const char *name, const char *program, u32 port) {
  create(program);
  intercept(IOIO);
  protect(port);
  enter();
  LINE(name);
}

PROGRAM(io_scratch, "mov $0x80, %edx\n in %dx, %al");
PROGRAM(io_word, "mov $0x80, %edx\n in %dx, %ax");
PROGRAM(io_last, "mov $0xffff, %edx\n in %dx, %ax");
PROGRAM(io_resume, "in $0x80, %al\n movzx %al, %ebx");

void show_io(void) {
  section("I/O intercepts");
  show_one("IN AL, imm8", io_in8);
  show_one("IN AX, DX", io_in16);
  show_one("IN EAX, DX", io_in32);
  show_one("OUT imm8, AL", io_out8);
  show_one("OUT DX, AX", io_out16);
  show_one("OUT DX, EAX", io_out32);
  show_one("OUTSB", io_outsb);
  show_one("OUTSW", io_outsw);
  show_one("OUTSD, 32-bit address", io_outsd);
  show_one("OUTSB from FS", io_outsb_fs);
  show_one("REP OUTSB", io_rep_outsb);
  show_one("INSB", io_insb);
  show_one("REP INSD", io_rep_insd);
  show_address("OUTSB: 64-bit address, DS", io_outsb);
  show_address("OUTSD: 32-bit address, DS", io_outsd);
  show_address("OUTSB: 64-bit address, FS", io_outsb_fs);
  show_address("INSB: 64-bit address, ES", io_insb);
  show_map("port 80h clear, 81h set: byte", io_scratch, 0x81);
  show_map("port 80h clear, 81h set: word", io_word, 0x81);
  show_map("port 80h clear, 82h set: word", io_word, 0x82);
  show_map("word at FFFFh: the bit after the last port", io_last, 0x10000);

  create(io_resume);
  intercept(IOIO);
  protect(0x80);
  enter();
  begin("IN emulated: AL = A5h");
  vmcb.rax = 0xa5;
  vmcb.rip = vmcb.exit_info2;
  enter();
  print("; guest goes on with %lx\n", registers.rbx);
}
