/*
 * Records what a processor does with the SSE, SSE2 and MMX instructions that do no floating-point arithmetic, and with some of SSE3, SSSE3
 * and SSE4.1, for sse.test.ts.
 *
 *   cc -O1 -o record-sse record-sse.c && ./record-sse | gzip -9n > sse-integer.json.gz
 *
 * Every instruction works on XMM1 and XMM2, MM1 and MM2, RAX, and memory at RDI. Operands come from a pool of 16-byte values written
 * out once; a case names the values it uses, and then only what the instruction changed:
 *   [XMM1 and MM1, XMM2 and MM2 and RAX, memory, misalignment, control byte or -1, result]
 * MM1 and MM2 get the upper halves of their values. The result is "fault" or a list of x1 x2 q1 q2 r m (in hexadecimal, lowest byte
 * first) and t: TOP, the FXSAVE tags, and a bit for each x87 register whose sign and exponent became FFFFh.
 * Before: TOP is 5, tags are 81h, the exponent of physical register i is 4000h + i. The operand in memory stands in 48 bytes of A5h, 16 +
 * misalignment bytes from their start.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { PLAIN, CONTROL, COUNT };

struct instruction { const uint8_t *code; uint64_t length; const char *text; uint64_t kind; };
extern const struct instruction __start_instructions[], __stop_instructions[];

#define I_(text, kind)                                                                                             \
  __asm__(".pushsection .text\n.intel_syntax noprefix\n1: " text "\n2: ret\n.att_syntax\n.popsection\n"             \
          ".pushsection .rodata\n3: .asciz \"" text "\"\n.popsection\n"                                             \
          ".pushsection instructions,\"aw\"\n.quad 1b, 2b-1b, 3b, " #kind "\n.popsection\n");
#define I(text) I_(text, 0)
#define IMM(text) I_(text ", 0x55", 1)
#define SHIFT(text) I_(text, 2)

#define X(op) I(op " xmm1, xmm2") I(op " xmm1, [rdi]")
#define Q(op) I(op " mm1, mm2") I(op " mm1, [rdi]")
#define XQ(op) X(op) Q(op)
#define BY_COUNT(op) SHIFT(op " xmm1, xmm2") SHIFT(op " xmm1, [rdi]") SHIFT(op " mm1, mm2") SHIFT(op " mm1, [rdi]") IMM(op " xmm1") IMM(op " mm1")
#define MOVE(op) X(op) I(op " [rdi], xmm2")
#define XI(op) IMM(op " xmm1, xmm2") IMM(op " xmm1, [rdi]")

MOVE("movaps") MOVE("movapd") MOVE("movdqa") MOVE("movups") MOVE("movupd") MOVE("movdqu") MOVE("movss") MOVE("movsd")
I("movntps [rdi], xmm2") I("movntpd [rdi], xmm2") I("movntdq [rdi], xmm2") I("movntq [rdi], mm2") I("lddqu xmm1, [rdi]")
I("movlps xmm1, [rdi]") I("movlps [rdi], xmm2") I("movlpd xmm1, [rdi]") I("movlpd [rdi], xmm2")
I("movhps xmm1, [rdi]") I("movhps [rdi], xmm2") I("movhpd xmm1, [rdi]") I("movhpd [rdi], xmm2")
I("movhlps xmm1, xmm2") I("movlhps xmm1, xmm2") X("movddup") X("movsldup") X("movshdup")
I("movd xmm1, eax") I("movq xmm1, rax") I("movd xmm1, [rdi]") I("movd eax, xmm2") I("movq rax, xmm2") I("movd [rdi], xmm2")
I("movd mm1, eax") I("movq mm1, rax") I("movd mm1, [rdi]") I("movd eax, mm2") I("movq rax, mm2") I("movd [rdi], mm2")
I(".byte 0x66, 0x48, 0x0f, 0x6e, 0x0f # movq xmm1, [rdi]") I(".byte 0x66, 0x48, 0x0f, 0x7e, 0x17 # movq [rdi], xmm2")
I(".byte 0x48, 0x0f, 0x6e, 0x0f # movq mm1, [rdi]") I(".byte 0x48, 0x0f, 0x7e, 0x17 # movq [rdi], mm2")
MOVE("movq") I(".byte 0x66, 0x0f, 0xd6, 0xd1 # movq xmm1, xmm2") Q("movq") I(".byte 0x0f, 0x7f, 0xd1 # movq mm1, mm2") I("movq [rdi], mm2")
I("movq2dq xmm1, mm2") I("movdq2q mm1, xmm2") I("maskmovdqu xmm1, xmm2") I("maskmovq mm1, mm2")
I("pmovmskb eax, xmm2") I("pmovmskb eax, mm2") I("movmskps eax, xmm2") I("movmskpd eax, xmm2")
I(".byte 0x66, 0x48, 0x0f, 0xd7, 0xc2 # pmovmskb rax, xmm2") I(".byte 0x48, 0x0f, 0x50, 0xc2 # movmskps rax, xmm2")

X("andps") X("andnps") X("orps") X("xorps") X("andpd") X("andnpd") X("orpd") X("xorpd") XQ("pand") XQ("pandn") XQ("por") XQ("pxor")
XQ("paddb") XQ("paddw") XQ("paddd") XQ("paddq") XQ("paddsb") XQ("paddsw") XQ("paddusb") XQ("paddusw")
XQ("psubb") XQ("psubw") XQ("psubd") XQ("psubq") XQ("psubsb") XQ("psubsw") XQ("psubusb") XQ("psubusw")
XQ("pmullw") XQ("pmulhw") XQ("pmulhuw") XQ("pmuludq") XQ("pmaddwd") XQ("psadbw") XQ("pavgb") XQ("pavgw")
XQ("pminub") XQ("pminsw") XQ("pmaxub") XQ("pmaxsw")
XQ("pcmpeqb") XQ("pcmpeqw") XQ("pcmpeqd") XQ("pcmpgtb") XQ("pcmpgtw") XQ("pcmpgtd")
BY_COUNT("psllw") BY_COUNT("pslld") BY_COUNT("psllq") BY_COUNT("psrlw") BY_COUNT("psrld") BY_COUNT("psrlq") BY_COUNT("psraw") BY_COUNT("psrad")
IMM("pslldq xmm1") IMM("psrldq xmm1")
XI("pshufd") XI("pshuflw") XI("pshufhw") XI("shufps") XI("shufpd") IMM("pshufw mm1, mm2") IMM("pshufw mm1, [rdi]")
XQ("punpcklbw") XQ("punpcklwd") XQ("punpckldq") XQ("punpckhbw") XQ("punpckhwd") XQ("punpckhdq") X("punpcklqdq") X("punpckhqdq")
X("unpcklps") X("unpckhps") X("unpcklpd") X("unpckhpd") XQ("packsswb") XQ("packuswb") XQ("packssdw")
IMM("pinsrw xmm1, eax") IMM("pinsrw xmm1, [rdi]") IMM("pinsrw mm1, eax") IMM("pinsrw mm1, [rdi]") IMM("pextrw eax, xmm2") IMM("pextrw eax, mm2")

/* SSSE3 and SSE4.1 */
XQ("pshufb") XI("palignr") IMM("palignr mm1, mm2") IMM("palignr mm1, [rdi]") I("movntdqa xmm1, [rdi]") X("packusdw")
X("pmovsxbw") X("pmovsxbd") X("pmovsxbq") X("pmovsxwd") X("pmovsxwq") X("pmovsxdq")
X("pmovzxbw") X("pmovzxbd") X("pmovzxbq") X("pmovzxwd") X("pmovzxwq") X("pmovzxdq")
IMM("pextrb eax, xmm2") IMM("pextrb [rdi], xmm2") IMM("pextrd eax, xmm2") IMM("pextrd [rdi], xmm2") IMM("pextrq rax, xmm2") IMM("pextrq [rdi], xmm2")
IMM("pextrw [rdi], xmm2") IMM("extractps eax, xmm2") IMM("extractps [rdi], xmm2")
IMM("pinsrb xmm1, eax") IMM("pinsrb xmm1, [rdi]") IMM("pinsrd xmm1, eax") IMM("pinsrd xmm1, [rdi]") IMM("pinsrq xmm1, rax") IMM("pinsrq xmm1, [rdi]")
IMM("insertps xmm1, xmm2") IMM("insertps xmm1, [rdi]")

