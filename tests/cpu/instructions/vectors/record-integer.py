#!/usr/bin/env python3
"""Records integer instructions as the processor executes them.

Writes integer.json.gz: for every instruction its bytes, the flags that the manual leaves undefined, and cases of
[rax, rbx, rcx, rdx, r8, rflags, 16 bytes at RDI] before and after (after is null when it raised #DE).
Needs gcc and binutils on an x86-64 machine. Run it in this folder; the jest test replays the file in the model.
"""
import gzip, json, os, random, subprocess, sys, tempfile

CF, PF, AF, ZF, SF, OF = 1, 4, 16, 64, 128, 2048
ALL = CF | PF | AF | ZF | SF | OF
REG = {8: ['al', 'bl', 'cl', 'dl', 'r8b'], 16: ['ax', 'bx', 'cx', 'dx', 'r8w'], 32: ['eax', 'ebx', 'ecx', 'edx', 'r8d'], 64: ['rax', 'rbx', 'rcx', 'rdx', 'r8']}
PTR = {8: 'byte ptr', 16: 'word ptr', 32: 'dword ptr', 64: 'qword ptr'}
rows = []  # (asm, undefined flags)

def row(asm, undefined=0):
    rows.append((asm, undefined))

for op in ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp', 'test']:
    u = AF if op in ('or', 'and', 'xor', 'test') else 0
    for n in (8, 16, 32, 64):
        r = REG[n]
        row(f'{op} {r[0]}, {r[1]}', u); row(f'{op} {r[4]}, {r[2]}', u)
        row(f'{op} {PTR[n]} [rdi], {r[3]}', u)
        if op != 'test': row(f'{op} {r[3]}, {PTR[n]} [rdi+1]', u)
        row(f'{op} {r[1]}, 0x7f', u); row(f'{op} {r[2]}, -3', u)
        row(f'{op} {PTR[n]} [rdi+3], 0x55', u)
        if n > 8: row(f'{op} {r[0]}, 0x1234' if n == 16 else f'{op} {r[0]}, 0x12345678', u)
    row(f'{op} ah, bl', u); row(f'{op} dh, ch', u); row(f'{op} ch, byte ptr [rdi]' if op != 'test' else 'test byte ptr [rdi], ch', u)
for op in ['inc', 'dec', 'neg', 'not']:
    for n in (8, 16, 32, 64):
        row(f'{op} {REG[n][0]}'); row(f'{op} {PTR[n]} [rdi+2]')
    row(f'{op} bh')
for op in ['rol', 'ror', 'rcl', 'rcr', 'shl', 'shr', 'sar']:
    for n in (8, 16, 32, 64):
        for c in (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63):
            m = c & (63 if n == 64 else 31)
            u = (0 if m <= 1 else OF) | (AF if op[0] == 's' and m else 0)
            if op in ('shl', 'shr') and m > n: u |= CF
            if op == 'shl' and m >= n and n < 32: u |= CF
            if op == 'shr' and m >= n and n < 32: u |= CF
            if op == 'sar' and m >= n and n < 32: u |= CF
            row(f'{op} {REG[n][0]}, {c}', u)
            if c in (1, 7): row(f'{op} {PTR[n]} [rdi], {c}', u)
        u = OF | (AF if op[0] == 's' else 0) | (CF if n < 32 and op[0] == 's' else 0)
        row(f'{op} {REG[n][1]}, cl', u); row(f'{op} {PTR[n]} [rdi+1], cl', u)
for op in ['shld', 'shrd']:
    for n in (16, 32, 64):
        for c in (0, 1, 3, 15, 31, 47):
            m = c & (63 if n == 64 else 31)
            if m > n: continue
            u = (0 if m <= 1 else OF) | (AF if m else 0)
            row(f'{op} {REG[n][0]}, {REG[n][1]}, {c}', u)
        if n > 16:
            row(f'{op} {REG[n][3]}, {REG[n][1]}, cl', OF | AF); row(f'{op} {PTR[n]} [rdi], {REG[n][3]}, cl', OF | AF)
