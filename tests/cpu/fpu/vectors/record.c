/*
 * Records what a real processor does with x87 and SSE floating-point instructions. See README.md.
 *
 *   gcc -O1 -o record record.c && ./record x87 250 | gzip -9 > x87.bin.gz
 *
 * Every instruction is placed in a stub between FXRSTOR and FXSAVE and run with chosen operands and controls. Output: a JSON line that
 * describes what follows, then the pools of operands, then one column per item of a record (little endian). Outputs that an
 * instruction usually leaves alone are stored XORed with the corresponding input, which makes them compress well.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

typedef struct __attribute__((packed, aligned(16))) {
  uint16_t fcw, fsw; uint8_t ftw, r0; uint16_t fop; uint64_t fip, fdp; uint32_t mxcsr, mask;
  uint8_t st[8][16]; uint8_t xmm[16][16]; uint8_t rest[96];
} Image;

/* ---- randomness ---- */
static uint64_t state = 0x9e3779b97f4a7c15ull;
static uint64_t rnd(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state * 0x2545f4914f6cdd1dull; }
static uint32_t below(uint32_t n) { return (uint32_t)((rnd() >> 32) % n); }
static uint64_t bits(void) {
  /* Random bits, runs of ones and zeros, few bits. */
  switch (below(5)) {
    case 0: return rnd();
    case 1: return rnd() & rnd() & rnd() & rnd();
    case 2: return ~0ull << below(64);
    case 3: return (1ull << below(64)) - 1;
    default: return rnd() << below(64);
  }
}

/* ---- pools of operands ---- */
enum { P32, P64, P80, PINT, PBCD, POOLS };
static const char *POOL_NAMES[] = { "single", "double", "extended", "integer", "bcd" };
#define POOL 768
static uint8_t pool[POOLS][POOL][16];

