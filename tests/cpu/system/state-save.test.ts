import type { Cpu } from '../../../cpu/cpu';
import { Cr0, Cr4, GP0, NM, R, RAX, RBX, RCX, RDX, UD, execute, longMode, protectedMode } from './processor';

const AREA = 0x9000;
const FXSAVE = '0fae03',
  FXSAVE64 = '480fae03',
  FXRSTOR = '0fae0b',
  FXRSTOR64 = '480fae0b',
  XSAVE = '0fae23',
  XSAVEOPT = '0fae33',
  XRSTOR = '0fae2b',
  XSAVEC = '0fc723';

function prepared(cpu: Cpu = longMode(), area = AREA): Cpu {
  cpu.setGpr(RBX, BigInt(area));
  cpu.set64(R.XCR0, 3n);
  cpu.set64(RAX * 8, 0xffff_ffffn);
  cpu.setGpr(RDX, 0xffff_ffffn);
  cpu.set32(R.FCW, 0x37f);
  cpu.set32(R.FSW, 0);
  cpu.set32(R.FTW, 0);
  return cpu;
}

/** TOP = 5: ST0 = R5 = pi, ST1 = R6 = 1. */
function fill(cpu: Cpu): void {
  cpu.set32(R.FCW, 0x27f);
  cpu.set32(R.FSW, 0x2800 | 0x4100);
  cpu.set32(R.FTW, 0x60);
  cpu.set32(R.FOP, 0x1d9);
  cpu.set64(R.FIP, 0x1234_5678_9abcn);
  cpu.set64(R.FDP, 0xffff_8000_0000_0010n);
  cpu.set64(R.FPR + 5 * 16, 0xc90f_daa2_2168_c235n);
  cpu.set32(R.FPR + 5 * 16 + 8, 0x4000);
  cpu.set64(R.FPR + 6 * 16, 0x8000_0000_0000_0000n);
  cpu.set32(R.FPR + 6 * 16 + 8, 0x3fff);
  for (let x = 0; x < 16; x++) for (let k = 0; k < 4; k++) cpu.u32[(cpu.xmm(x) >>> 2) + k] = 0x1000_0000 * k + x + 1;
  cpu.set32(R.MXCSR, 0x9fc0);
}

const registers = (cpu: Cpu): unknown => [
  [R.FCW, R.FSW, R.FTW, R.FOP, R.MXCSR].map((o) => cpu.get32(o)),
  [R.FIP, R.FDP].map((o) => cpu.get64(o)),
  Array.from({ length: 8 }, (_, r) => [cpu.get64(R.FPR + 16 * r), cpu.get32(R.FPR + 16 * r + 8)]),
  Array.from({ length: 16 }, (_, x) => Array.from(cpu.u32.subarray(cpu.xmm(x) >>> 2, (cpu.xmm(x) >>> 2) + 4))),
];

describe('FXSAVE', () => {
  test('image in 64-bit format', () => {
    const cpu = prepared();
    fill(cpu);
    cpu.memory.write32(AREA + 464, 0x5a5a_5a5a);
    expect(execute(cpu, FXSAVE64)).toBeUndefined();
    const m = cpu.memory;
    expect([m.read16(AREA), m.read16(AREA + 2), m.read8(AREA + 4), m.read16(AREA + 6)]).toEqual([0x27f, 0x6900, 0x60, 0x1d9]);
    expect([m.read64(AREA + 8), m.read64(AREA + 16)]).toEqual([0x1234_5678_9abcn, 0xffff_8000_0000_0010n]);
    expect([m.read32(AREA + 24), m.read32(AREA + 28)]).toEqual([0x9fc0, 0xffff]);
    // ST0 first, whatever TOP.
    expect([m.read64(AREA + 32), m.read16(AREA + 40)]).toEqual([0xc90f_daa2_2168_c235n, 0x4000]);
    expect([m.read64(AREA + 48), m.read16(AREA + 56)]).toEqual([0x8000_0000_0000_0000n, 0x3fff]);
    expect(m.read32(AREA + 160 + 15 * 16)).toBe(16);
    expect(m.read32(AREA + 464)).toBe(0x5a5a_5a5a);
  });

  test('without REX.W the pointers have 32 bits and no selectors', () => {
    const cpu = prepared();
    fill(cpu);
    execute(cpu, FXSAVE);
    expect([cpu.memory.read64(AREA + 8), cpu.memory.read64(AREA + 16)]).toEqual([0x5678_9abcn, 0x10n]);
  });

  test('round trip, also across a page boundary', () => {
    for (const area of [AREA, 0x8ff0]) {
      const cpu = prepared(longMode(), area);
      fill(cpu);
      const before = registers(cpu);
      execute(cpu, FXSAVE64);
      cpu.u8.fill(0, cpu.base + R.MXCSR, cpu.base + R.FPR + 128);
      cpu.u8.fill(0, cpu.xmm(0), cpu.xmm(16));
      execute(cpu, FXRSTOR64);
      expect(registers(cpu)).toEqual(before);
    }
  });

  test('XMM8-15 only in 64-bit mode, XMM only with CR4.OSFXSR', () => {
    const cpu = prepared(protectedMode());
    cpu.set32(R.CR4, Cr4.OSFXSR);
    fill(cpu);
    cpu.memory.write32(AREA + 288, 0x7777);
    execute(cpu, FXSAVE);
    expect([cpu.memory.read32(AREA + 272), cpu.memory.read32(AREA + 288)]).toEqual([8, 0x7777]);
    cpu.memory.write32(AREA + 160, 0x7777);
    cpu.set32(R.CR4, 0);
    execute(cpu, FXSAVE);
    expect(cpu.memory.read32(AREA + 160)).toBe(0x7777);
  });

  test('faults: alignment, EM, TS, reserved MXCSR bits', () => {
    for (const hex of [FXSAVE, FXRSTOR]) {
      expect(execute(prepared(longMode(), AREA + 8), hex)).toEqual(GP0);
      for (const bit of [Cr0.EM, Cr0.TS]) {
        const cpu = prepared();
        cpu.set32(R.CR0, (cpu.cr0 | bit) >>> 0);
        expect(execute(cpu, hex)).toEqual(NM);
      }
    }
    const cpu = prepared();
    execute(cpu, FXSAVE);
    cpu.memory.write32(AREA + 24, 0x1_0000);
    cpu.memory.write16(AREA, 0x300);
    expect(execute(cpu, FXRSTOR)).toEqual(GP0);
    expect(cpu.get32(R.FCW)).toBe(0x37f);
  });

  test('a page fault in the last byte leaves memory alone', () => {
    const cpu = prepared(longMode(), 0x100_0000 - 256);
    fill(cpu);
    expect(execute(cpu, FXSAVE)).toMatchObject({ vector: 14, payload: 0x100_0000n });
    expect(cpu.memory.read32(0x100_0000 - 256)).toBe(0);
  });
});