for n in (8, 16, 32, 64):
    for op, u in (('mul', SF | ZF | AF | PF), ('imul', SF | ZF | AF | PF), ('div', ALL), ('idiv', ALL)):
        row(f'{op} {REG[n][1]}', u); row(f'{op} {PTR[n]} [rdi]', u)
    row(f'xchg {REG[n][0]}, {REG[n][1]}'); row(f'xchg {PTR[n]} [rdi], {REG[n][3]}')
    row(f'xadd {REG[n][0]}, {REG[n][1]}'); row(f'xadd {PTR[n]} [rdi], {REG[n][3]}'); row(f'xadd {REG[n][1]}, {REG[n][1]}')
    row(f'cmpxchg {REG[n][1]}, {REG[n][2]}'); row(f'cmpxchg {PTR[n]} [rdi], {REG[n][2]}'); row(f'lock cmpxchg {PTR[n]} [rdi], {REG[n][0]}')
    row(f'mov {REG[n][0]}, {REG[n][4]}'); row(f'mov {PTR[n]} [rdi+5], {REG[n][1]}'); row(f'mov {REG[n][3]}, {PTR[n]} [rdi+5]'); row(f'mov {REG[n][2]}, -7'); row(f'mov {PTR[n]} [rdi], 0x11')
    s = {8: 'b', 16: 'w', 32: 'd', 64: 'q'}[n]
for n in (16, 32, 64):
    r = REG[n]
    row(f'imul {r[0]}, {r[1]}', SF | ZF | AF | PF); row(f'imul {r[0]}, {PTR[n]} [rdi]', SF | ZF | AF | PF); row(f'imul {r[3]}, {r[1]}, 77', SF | ZF | AF | PF); row(f'imul {r[3]}, {PTR[n]} [rdi], -12345', SF | ZF | AF | PF)
    for op in ('bt', 'bts', 'btr', 'btc'):
        u = OF | SF | AF | PF
        row(f'{op} {r[0]}, {r[1]}', u); row(f'{op} {PTR[n]} [rdi], 5', u); row(f'{op} {r[3]}, 13', u)
    for op in ('bsf', 'bsr'):
        row(f'{op} {r[0]}, {r[1]}', ALL & ~ZF); row(f'{op} {r[0]}, {PTR[n]} [rdi]', ALL & ~ZF)
    row(f'popcnt {r[0]}, {r[1]}'); row(f'popcnt {r[2]}, {PTR[n]} [rdi]')
    row(f'movzx {r[0]}, bl'); row(f'movsx {r[0]}, cl'); row(f'movzx {r[0]}, byte ptr [rdi]'); row(f'movsx {r[0]}, byte ptr [rdi+1]')
    if n > 16: row(f'movzx {r[0]}, bx'); row(f'movsx {r[0]}, word ptr [rdi+1]'); row(f'bswap {r[1]}')
    for cc in ('o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'):
        row(f'cmov{cc} {r[0]}, {r[1]}')
    row(f'lea {r[0]}, [rbx+rcx*4+0x77]'); row(f'lea {r[0]}, [ebx+ecx*8-0x77]')
for cc in ('o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'):
    row(f'set{cc} al'); row(f'set{cc} byte ptr [rdi]'); row(f'set{cc} bh')
    # Conditions directly behind a producer of flags, which the model specialises.
    for producer in ('cmp eax, ebx', 'sub al, bl', 'add ax, bx', 'test rax, rbx', 'inc eax', 'dec bl', 'adc eax, ecx', 'shl eax, 3', 'and bx, cx', 'neg edx', 'cmp rax, rcx', 'add rcx, rdx'):
        u = {'shl eax, 3': OF | AF}.get(producer, AF if producer[:3] in ('tes', 'and') else 0)
        if u & OF and cc in ('o', 'no', 'l', 'ge', 'le', 'g'): continue
        row(f'{producer}; j{cc} 1f; mov r8d, 1; 1:', u)
for a in ('cbw', 'cwde', 'cdqe', 'cwd', 'cdq', 'cqo', 'clc', 'stc', 'cmc', 'movsxd rax, ebx', 'cmpxchg8b [rdi]', 'mov ah, bh', 'nop', 'push rax; pop rbx', 'push 0x1234; pop rcx', 'push word ptr [rdi]; pop ax', 'pushfq; pop rax; and eax, 0x8d5; and edx, edx', 'lahf', 'xlatb' ):
    row(a, AF if 'and' in a else 0)
row('sahf')
row('enter 16, 0; leave')

random.seed(20261121)
INTERESTING = [0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0x5555555555555555, 0xaaaaaaaaaaaaaaaa]

def value():
    k = random.randrange(4)
    if k == 0: return random.choice(INTERESTING)
    if k == 1: return random.getrandbits(64)
    if k == 2: return random.getrandbits(random.choice([4, 8, 16, 32]))
    return (random.choice(INTERESTING) + random.randrange(-3, 4)) & 0xffffffffffffffff

