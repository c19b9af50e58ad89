/* Work that needs no privilege: arithmetic, memory, calls, branches. */
#include "bench.h"

u64 run_alu(u64 count) {
  u64 a = 1, b = 2, c = 3;
  for (u64 i = 0; i < count; i++) {
    a += b ^ i;
    b = (b << 3) - c;
    c ^= a >> 7;
    /* The loop must stay one. */
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c));
  }
  return a ^ b ^ c;
}

u64 run_memory(u64 count) {
  volatile u64 *words = (volatile u64 *)BUFFER;
  for (u64 i = 0; i < 0x20000; i++) words[i] = i;
  u64 sum = 0, at = 0;
  for (u64 i = 0; i < count; i++) {
    sum += words[at];
    words[at] = sum;
    at = (at + 97) & 0x1ffff;
  }
  return sum;
}

static __attribute__((noinline, noclone)) u64 fib(u64 n) {
  /* Keeps the compiler from turning one of the calls into a loop. */
  __asm__ volatile("" : "+r"(n));
  if (n < 2) return n;
  u64 a = fib(n - 1);
  __asm__ volatile("" : "+r"(a));
  return a + fib(n - 2);
}
u64 run_fib(u64 count) { return fib(count); }

/* A stack machine: sums i * i modulo 2^64 for i = count ... 1. */
enum { PUSH, LOAD, STORE, ADD, MULTIPLY, SUBTRACT, JUMP_IF, STOP };
u64 run_bytecode(u64 count) {
  static const u8 program[] = {
    LOAD, 0, LOAD, 0, MULTIPLY, LOAD, 1, ADD, STORE, 1, /* x1 += x0 * x0 */
    LOAD, 0, PUSH, 1, SUBTRACT, STORE, 0,               /* x0 -= 1 */
    LOAD, 0, JUMP_IF, 0,                                /* while x0 */
    STOP,
  };
  u64 stack[8], variables[2] = { count, 0 };
  u64 *sp = stack;
  for (const volatile u8 *pc = program;;) {
    switch (*pc++) {
      case PUSH: *sp++ = *pc++; break;
      case LOAD: *sp++ = variables[*pc++]; break;
      case STORE: variables[*pc++] = *--sp; break;
      case ADD: sp--; sp[-1] += sp[0]; break;
      case MULTIPLY: sp--; sp[-1] *= sp[0]; break;
      case SUBTRACT: sp--; sp[-1] -= sp[0]; break;
      case JUMP_IF: { u8 target = *pc++; if (*--sp) pc = program + target; break; }
      default: return variables[1];
    }
  }
}

u64 run_xorshift(u64 count) {
  u64 x = 88172645463325252ul;
  for (u64 i = 0; i < count; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
  }
  return x;
}

/* CRC-32 (reflected, EDB88320h) of the bytes 0, 1, 2 ... modulo 251, table-driven. */
u64 run_crc32(u64 count) {
  static u32 table[256];
  for (u32 n = 0; n < 256; n++) {
    u32 c = n;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
    table[n] = c;
  }
  volatile u8 *bytes = (volatile u8 *)BUFFER;
  u32 size = 0x10000;
  for (u32 i = 0; i < size; i++) bytes[i] = (u8)(i % 251);
  u32 crc = 0xffffffff;
  for (u64 i = 0; i < count; i++) crc = table[(crc ^ bytes[i & (size - 1)]) & 0xff] ^ crc >> 8;
  return crc ^ 0xffffffff;
}

/* Primes below `count`. */
u64 run_sieve(u64 count) {
  volatile u8 *composite = (volatile u8 *)BUFFER;
  u64 primes = 0;
  memset((void *)BUFFER, 0, count);
  for (u64 n = 2; n < count; n++) {
    if (composite[n]) continue;
    primes++;
    for (u64 m = n * n; m < count; m += n) composite[m] = 1;
  }
  return primes;
}

u64 run_copy(u64 count) {
  volatile u64 *from = (volatile u64 *)COPY_FROM, *to = (volatile u64 *)COPY_TO;
  u64 words = COPY_SIZE / 8, sum = 0;
  for (u64 i = 0; i < words; i++) from[i] = i * 0x9e3779b97f4a7c15ul;
  for (u64 round = 0; round < count; round++) {
    for (u64 i = 0; i < words; i++) to[i] = from[i];
    sum += to[round & (words - 1)];
  }
  return sum;
}

/* A random cycle through 8 MiB, one cache line a step: nothing but translation and memory latency. */
u64 run_chase(u64 count) {
  volatile u64 *next = (volatile u64 *)BUFFER;
  u64 lines = 0x20000, x = 1, at = 0;
  for (u64 i = 0; i < lines; i++) next[i * 8] = i;
  /* Sattolo's shuffle: one cycle through all lines. */
  for (u64 i = lines - 1; i > 0; i--) {
    x = x * 6364136223846793005ul + 1442695040888963407ul;
    u64 j = (x >> 33) % i, swap = next[i * 8];
    next[i * 8] = next[j * 8];
    next[j * 8] = swap;
  }
  for (u64 i = 0; i < count; i++) at = next[at * 8];
  return at;
}