describe('XSAVE', () => {
  test('#UD without OSXSAVE, #NM with TS (EM is ignored), #GP off 64 bytes', () => {
    for (const hex of [XSAVE, XRSTOR, XSAVEOPT, XSAVEC]) {
      const cpu = prepared();
      cpu.set32(R.CR4, cpu.cr4 & ~Cr4.OSXSAVE);
      expect(execute(cpu, hex)).toEqual(UD);
      const ts = prepared();
      ts.set32(R.CR0, (ts.cr0 | Cr0.TS | Cr0.EM) >>> 0);
      expect(execute(ts, hex)).toEqual(NM);
      ts.set32(R.CR0, (ts.cr0 & ~Cr0.TS) >>> 0);
      expect(execute(ts, hex)).toBeUndefined();
      expect(execute(prepared(longMode(), AREA + 16), hex)).toEqual(GP0);
    }
    expect(execute(prepared(longMode('intel,-xsavec')), XSAVEC)).toEqual(UD);
    expect(execute(prepared(longMode('intel,-xsaveopt')), XSAVEOPT)).toEqual(UD);
  });

  test('XSTATE_BV: requested bits follow XINUSE, others stay', () => {
    const cpu = prepared();
    cpu.memory.write64(AREA + 512, 0xf0n);
    execute(cpu, XSAVE);
    expect(cpu.memory.read64(AREA + 512)).toBe(0xf0n);
    cpu.u32[cpu.xmm(3) >>> 2] = 1;
    execute(cpu, XSAVE);
    expect(cpu.memory.read64(AREA + 512)).toBe(0xf2n);
    cpu.set32(R.FCW, 0x27f);
    cpu.setGpr(RAX, 1n);
    cpu.memory.write64(AREA + 512, 0n);
    execute(cpu, XSAVE);
    expect(cpu.memory.read64(AREA + 512)).toBe(1n);
  });

  test('XSAVE writes initial state out, XSAVEOPT does not', () => {
    for (const [hex, expected] of [
      [XSAVE, 0x37f],
      [XSAVEOPT, 0x7777],
    ] as const) {
      const cpu = prepared();
      cpu.memory.write16(AREA, 0x7777);
      execute(cpu, hex);
      expect(cpu.memory.read16(AREA)).toBe(expected);
    }
  });

  test('XSAVEC: compacted header, and MXCSR alone marks SSE', () => {
    const cpu = prepared();
    execute(cpu, XSAVEC);
    expect([cpu.memory.read64(AREA + 512), cpu.memory.read64(AREA + 520)]).toEqual([0n, 0x8000_0000_0000_0003n]);
    cpu.set32(R.MXCSR, 0x1fa0);
    execute(cpu, XSAVEC);
    expect(cpu.memory.read64(AREA + 512)).toBe(2n);
    cpu.set32(R.MXCSR, 0x1f80);
    execute(cpu, XRSTOR);
    expect(cpu.get32(R.MXCSR)).toBe(0x1fa0);
  });

  test.each([
    ['standard', XSAVE],
    ['compacted', XSAVEC],
  ])('round trip, %s form', (_form, save) => {
    const cpu = prepared();
    fill(cpu);
    const before = registers(cpu);
    execute(cpu, `48${save}`);
    cpu.u8.fill(0, cpu.base + R.MXCSR, cpu.base + R.FPR + 128);
    cpu.u8.fill(0, cpu.xmm(0), cpu.xmm(16));
    execute(cpu, `48${XRSTOR}`);
    expect(registers(cpu)).toEqual(before);
  });

  test('components absent from XSTATE_BV are initialised', () => {
    const cpu = prepared();
    fill(cpu);
    cpu.memory.write32(AREA + 24, 0x1f81);
    execute(cpu, XRSTOR);
    expect([cpu.get32(R.FCW), cpu.get32(R.FTW), cpu.get64(R.FPR + 5 * 16), cpu.u32[cpu.xmm(0) >>> 2]]).toEqual([0x37f, 0, 0n, 0]);
    // Standard form: MXCSR comes from memory all the same.
    expect(cpu.get32(R.MXCSR)).toBe(0x1f81);
  });

  test.each<[string, number, bigint]>([
    ['XSTATE_BV with a component outside XCR0', 512, 4n],
    ['XCOMP_BV without bit 63', 520, 1n],
    ['bytes 23:16', 528, 1n],
    ['XCOMP_BV with a component outside XCR0', 520, 0x8000_0000_0000_0004n],
    ['compacted, XSTATE_BV beyond XCOMP_BV', 520, 0x8000_0000_0000_0000n],
  ])('XRSTOR refuses a header with %s', (_rule, offset, value) => {
    const cpu = prepared();
    cpu.memory.write64(AREA + 512, 1n);
    cpu.memory.write64(AREA + offset, value);
    expect(execute(cpu, XRSTOR)).toEqual(GP0);
  });

  test('bytes 63:24 matter in compacted form only', () => {
    const cpu = prepared();
    cpu.memory.write64(AREA + 568, 1n);
    expect(execute(cpu, XRSTOR)).toBeUndefined();
    cpu.memory.write64(AREA + 520, 0x8000_0000_0000_0003n);
    expect(execute(cpu, XRSTOR)).toEqual(GP0);
  });
});