rows = [r for r in rows if r[0] != 'xlatb']
with tempfile.TemporaryDirectory() as d:
    asm = '.intel_syntax noprefix\n.text\n' + ''.join(f'.globl t{i}\nt{i}:\n{a.replace("1f", f"2f").replace("1:", "2:")}\nend{i}: ret\n' for i, (a, _) in enumerate(rows))
    asm += '.data\n.globl starts\nstarts:\n' + ''.join(f'.quad t{i}, end{i}\n' for i in range(len(rows)))
    open(f'{d}/t.s', 'w').write(asm)
    CASES = 14
    inputs = []
    for i in range(len(rows)):
        for c in range(CASES):
            v = [value() for _ in range(5)]
            if 'div' in rows[i][0] and c % 2: v[3] = random.choice([0, 0, 1, 0xffffffffffffffff]); v[1] |= 1 << 60
            inputs.append((v, random.getrandbits(12) & ALL | 2, [value(), value()]))
    c = '''
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>
extern void *starts[];
struct { uint64_t r[5], flags, m[2]; } in, out;
static sigjmp_buf jb; static void fpe(int s) { siglongjmp(jb, 1); }
uint64_t savesp;
__attribute__((noinline)) static void call(void *fn) {
  asm volatile("push rbx; push rbp; push r12; mov r12, %0; mov savesp[rip], rsp; lea r11, in[rip]; push qword ptr [r11+40]; popfq;"
   "mov rax,[r11]; mov rbx,[r11+8]; mov rcx,[r11+16]; mov rdx,[r11+24]; mov r8,[r11+32]; mov rdi, 0x200000; call r12;"
   "lea r11, out[rip]; mov [r11],rax; mov [r11+8],rbx; mov [r11+16],rcx; mov [r11+24],rdx; mov [r11+32],r8; pushfq; pop qword ptr [r11+40]; cld; pop r12; pop rbp; pop rbx"
   :: "r"(fn) : "rax","rcx","rdx","rsi","rdi","r8","r9","r10","r11","r13","r14","r15","memory","cc"); }
int main(int argc, char **argv) {
  uint64_t *m = mmap((void*)0x200000, 4096, 3, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0);
  stack_t ss = { .ss_sp = mmap(0, 65536, 3, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0), .ss_size = 65536 }; sigaltstack(&ss, 0);
  struct sigaction sa = { .sa_handler = fpe, .sa_flags = SA_ONSTACK|SA_NODEFER }; sigaction(SIGFPE, &sa, 0);
  int i; while (scanf("%d %lx %lx %lx %lx %lx %lx %lx %lx", &i, &in.r[0],&in.r[1],&in.r[2],&in.r[3],&in.r[4],&in.flags,&in.m[0],&in.m[1]) == 9) {
    m[0] = in.m[0]; m[1] = in.m[1]; int fault = sigsetjmp(jb, 1);
    if (!fault) call(starts[i*2]);
    printf("%d %lx %lx %lx %lx %lx %lx %lx %lx\\n", fault, out.r[0],out.r[1],out.r[2],out.r[3],out.r[4],out.flags & 0x8d5,m[0],m[1]);
  }
  for (int k = 0; k < ''' + str(len(rows)) + '''; k++) { uint8_t *p = starts[k*2]; printf("B "); for (; p < (uint8_t*)starts[k*2+1]; p++) printf("%02x", *p); printf("\\n"); }
}'''
    open(f'{d}/r.c', 'w').write(c)
    subprocess.check_call(['gcc', '-O1', '-masm=intel', '-no-pie', '-fno-pie', '-w', '-o', f'{d}/r', f'{d}/r.c', f'{d}/t.s'])
    feed = ''.join(f'{k // CASES} ' + ' '.join('%x' % x for x in v) + f' {f:x} {m[0]:x} {m[1]:x}\n' for k, (v, f, m) in enumerate(inputs))
    lines = subprocess.run([f'{d}/r'], input=feed.encode(), stdout=subprocess.PIPE, check=True).stdout.decode().split('\n')
    code = [l[2:] for l in lines if l.startswith('B ')]
    table = []
    for i, (a, u) in enumerate(rows):
        cases = []
        for c in range(CASES):
            v, f, m = inputs[i * CASES + c]
            o = lines[i * CASES + c].split()
            cases.append([' '.join('%x' % x for x in v + [f] + m), None if o[0] == '1' else ' '.join(o[1:])])
        table.append({'asm': a, 'code': code[i], 'undefined': u, 'cases': cases})
    with gzip.GzipFile('integer.json.gz', 'wb', mtime=0) as g:
        g.write(json.dumps(table, separators=(',', ':')).encode())
print(len(rows), 'instructions,', os.path.getsize('integer.json.gz'), 'bytes')