/* ---- operands ---- */

#define BOUNDARIES 12
#define COUNTS 16
#define POOL 96
static uint8_t pool[POOL][16];

static uint64_t seed = 0x9e3779b97f4a7c15;
static uint64_t random64(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed * 0x2545f4914f6cdd1d;
}

static void fill_pool(void) {
  static const uint32_t words[BOUNDARIES] = {0, 0xffffffff, 0x80008000, 0x7fff7fff, 0x80000000, 0x7fffffff, 0x80808080, 0x7f7f7f7f, 0x00ff00ff, 0x00010001, 0x01010101, 0xffff0000};
  static const uint64_t counts[COUNTS] = {0, 1, 7, 8, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 0x100000001, 0x8000000000000000};
  static const uint16_t edges[8] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x00ff, 0xff7f};
  for (int i = 0; i < POOL; i++) {
    uint64_t v[2] = {random64(), random64()};
    if (i < BOUNDARIES) v[0] = v[1] = words[i] * 0x100000001;
    else if (i < BOUNDARIES + COUNTS) v[0] = v[1] = counts[i - BOUNDARIES];
    else if (i < 60) for (int w = 0; w < 8; w++) ((uint16_t *)v)[w] = edges[random64() & 7];
    memcpy(pool[i], v, 16);
  }
}

/* ---- execution ---- */

#define BLOCK 48
#define BEFORE 16
#define TOP 5
struct { uint8_t in[512], out[512]; } static image __attribute__((aligned(64)));
static uint8_t block[BLOCK + 64] __attribute__((aligned(64)));
static uint8_t *page;
static sigjmp_buf escape;

static void on_fault(int number) { siglongjmp(escape, number); }

static uint8_t *x87(uint8_t *i, int top, int physical) { return i + 32 + ((physical - top) & 7) * 16; }
static uint8_t *xmm(uint8_t *i, int n) { return i + 160 + n * 16; }