static uint32_t random32(void) {
  static const uint32_t special[] = { 0, 1, 2, 0x3fffff, 0x400000, 0x400001, 0x7fffff, 0x800000, 0x800001, 0xffffff, 0x1000000, 0x3f800000, 0x3f800001, 0x3f7fffff,
    0x40000000, 0x3f000000, 0x3effffff, 0x3f000001, 0x3fc00000, 0x40200000, 0x4b000000, 0x4b000001, 0x4b7fffff, 0x4effffff, 0x4f000000, 0x4f000001, 0x4f800000, 0x5effffff, 0x5f000000, 0x5f800000,
    0x7f7fffff, 0x7f7ffffe, 0x7f000000, 0x7f800000, 0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fc00001, 0x7fffffff, 0x7fa00000, 0x7fd12345, 0x7f923456, 0x34000000, 0x33800000, 0x0c800000, 0x1f800000, 0x60000000 };
  uint32_t sign = below(2) << 31;
  switch (below(4)) {
    case 0: return sign | special[below(sizeof special / sizeof *special)];
    case 1: return sign | (uint32_t)((127 - 20 + below(40)) << 23) | (uint32_t)(bits() & 0x7fffff);
    case 2: return sign | (uint32_t)((127 - 2 + below(4)) << 23) | (uint32_t)(bits() & 0x7fffff);
    default: return (uint32_t)rnd();
  }
}
static uint64_t random64(void) {
  static const uint64_t special[] = { 0, 1, 2, 0x7ffffffffffffull, 0x8000000000000ull, 0x8000000000001ull, 0xfffffffffffffull, 0x10000000000000ull, 0x10000000000001ull, 0x1fffffffffffffull,
    0x3ff0000000000000ull, 0x3ff0000000000001ull, 0x3fefffffffffffffull, 0x4000000000000000ull, 0x3fe0000000000000ull, 0x3fdfffffffffffffull, 0x3ff8000000000000ull, 0x4004000000000000ull,
    0x41dfffffffc00000ull, 0x41dfffffffe00000ull, 0x41dfffffff800000ull, 0x41e0000000000000ull, 0xc1e0000000000000ull, 0xc1e0000000100000ull, 0xc1e0000000200000ull, 0x43dfffffffffffffull, 0x43e0000000000000ull,
    0x40dfffc000000000ull, 0x40dfffe000000000ull, 0x40e0000000000000ull,
    0x4340000000000000ull, 0x4330000000000001ull, 0x7fefffffffffffffull, 0x7fe0000000000000ull, 0x7ff0000000000000ull, 0x7ff0000000000001ull, 0x7ff7ffffffffffffull, 0x7ff8000000000000ull, 0x7ff8000000000001ull,
    0x7fffffffffffffffull, 0x7ff4000000000000ull, 0x7ffa123456789abcull, 0x7ff2345678912345ull, 0x47efffffe0000000ull, 0x47effffff0000000ull, 0x47efffffefffffffull, 0x47f0000000000000ull, 0x3810000000000000ull, 0x380fffffffffffffull,
    0x380fffffe0000000ull, 0x380ffffff0000000ull, 0x380fffffefffffffull, 0x36a0000000000000ull, 0x3690000000000000ull, 0x3690000000000001ull, 0x3cb0000000000000ull, 0x3ca0000000000000ull, 0x1ff0000000000000ull, 0x5ff0000000000000ull };
  uint64_t sign = (uint64_t)below(2) << 63;
  switch (below(5)) {
    case 0: return sign | special[below(sizeof special / sizeof *special)];
    case 1: return sign | (uint64_t)(1023 - 70 + below(140)) << 52 | (bits() & 0xfffffffffffffull);
    case 2: return sign | (uint64_t)(1023 - 2 + below(4)) << 52 | (bits() & 0xfffffffffffffull);
    case 3: return sign | (uint64_t)(1023 - 160 + below(320)) << 52 | (bits() & 0xfffffffffffffull);
    default: return rnd();
  }
}
static void random80(uint8_t *to) {
  static const struct { uint16_t se; uint64_t m; } special[] = {
    { 0, 0 }, { 0, 1 }, { 0, 2 }, { 0, 0x4000000000000000ull }, { 0, 0x7fffffffffffffffull }, { 0, 0x8000000000000000ull }, { 0, 0xffffffffffffffffull }, { 1, 0x8000000000000000ull }, { 1, 0x8000000000000001ull }, { 1, 0xffffffffffffffffull },
    { 0x3fff, 0x8000000000000000ull }, { 0x3fff, 0x8000000000000001ull }, { 0x3ffe, 0xffffffffffffffffull }, { 0x4000, 0x8000000000000000ull }, { 0x3ffe, 0x8000000000000000ull }, { 0x3ffd, 0xffffffffffffffffull }, { 0x3ffe, 0x8000000000000001ull },
    { 0x3fff, 0xc000000000000000ull }, { 0x4000, 0xa000000000000000ull }, { 0x4000, 0xc90fdaa22168c235ull }, { 0x3fff, 0xc90fdaa22168c235ull }, { 0x403e, 0x8000000000000000ull }, { 0x403e, 0x8000000000000001ull }, { 0x403d, 0xffffffffffffffffull }, { 0x403d, 0xfffffffffffffffeull },
    { 0x403a, 0xde0b6b3a763ffff0ull }, { 0x403a, 0xde0b6b3a763ffff8ull }, { 0x403a, 0xde0b6b3a763fffffull }, { 0x403a, 0xde0b6b3a76400000ull }, { 0x401e, 0x8000000000000000ull }, { 0x401d, 0xfffffffe00000000ull }, { 0x401d, 0xffffffff00000000ull }, { 0x400e, 0x8000000000000000ull }, { 0x400d, 0xfffe000000000000ull }, { 0x400d, 0xffff000000000000ull },
    { 0x7ffe, 0xffffffffffffffffull }, { 0x7ffe, 0xfffffffffffff800ull }, { 0x7ffe, 0xffffff0000000000ull }, { 0x7ffe, 0x8000000000000000ull }, { 0x7fff, 0x8000000000000000ull }, { 0x7fff, 0x8000000000000001ull }, { 0x7fff, 0xbfffffffffffffffull }, { 0x7fff, 0xc000000000000000ull }, { 0x7fff, 0xc000000000000001ull }, { 0x7fff, 0xffffffffffffffffull },
    { 0x7fff, 0xa000000000000000ull }, { 0x7fff, 0xd123456789abcdefull }, { 0x7fff, 0x923456789abcdef1ull }, { 0x7fff, 0 }, { 0x7fff, 1 }, { 0x7fff, 0x4000000000000000ull }, { 0x3fff, 0 }, { 0x3fff, 0x4000000000000000ull }, { 0x4000, 1 },
    { 0x43fe, 0xfffffffffffff800ull }, { 0x43fe, 0xfffffffffffffc00ull }, { 0x43fe, 0xfffffffffffffbffull }, { 0x43ff, 0x8000000000000000ull }, { 0x3c01, 0x8000000000000000ull }, { 0x3c00, 0xffffffffffffffffull }, { 0x3c00, 0xfffffffffffff800ull }, { 0x3c00, 0xfffffffffffffc00ull }, { 0x3bcc, 0x8000000000000001ull }, { 0x3bcd, 0x8000000000000000ull },
    { 0x407e, 0xffffff0000000000ull }, { 0x407e, 0xffffff8000000000ull }, { 0x407e, 0xffffff7fffffffffull }, { 0x3f81, 0x8000000000000000ull }, { 0x3f80, 0xffffffffffffffffull }, { 0x3f80, 0xffffff0000000000ull }, { 0x3f69, 0x8000000000000001ull }, { 0x3f6a, 0x8000000000000000ull },
    { 0x1fff, 0x8000000000000000ull }, { 0x5fff, 0xc000000000000000ull }, { 0x2000, 0xffffffffffffffffull }, { 0x400c, 0xfffc000000000000ull }, { 0x400d, 0x8000000000000000ull }, { 0x4010, 0x8000000000000000ull } };
  uint16_t se; uint64_t m;
  switch (below(8)) {
    case 0: case 1: { unsigned i = below(sizeof special / sizeof *special); se = special[i].se; m = special[i].m; break; }
    case 2: se = 0x3fff - 70 + below(140); m = bits() | 1ull << 63; break;
    case 3: se = 0x3fff - 2 + below(4); m = bits() | 1ull << 63; break;
    case 4: se = 0x3fff - 64 + below(66); m = bits() | 1ull << 63; break;
    case 5: { /* a double */ se = 0x3fff - 20 + below(60); m = (bits() | 1ull << 63) & ~0x7ffull; break; }
    case 6: { /* a small integer or half */ uint64_t n = 1 + (rnd() >> below(60)); int k = __builtin_clzll(n); se = 0x403e - k - below(2); m = n << k; break; }
    default: se = below(0x7fff); m = bits() | (se ? 1ull << 63 : 0); if (below(16) == 0) m = rnd(); break;
  }
  se |= below(2) << 15;
  memcpy(to, &m, 8); memcpy(to + 8, &se, 2);
}
static uint64_t randomInteger(void) {
  static const uint64_t special[] = { 0, 1, ~0ull, 0x7fff, 0x8000, 0xffff8000, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffffull, 0x8000000000000000ull, 0x8000000000000001ull, 0x1000001, 0x1fffffe, 0x20000000000001ull, 0x3ffffffffffffeull, 0xffffffffffffffffull };
  return below(3) == 0 ? special[below(sizeof special / sizeof *special)] : below(2) ? bits() : (uint64_t)((int64_t)rnd() >> below(64));
}
static void fillPools(void) {
  for (int i = 0; i < POOL; i++) {
    for (int k = 0; k < 4; k++) { uint32_t v = random32(); memcpy(&pool[P32][i][4 * k], &v, 4); }
    for (int k = 0; k < 2; k++) { uint64_t v = random64(); memcpy(&pool[P64][i][8 * k], &v, 8); }
    random80(pool[P80][i]);
    for (int k = 0; k < 2; k++) { uint64_t v = randomInteger(); memcpy(&pool[PINT][i][8 * k], &v, 8); }
    int digits = below(19);
    for (int k = 0; k < digits; k++) pool[PBCD][i][k / 2] |= below(10) << (4 * (k & 1));
    pool[PBCD][i][9] = below(2) << 7;
  }
}