describe('XCR0', () => {
  const xsetbv = (cpu: Cpu, index: bigint, value: bigint) => {
    cpu.setGpr(RCX, index);
    cpu.setGpr(RAX, value & 0xffff_ffffn);
    cpu.setGpr(RDX, value >> 32n);
    return execute(cpu, '0f01d1');
  };
  test.each<[bigint, bigint, boolean]>([
    [0n, 1n, true],
    [0n, 3n, true],
    [0n, 2n, false],
    [0n, 0n, false],
    [0n, 7n, false],
    [0n, (1n << 63n) | 1n, false],
    [1n, 1n, false],
  ])('XCR%p := %p allowed: %p', (index, value, allowed) => expect(xsetbv(longMode(), index, value)).toEqual(allowed ? undefined : GP0));

  test('XSETBV wants CPL 0, XGETBV does not', () => {
    expect(xsetbv(longMode('intel', 3), 0n, 1n)).toEqual(GP0);
    const cpu = prepared(longMode('intel', 3));
    cpu.setGpr(RCX, 0n);
    execute(cpu, '0f01d0');
    expect([cpu.gpr(RAX), cpu.gpr(RDX)]).toEqual([3n, 0n]);
    cpu.setGpr(RCX, 2n);
    expect(execute(cpu, '0f01d0')).toEqual(GP0);
    cpu.set32(R.CR4, 0);
    expect(execute(cpu, '0f01d0')).toEqual(UD);
  });
});

describe('MXCSR', () => {
  test('LDMXCSR refuses reserved bits; STMXCSR stores', () => {
    const cpu = prepared();
    cpu.memory.write32(AREA, 0xffbf);
    expect(execute(cpu, '0fae13')).toBeUndefined();
    expect(execute(cpu, '0fae5b04')).toBeUndefined();
    expect(cpu.memory.read32(AREA + 4)).toBe(0xffbf);
    cpu.memory.write32(AREA, 0x1_0000);
    expect(execute(cpu, '0fae13')).toEqual(GP0);
  });
  test('#UD with EM or without OSFXSR, #NM with TS', () => {
    const em = prepared();
    em.set32(R.CR0, (em.cr0 | Cr0.EM | Cr0.TS) >>> 0);
    expect(execute(em, '0fae13')).toEqual(UD);
    const ts = prepared();
    ts.set32(R.CR0, (ts.cr0 | Cr0.TS) >>> 0);
    expect(execute(ts, '0fae1b')).toEqual(NM);
    const os = prepared();
    os.set32(R.CR4, os.cr4 & ~Cr4.OSFXSR);
    expect(execute(os, '0fae13')).toEqual(UD);
  });
});