static void hex(const char *name, const uint8_t *bytes, int count, int *any) {
  printf("%s%s=", (*any)++ ? " " : "", name);
  for (int i = 0; i < count; i++) printf("%02x", bytes[i]);
}

static void run(int a, int b, int c, int misalignment, int control) {
  uint8_t *in = image.in, *out = image.out, before[BLOCK];
  memset(in, 0, 512);
  *(uint16_t *)in = 0x37f;
  *(uint16_t *)(in + 2) = TOP << 11;
  in[4] = 0x81;
  *(uint32_t *)(in + 24) = 0x1f80;
  for (int i = 0; i < 8; i++) *(uint16_t *)(x87(in, TOP, i) + 8) = 0x4000 + i;
  memcpy(x87(in, TOP, 1), pool[a] + 8, 8);
  memcpy(x87(in, TOP, 2), pool[b] + 8, 8);
  memcpy(xmm(in, 1), pool[a], 16);
  memcpy(xmm(in, 2), pool[b], 16);
  memset(block, 0xa5, BLOCK);
  memcpy(block + BEFORE + misalignment, pool[c], 16);
  memcpy(before, block, BLOCK);
  uint64_t rax_in, rax;
  memcpy(&rax_in, pool[b] + 3, 8);
  rax = rax_in;
  printf("[%d,%d,%d,%d,%d,\"", a, b, c, misalignment, control);
  if (sigsetjmp(escape, 1)) {
    printf("fault\"]");
    return;
  }
  __asm__ volatile("fxrstor64 (%2)\ncall *%4\nfxsave64 (%3)\nfninit" : "+a"(rax) : "D"(block + BEFORE + misalignment), "r"(in), "r"(out), "r"(page) : "memory", "cc", "xmm1", "xmm2");
  int any = 0, top = (*(uint16_t *)(out + 2) >> 11) & 7, ones = 0;
  for (int n = 0; n < 16; n++) if (n != 1 && n != 2 && memcmp(xmm(in, n), xmm(out, n), 16)) fprintf(stderr, "xmm%d changed\n", n);
  if (memcmp(xmm(in, 1), xmm(out, 1), 16)) hex("x1", xmm(out, 1), 16, &any);
  if (memcmp(xmm(in, 2), xmm(out, 2), 16)) hex("x2", xmm(out, 2), 16, &any);
  if (memcmp(x87(in, TOP, 1), x87(out, top, 1), 8)) hex("q1", x87(out, top, 1), 8, &any);
  if (memcmp(x87(in, TOP, 2), x87(out, top, 2), 8)) hex("q2", x87(out, top, 2), 8, &any);
  if (rax != rax_in) hex("r", (uint8_t *)&rax, 8, &any);
  if (memcmp(before, block, BLOCK)) hex("m", block, BLOCK, &any);
  for (int i = 0; i < 8; i++) if (*(uint16_t *)(x87(out, top, i) + 8) == 0xffff) ones |= 1 << i;
  if (top != TOP || out[4] != 0x81 || ones) hex("t", (uint8_t[]){top, out[4], ones}, 3, &any);
  printf("\"]");
}

int main(void) {
  struct sigaction action = {.sa_handler = on_fault};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGILL, &action, 0);
  page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  fill_pool();
  printf("{\"pool\":[");
  for (int i = 0; i < POOL; i++) {
    printf("%s\"", i ? "," : "");
    for (int k = 0; k < 16; k++) printf("%02x", pool[i][k]);
    printf("\"");
  }
  printf("],\n\"rows\":[");
  for (const struct instruction *i = __start_instructions; i < __stop_instructions; i++) {
    memcpy(page, i->code, i->length);
    page[i->length] = 0xc3;
    const char *text = strchr(i->text, '#') ? strchr(i->text, '#') + 2 : i->text;
    printf("%s\n{\"asm\":\"%.*s\",\"code\":\"", i == __start_instructions ? "" : ",", (int)(i->kind == CONTROL ? strlen(text) - 6 : strlen(text)), text);
    for (uint64_t k = 0; k < i->length - (i->kind == CONTROL); k++) printf("%02x", page[k]);
    printf("\",\"cases\":[");
    int memory = strchr(text, '[') != 0 || strstr(text, "maskmov") != 0;
    int cases = i->kind == CONTROL ? 256 : memory ? 26 : 20;
    for (int n = 0; n < cases; n++) {
      int control = i->kind == CONTROL ? n : -1;
      if (control >= 0) page[i->length - 1] = control;
      int a = n < 6 ? n : random64() % POOL, b = n < 6 ? random64() % BOUNDARIES : random64() % POOL, c = n < 6 ? b : random64() % POOL;
      if (i->kind == COUNT && n < COUNTS) b = c = BOUNDARIES + n;
      int misalignment = !memory ? 0 : n % 13 == 5 ? 8 : n % 13 == 9 ? 1 + random64() % 15 : 0;
      if (n) printf(",");
      run(a, b, c, misalignment, control);
    }
    printf("]}");
  }
  printf("]}\n");
  return 0;
}