/* ---- running one instruction ---- */
static uint8_t *code;
static volatile uint8_t *resumeAt;
static volatile int faulted;
static void onFpe(int signal, siginfo_t *info, void *context) {
  (void)signal; (void)info;
  faulted = 1;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] = (greg_t)resumeAt;
}

typedef struct { Image in, out; uint8_t mem[32]; uint64_t rax, rflags; int faulted; } Run;

static void run(Run *r, const uint8_t *insn, int length) {
  static uint32_t mxcsrDefault = 0x1f80;
  uint8_t *p = code;
#define EMIT(...) do { const uint8_t b[] = { __VA_ARGS__ }; memcpy(p, b, sizeof b); p += sizeof b; } while (0)
  EMIT(0x53);                               /* push rbx */
  EMIT(0x48, 0x0f, 0xae, 0x0e);             /* fxrstor64 [rsi] */
  EMIT(0x49, 0x8b, 0x00);                   /* mov rax, [r8] */
  EMIT(0x41, 0xff, 0x31, 0x9d);             /* push [r9]; popfq */
  memcpy(p, insn, length); p += length;
  resumeAt = p;
  EMIT(0x9c, 0x41, 0x8f, 0x01);             /* pushfq; pop [r9] */
  EMIT(0x49, 0x89, 0x00);                   /* mov [r8], rax */
  EMIT(0x48, 0x0f, 0xae, 0x02);             /* fxsave64 [rdx] */
  EMIT(0xdb, 0xe3);                         /* fninit */
  EMIT(0x0f, 0xae, 0x11);                   /* ldmxcsr [rcx] */
  EMIT(0x5b, 0xc3);                         /* pop rbx; ret */
  faulted = 0;
  void *rdi = r->mem, *rsi = &r->in, *rdx = &r->out, *rcx = &mxcsrDefault;
  register void *r8 asm("r8") = &r->rax;
  register void *r9 asm("r9") = &r->rflags;
  asm volatile("sub $256, %%rsp; call *%[code]; add $256, %%rsp" : "+D"(rdi), "+S"(rsi), "+d"(rdx), "+c"(rcx), "+r"(r8), "+r"(r9) : [code] "r"(code)
               : "rax", "r10", "r11", "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "xmm0", "xmm1", "xmm2", "xmm3");
  r->faulted = faulted;
}

/* ---- instructions; memory operands are [rdi], registers ST0/ST1, XMM0/XMM1, MM1, RAX ---- */
typedef struct { char name[16]; uint8_t bytes[8]; int length; int memory; /* pool or -1 */ int a, b; int group; } Op;
static Op ops[400];
static int opCount;
static Op *addOp(const char *name, int memory, int length, const uint8_t *bytes) {
  Op *op = &ops[opCount++];
  snprintf(op->name, sizeof op->name, "%s", name); op->memory = memory; op->length = length; memcpy(op->bytes, bytes, length);
  return op;
}
#define OP(name, memory, ...) addOp(name, memory, sizeof((uint8_t[]){ __VA_ARGS__ }), (uint8_t[]){ __VA_ARGS__ })
#define MEM(reg) ((reg) << 3 | 7)

static void x87Ops(void) {
  static const char *arithmetic[] = { "FADD", "FMUL", "FCOM", "FCOMP", "FSUB", "FSUBR", "FDIV", "FDIVR" };
  for (int i = 0; i < 8; i++) {
    OP(arithmetic[i], P32, 0xd8, MEM(i)); OP(arithmetic[i], P64, 0xdc, MEM(i));
    OP(arithmetic[i], PINT, 0xda, MEM(i)); OP(arithmetic[i], PINT, 0xde, MEM(i));
    OP(arithmetic[i], -1, 0xd8, 0xc1 + 8 * i); OP(arithmetic[i], -1, 0xd8, 0xc1 + 8 * i);
    OP(arithmetic[i], -1, 0xdc, 0xc1 + 8 * i); OP(arithmetic[i], -1, 0xde, i == 3 ? 0xd9 : 0xc1 + 8 * i);
  }
  OP("FLD", P32, 0xd9, MEM(0)); OP("FLD", P64, 0xdd, MEM(0)); OP("FLD", P80, 0xdb, MEM(5)); OP("FLD", -1, 0xd9, 0xc1);
  OP("FILD", PINT, 0xdf, MEM(0)); OP("FILD", PINT, 0xdb, MEM(0)); OP("FILD", PINT, 0xdf, MEM(5)); OP("FBLD", PBCD, 0xdf, MEM(4));
  for (int k = 0; k < 2; k++) { OP("FST", PINT, 0xd9, MEM(2)); OP("FSTP", PINT, 0xd9, MEM(3)); OP("FST", PINT, 0xdd, MEM(2)); OP("FSTP", PINT, 0xdd, MEM(3)); }
  OP("FSTP", PINT, 0xdb, MEM(7)); OP("FST", -1, 0xdd, 0xd1); OP("FSTP", -1, 0xdd, 0xd9);
  OP("FIST", PINT, 0xdf, MEM(2)); OP("FISTP", PINT, 0xdf, MEM(3)); OP("FIST", PINT, 0xdb, MEM(2)); OP("FISTP", PINT, 0xdb, MEM(3)); OP("FISTP", PINT, 0xdf, MEM(7));
  OP("FISTTP", PINT, 0xdf, MEM(1)); OP("FISTTP", PINT, 0xdb, MEM(1)); OP("FISTTP", PINT, 0xdd, MEM(1)); OP("FBSTP", PINT, 0xdf, MEM(6)); OP("FBSTP", PINT, 0xdf, MEM(6));
  OP("FXCH", -1, 0xd9, 0xc9); OP("FNOP", -1, 0xd9, 0xd0); OP("FFREE", -1, 0xdd, 0xc1); OP("FFREEP", -1, 0xdf, 0xc1);
  OP("FUCOM", -1, 0xdd, 0xe1); OP("FUCOMP", -1, 0xdd, 0xe9); OP("FUCOMPP", -1, 0xda, 0xe9);
  OP("FCOMI", -1, 0xdb, 0xf1); OP("FCOMIP", -1, 0xdf, 0xf1); OP("FUCOMI", -1, 0xdb, 0xe9); OP("FUCOMIP", -1, 0xdf, 0xe9);
  for (int i = 0; i < 4; i++) { OP("FCMOV", -1, 0xda, 0xc1 + 8 * i); OP("FCMOVN", -1, 0xdb, 0xc1 + 8 * i); }
  static const struct { const char *name; uint8_t byte; } d9[] = { { "FCHS", 0xe0 }, { "FABS", 0xe1 }, { "FTST", 0xe4 }, { "FXAM", 0xe5 }, { "FLD1", 0xe8 }, { "FLDL2T", 0xe9 }, { "FLDL2E", 0xea }, { "FLDPI", 0xeb }, { "FLDLG2", 0xec }, { "FLDLN2", 0xed }, { "FLDZ", 0xee },
    { "F2XM1", 0xf0 }, { "FYL2X", 0xf1 }, { "FPTAN", 0xf2 }, { "FPATAN", 0xf3 }, { "FXTRACT", 0xf4 }, { "FPREM1", 0xf5 }, { "FDECSTP", 0xf6 }, { "FINCSTP", 0xf7 }, { "FPREM", 0xf8 }, { "FYL2XP1", 0xf9 }, { "FSQRT", 0xfa }, { "FSINCOS", 0xfb }, { "FRNDINT", 0xfc }, { "FSCALE", 0xfd }, { "FSIN", 0xfe }, { "FCOS", 0xff } };
  for (unsigned i = 0; i < sizeof d9 / sizeof *d9; i++) { int times = d9[i].byte >= 0xf0 ? 2 : 1; if (d9[i].byte == 0xfa) times = 4; while (times--) OP(d9[i].name, -1, 0xd9, d9[i].byte); }
  OP("FLDCW", PINT, 0xd9, MEM(5)); OP("FNSTCW", PINT, 0xd9, MEM(7)); OP("FNSTSW", PINT, 0xdd, MEM(7)); OP("FNSTSW", -1, 0xdf, 0xe0); OP("FNSTENV", PINT, 0xd9, MEM(6));
  OP("FNINIT", -1, 0xdb, 0xe3); OP("FNCLEX", -1, 0xdb, 0xe2); OP("EMMS", -1, 0x0f, 0x77);
}

static Op *sseOp(const char *name, int prefix, int opcode, int pa, int pb) {
  uint8_t b[4]; int n = 0;
  if (prefix) b[n++] = prefix;
  b[n++] = 0x0f; b[n++] = opcode; b[n++] = 0xc1;
  Op *op = addOp(name, -1, n, b); op->a = pa; op->b = pb;
  return op;
}
static void sseOps(void) {
  static const struct { const char *name; uint8_t opcode; } arithmetic[] = { { "ADD", 0x58 }, { "MUL", 0x59 }, { "SUB", 0x5c }, { "DIV", 0x5e }, { "MIN", 0x5d }, { "MAX", 0x5f }, { "SQRT", 0x51 } };
  char name[16];
  for (unsigned i = 0; i < 7; i++) {
    for (int k = 0; k < 2; k++) {
      snprintf(name, 16, "%sPS", arithmetic[i].name); sseOp(name, 0, arithmetic[i].opcode, P32, P32);
      snprintf(name, 16, "%sPD", arithmetic[i].name); sseOp(name, 0x66, arithmetic[i].opcode, P64, P64);
    }
    snprintf(name, 16, "%sSS", arithmetic[i].name); sseOp(name, 0xf3, arithmetic[i].opcode, P32, P32);
    for (int k = 0; k < 2; k++) { snprintf(name, 16, "%sSD", arithmetic[i].name); sseOp(name, 0xf2, arithmetic[i].opcode, P64, P64); }
  }
  for (int p = 0; p < 8; p++) {
    static const struct { const char *name; uint8_t prefix; int pool; } compares[] = { { "CMPPS", 0, P32 }, { "CMPPD", 0x66, P64 }, { "CMPSS", 0xf3, P32 }, { "CMPSD_SSE", 0xf2, P64 } };
    for (int i = 0; i < 4; i++) { if (i == 2 && p > 3) continue; Op *op = sseOp(compares[i].name, compares[i].prefix, 0xc2, compares[i].pool, compares[i].pool); op->bytes[op->length++] = p; }
  }
  sseOp("COMISS", 0, 0x2f, P32, P32); sseOp("COMISD", 0x66, 0x2f, P64, P64); sseOp("UCOMISS", 0, 0x2e, P32, P32); sseOp("UCOMISD", 0x66, 0x2e, P64, P64);
  sseOp("CVTSS2SD", 0xf3, 0x5a, P64, P32); sseOp("CVTPS2PD", 0, 0x5a, P64, P32);
  for (int k = 0; k < 3; k++) { sseOp("CVTSD2SS", 0xf2, 0x5a, P32, P64); sseOp("CVTPD2PS", 0x66, 0x5a, P32, P64); sseOp("CVTPD2DQ", 0xf2, 0xe6, P32, P64); }
  sseOp("CVTDQ2PS", 0, 0x5b, P32, PINT); sseOp("CVTDQ2PD", 0xf3, 0xe6, P32, PINT);
  for (int k = 0; k < 2; k++) { sseOp("CVTPS2DQ", 0x66, 0x5b, P32, P32); sseOp("CVTTPS2DQ", 0xf3, 0x5b, P32, P32); sseOp("CVTTPD2DQ", 0x66, 0xe6, P32, P64); }
  /* general registers: RAX is the integer */
  for (int w = 0; w < 2; w++) for (int k = 0; k < 2; k++) {
    static const struct { const char *name; uint8_t prefix, opcode; int pool; } general[] = { { "CVTSI2SS", 0xf3, 0x2a, PINT }, { "CVTSI2SD", 0xf2, 0x2a, PINT }, { "CVTTSS2SI", 0xf3, 0x2c, P32 }, { "CVTTSD2SI", 0xf2, 0x2c, P64 }, { "CVTSS2SI", 0xf3, 0x2d, P32 }, { "CVTSD2SI", 0xf2, 0x2d, P64 } };
    for (int i = 0; i < 6; i++) {
      uint8_t b[5]; int n = 0; b[n++] = general[i].prefix; if (w) b[n++] = 0x48; b[n++] = 0x0f; b[n++] = general[i].opcode; b[n++] = general[i].opcode == 0x2a ? 0xc0 : 0xc1;
      Op *op = addOp(general[i].name, -1, n, b); op->a = P64; op->b = general[i].pool == PINT ? P64 : general[i].pool;
    }
  }
  sseOp("CVTPI2PS", 0, 0x2a, P32, P32); sseOp("CVTPI2PD", 0x66, 0x2a, P32, P32);
  sseOp("CVTPS2PI", 0, 0x2d, P32, P32); sseOp("CVTTPS2PI", 0, 0x2c, P32, P32); sseOp("CVTPD2PI", 0x66, 0x2d, P32, P64); sseOp("CVTTPD2PI", 0x66, 0x2c, P32, P64);
}

/* ---- columns ---- */
typedef struct { const char *name; int size; FILE *file; char *data; size_t length; } Column;
static Column columns[24];
static int columnCount;
static int column(const char *name, int size) { Column *c = &columns[columnCount]; c->name = name; c->size = size; c->file = open_memstream(&c->data, &c->length); return columnCount++; }
static void put(int c, const void *data) { fwrite(data, columns[c].size, 1, columns[c].file); }
static void put16(int c, uint16_t v) { put(c, &v); }
static void putXor(int c, const uint8_t *a, const uint8_t *b) { uint8_t x[32]; for (int i = 0; i < columns[c].size; i++) x[i] = a[i] ^ b[i]; put(c, x); }

static void finish(const char *kind, long records) {
  printf("{\"kind\":\"%s\",\"records\":%ld,\"poolSize\":%d,\"pools\":[", kind, records, POOL);
  for (int i = 0; i < POOLS; i++) printf("%s\"%s\"", i ? "," : "", POOL_NAMES[i]);
  printf("],\"ops\":[");
  for (int i = 0; i < opCount; i++) { printf("%s[\"%s\",\"", i ? "," : "", ops[i].name); for (int k = 0; k < ops[i].length; k++) printf("%02x", ops[i].bytes[k]); printf("\",%d,%d,%d]", ops[i].memory, ops[i].a, ops[i].b); }
  printf("],\"columns\":[");
  for (int i = 0; i < columnCount; i++) printf("%s[\"%s\",%d]", i ? "," : "", columns[i].name, columns[i].size);
  printf("]}\n");
  fwrite(pool, sizeof pool, 1, stdout);
  for (int i = 0; i < columnCount; i++) { fclose(columns[i].file); fwrite(columns[i].data, columns[i].length, 1, stdout); }
}

static uint64_t randomFlags(void) { return 0x202 | (rnd() & 0x8d5); }

static void recordX87(int each) {
  int cOp = column("op", 2), cFcw = column("fcw", 2), cFsw = column("fsw", 2), cFtw = column("ftw", 1), cA = column("a", 2), cB = column("b", 2), cM = column("m", 2), cFl = column("rflags", 2);
  int oFcw = column("fcwOut", 2), oFsw = column("fswOut", 2), oFtw = column("ftwOut", 1), oSt0 = column("st0Out", 10), oSt1 = column("st1Out", 10), oMem = column("memOut", 10), oFl = column("rflagsOut", 2), oAx = column("axOut", 2);
  long records = 0;
  for (int o = 0; o < opCount; o++) for (int i = 0; i < each; i++) {
    Run r; memset(&r, 0, sizeof r);
    uint16_t a = below(POOL), b = below(POOL), m = below(POOL);
    uint16_t masks = below(3) ? 0x3f : below(64);
    static const uint16_t precision[] = { 0, 0x200, 0x300, 0x300 };
    r.in.fcw = 0x40 | masks | precision[below(4)] | below(4) << 10;
    int top = below(8);
    uint16_t sticky = below(3) ? 0 : below(64) & masks;
    r.in.fsw = top << 11 | sticky | (below(2) ? below(8) << 8 | below(2) << 14 : 0);
    /* ST-relative: which registers hold something */
    int full = below(256) & 0x7f;
    switch (below(12)) { case 0: full &= ~1; break; case 1: full = (full & ~2) | 1; break; case 2: full |= 0x83; break; default: full |= 3; break; }
    for (int k = 0; k < 8; k++) if (full >> k & 1) r.in.ftw |= 1 << ((top + k) & 7);
    for (int k = 0; k < 8; k++) { uint64_t one = 1ull << 63; uint16_t se = 0x3fff + k; memcpy(r.in.st[k], &one, 8); memcpy(r.in.st[k] + 8, &se, 2); }
    memcpy(r.in.st[0], pool[P80][a], 10); memcpy(r.in.st[1], pool[P80][b], 10);
    r.in.mxcsr = 0x1f80;
    uint8_t mem[32]; memset(mem, 0, sizeof mem);
    if (ops[o].memory >= 0) memcpy(mem, pool[ops[o].memory][m], 16);
    memcpy(r.mem, mem, sizeof mem);
    r.rax = 0x1234; uint64_t flags = r.rflags = randomFlags();
    run(&r, ops[o].bytes, ops[o].length);
    put16(cOp, o); put16(cFcw, r.in.fcw); put16(cFsw, r.in.fsw); put(cFtw, &r.in.ftw); put16(cA, a); put16(cB, b); put16(cM, m); put16(cFl, flags);
    put16(oFcw, r.out.fcw ^ r.in.fcw); put16(oFsw, r.out.fsw ^ r.in.fsw); uint8_t ftw = r.out.ftw ^ r.in.ftw; put(oFtw, &ftw);
    putXor(oSt0, r.out.st[0], r.in.st[0]); putXor(oSt1, r.out.st[1], r.in.st[1]); putXor(oMem, r.mem, mem); put16(oFl, r.rflags ^ flags); put16(oAx, r.rax ^ 0x1234);
    records++;
  }
  finish("x87", records);
}

static void recordSse(int each) {
  int cOp = column("op", 2), cCsr = column("mxcsr", 2), cA = column("a", 2), cB = column("b", 2), cM = column("m", 2), cFl = column("rflags", 2);
  int oCsr = column("mxcsrOut", 2), oFault = column("fault", 1), oX = column("xmmOut", 16), oRax = column("raxOut", 8), oMm = column("mmOut", 8), oFl = column("rflagsOut", 2), oFtw = column("ftwOut", 1), oFsw = column("fswOut", 2);
  long records = 0;
  for (int o = 0; o < opCount; o++) for (int i = 0; i < each; i++) {
    Run r; memset(&r, 0, sizeof r);
    uint16_t a = below(POOL), b = below(POOL), m = below(POOL);
    uint16_t masks = below(4) ? 0x3f : below(64);
    r.in.mxcsr = masks << 7 | (below(2) ? below(4) << 13 : 0) | (below(4) ? 0 : 0x40) | (below(4) ? 0 : 0x8000) | (below(2) ? 0 : below(64));
    r.in.fcw = 0x37f; r.in.fsw = 3 << 11;
    memcpy(r.in.xmm[0], pool[ops[o].a][a], 16); memcpy(r.in.xmm[1], pool[ops[o].b][b], 16);
    /* MM1 is physical register 1, MM0 physical register 0: with TOP = 3 ST(6) and ST(5). */
    memcpy(r.in.st[6], pool[PINT][m], 8); memcpy(r.in.st[5], pool[PINT][m] + 8, 8);
    uint64_t rax; memcpy(&rax, pool[PINT][m], 8); r.rax = rax;
    uint64_t flags = r.rflags = randomFlags();
    run(&r, ops[o].bytes, ops[o].length);
    put16(cOp, o); put16(cCsr, r.in.mxcsr); put16(cA, a); put16(cB, b); put16(cM, m); put16(cFl, flags);
    put16(oCsr, r.out.mxcsr ^ r.in.mxcsr); uint8_t f = r.faulted; put(oFault, &f); putXor(oX, r.out.xmm[0], r.in.xmm[0]);
    uint64_t d = r.rax ^ rax; put(oRax, &d);
    int top = r.out.fsw >> 11 & 7; putXor(oMm, r.out.st[(8 - top) & 7], r.in.st[5]);
    put16(oFl, r.rflags ^ flags); put(oFtw, &r.out.ftw); put16(oFsw, r.out.fsw);
    records++;
  }
  finish("sse", records);
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: record x87|sse COUNT [SEED]\n"), 1;
  if (argc > 3) state ^= strtoull(argv[3], 0, 0) * 0x9e3779b97f4a7c15ull;
  code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sigaction action = { .sa_sigaction = onFpe, .sa_flags = SA_SIGINFO };
  sigaction(SIGFPE, &action, 0);
  fillPools();
  if (!strcmp(argv[1], "x87")) x87Ops(), recordX87(atoi(argv[2]));
  else sseOps(), recordSse(atoi(argv[2]));
  return 0;
}
