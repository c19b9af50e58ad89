import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, IOPM, MSRPM, USER, bit, svmBench, type SvmBench } from './bench';

const MEMORY_OPERAND = [0x0c, 0x25, 0x00, 0x00, 0x60, 0x00];
const operand = (modrmReg: number): number[] => [(modrmReg << 3) | 4, 0x25, 0x00, 0x00, 0x60, 0x00];

/** Instructions with an intercept bit of their own: APM volume 2, Appendix C numbers them; the offset is that of the instruction. */
// prettier-ignore
const CASES: readonly (readonly [name: string, code: readonly number[], field: 'INTERCEPTS_3' | 'INTERCEPTS_4' | 'INTERCEPTS_5', bit: number, exit: number])[] = [
  ['SIDT',    [0x0f, 0x01, ...operand(1)], 'INTERCEPTS_3', 6, 0x66],
  ['SGDT',    [0x0f, 0x01, ...operand(0)], 'INTERCEPTS_3', 7, 0x67],
  ['SLDT',    [0x0f, 0x00, 0xc0],          'INTERCEPTS_3', 8, 0x68],
  ['STR',     [0x0f, 0x00, 0xc8],          'INTERCEPTS_3', 9, 0x69],
  ['LIDT',    [0x0f, 0x01, ...operand(3)], 'INTERCEPTS_3', 10, 0x6a],
  ['LGDT',    [0x0f, 0x01, ...operand(2)], 'INTERCEPTS_3', 11, 0x6b],
  ['LLDT',    [0x0f, 0x00, 0xd0],          'INTERCEPTS_3', 12, 0x6c],
  ['LTR',     [0x0f, 0x00, 0xd8],          'INTERCEPTS_3', 13, 0x6d],
  ['RDTSC',   [0x0f, 0x31],                'INTERCEPTS_3', 14, 0x6e],
  ['RDPMC',   [0x0f, 0x33],                'INTERCEPTS_3', 15, 0x6f],
  ['PUSHF',   [0x9c],                      'INTERCEPTS_3', 16, 0x70],
  ['POPF',    [0x9d],                      'INTERCEPTS_3', 17, 0x71],
  ['CPUID',   [0x0f, 0xa2],                'INTERCEPTS_3', 18, 0x72],
  ['RSM',     [0x0f, 0xaa],                'INTERCEPTS_3', 19, 0x73],
  ['IRET',    [0x48, 0xcf],                'INTERCEPTS_3', 20, 0x74],
  ['INT 21h', [0xcd, 0x21],                'INTERCEPTS_3', 21, 0x75],
  ['INVD',    [0x0f, 0x08],                'INTERCEPTS_3', 22, 0x76],
  ['PAUSE',   [0xf3, 0x90],                'INTERCEPTS_3', 23, 0x77],
  ['HLT',     [0xf4],                      'INTERCEPTS_3', 24, 0x78],
  ['INVLPG',  [0x0f, 0x01, ...operand(7)], 'INTERCEPTS_3', 25, 0x79],
  ['INVLPGA', [0x0f, 0x01, 0xdf],          'INTERCEPTS_3', 26, 0x7a],
  ['VMRUN',   [0x0f, 0x01, 0xd8],          'INTERCEPTS_4', 0, 0x80],
  ['VMMCALL', [0x0f, 0x01, 0xd9],          'INTERCEPTS_4', 1, 0x81],
  ['VMLOAD',  [0x0f, 0x01, 0xda],          'INTERCEPTS_4', 2, 0x82],
  ['VMSAVE',  [0x0f, 0x01, 0xdb],          'INTERCEPTS_4', 3, 0x83],
  ['STGI',    [0x0f, 0x01, 0xdc],          'INTERCEPTS_4', 4, 0x84],
  ['CLGI',    [0x0f, 0x01, 0xdd],          'INTERCEPTS_4', 5, 0x85],
  ['SKINIT',  [0x0f, 0x01, 0xde],          'INTERCEPTS_4', 6, 0x86],
  ['RDTSCP',  [0x0f, 0x01, 0xf9],          'INTERCEPTS_4', 7, 0x87],
  ['ICEBP',   [0xf1],                      'INTERCEPTS_4', 8, 0x88],
  ['WBINVD',  [0x0f, 0x09],                'INTERCEPTS_4', 9, 0x89],
  ['WBNOINVD', [0xf3, 0x0f, 0x09],         'INTERCEPTS_4', 9, 0x89],
  ['MONITOR', [0x0f, 0x01, 0xc8],          'INTERCEPTS_4', 10, 0x8a],
  ['MWAIT',   [0x0f, 0x01, 0xc9],          'INTERCEPTS_4', 11, 0x8b],
  ['XSETBV',  [0x0f, 0x01, 0xd1],          'INTERCEPTS_4', 13, 0x8d],
  ['INVPCID', [0x66, 0x0f, 0x38, 0x82, ...MEMORY_OPERAND], 'INTERCEPTS_5', 2, 0xa2],
];
const profile = parseProfile('amd-svm,+monitor');

/** The baseline's words with one more bit. */
const withBit = (field: string, n: number): Patch => ({
  [field]: (field === 'INTERCEPTS_3' ? 0x8000_0000 : field === 'INTERCEPTS_4' ? 3 : 0) + (field === 'INTERCEPTS_4' && n < 2 ? 0 : bit(n)),
});

describe('instruction intercepts', () => {
  it.each(CASES)('%s', (name, code, field, n, exit) => {
    const b = svmBench({}, profile);
    const cr4 = name === 'XSETBV' ? 0x4_06a0 : 0x6a0;
    expect(b.run([0x90, ...code], { ...withBit(field, n), CR4: cr4 })).toBe(BigInt(exit));
    expect(b.at).toBe(1);
    expect(b.read('EXITINTINFO')).toBe(0n);
    // Next-RIP save.
    expect(b.read('NRIP')).toBe(BigInt(GUEST_CODE + 1 + code.length));
    expect(b.read('INTERRUPT_SHADOW')).toBe(0n);
  });

  it.each(CASES.filter(([name]) => !['VMRUN', 'VMMCALL'].includes(name)))('%s without its bit does not exit by its code', (_name, code, field, n, exit) => {
    const b = svmBench({}, profile);
    const all = { INTERCEPTS_3: 0xe7ff_fffe, INTERCEPTS_4: 0x3fff, INTERCEPTS_5: 4 };
    all[field] = (all[field] & ~bit(n)) >>> 0;
    b.interrupts.vector = -1;
    b.create([...code, 0x0f, 0x01, 0xd9], { ...all, EXCEPTION_INTERCEPTS: 0xffff_ffff, CR4: 0x4_06a0 });
    b.cpu.setGpr(2, 0n);
    b.enter(50);
    expect(b.exitCode).not.toBe(BigInt(exit));
  });
});

describe('exceptions that come before intercepts', () => {
  it.each([
    ['HLT', [0xf4], 13],
    ['MOV from CR0', [0x0f, 0x20, 0xc0], 13],
    ['MOV to CR8', [0x44, 0x0f, 0x22, 0xc0], 13],
    ['MOV from DR0', [0x0f, 0x21, 0xc0], 13],
    ['RDMSR', [0x0f, 0x32], 13],
    ['INVLPG', [0x0f, 0x01, ...operand(7)], 13],
    ['LGDT', [0x0f, 0x01, ...operand(2)], 13],
    ['VMRUN', [0x0f, 0x01, 0xd8], 13],
    ['VMLOAD', [0x0f, 0x01, 0xda], 13],
    ['STGI', [0x0f, 0x01, 0xdc], 13],
    ['INVLPGA', [0x0f, 0x01, 0xdf], 13],
    ['MONITOR', [0x0f, 0x01, 0xc8], 6],
  ])('%s at CPL 3', (_name, code, vector) => {
    const b = svmBench({}, profile);
    const all = { CR_READ_INTERCEPTS: 0xffff, CR_WRITE_INTERCEPTS: 0xffff, DR_READ_INTERCEPTS: 0xffff, INTERCEPTS_3: 0xffff_fff0, INTERCEPTS_4: 0x3fff };
    expect(b.run(code, { ...USER, ...all, EXCEPTION_INTERCEPTS: 0xffff_ffff })).toBe(BigInt(0x40 + vector));
  });

  it.each([
    ['CPUID', [0x0f, 0xa2], 0x72],
    ['PAUSE', [0xf3, 0x90], 0x77],
    ['RDTSC', [0x0f, 0x31], 0x6e],
    ['VMMCALL', [0x0f, 0x01, 0xd9], 0x81],
  ])('%s is intercepted at CPL 3 too', (_name, code, exit) => {
    const b = svmBench();
    expect(b.run(code, { ...USER, INTERCEPTS_3: 0x80ff_fff0, EXCEPTION_INTERCEPTS: 0xffff_ffff })).toBe(BigInt(exit));
  });
});

describe('control registers', () => {
  const MOV_TO_CR0_RAX = [0x0f, 0x22, 0xc0];
  const CR0 = 0x8001_0033;
  it.each([0, 2, 3, 4])('MOV from and to CR%i', (cr) => {
    const b = svmBench();
    // R11 as the general register: bit 63 and the GPR in EXITINFO1.
    expect(b.run([0x41, 0x0f, 0x20, 0xc3 | (cr << 3)], { CR_READ_INTERCEPTS: bit(cr) })).toBe(BigInt(cr));
    expect(b.read('EXITINFO1')).toBe(0x8000_0000_0000_000bn);
    b.cpu.setGpr(11, { 0: 0x8001_0033n, 2: 0n, 3: 0n, 4: 0x6b0n }[cr]!);
    expect(b.run([0x41, 0x0f, 0x22, 0xc3 | (cr << 3)], { CR_WRITE_INTERCEPTS: bit(cr) })).toBe(BigInt(0x10 + cr));
    expect(b.read('EXITINFO1')).toBe(0x8000_0000_0000_000bn);
  });
  // "Checks non-memory exceptions (CPL, illegal bit combinations, etc.) before the intercept."
  it.each([
    ['CR0.PG without PE', 0, 0x8000_0010n],
    ['CR0.NW without CD', 0, 0xa001_0033n],
    ['CR0 bit 40', 0, 0x100_8001_0033n],
    ['CR0.PG = 0 in 64-bit mode', 0, 0x1_0033n],
    ['CR4 bit 31', 4, 0x8000_06b0n],
    ['CR4.PAE = 0 in long mode', 4, 0x690n],
  ])('%s is #GP(0) before its intercept', (_name, cr, value) => {
    const intercepts = [{ CR_WRITE_INTERCEPTS: bit(cr) }, ...(cr === 0 ? [{ INTERCEPTS_3: 0x8000_0020 }] : [])];
    for (const patch of intercepts) {
      const b = svmBench();
      b.cpu.setGpr(1, value);
      expect(b.run([0x0f, 0x22, 0xc1 | (cr << 3)], { ...patch, EXCEPTION_INTERCEPTS: 1 << 13 })).toBe(0x4dn);
    }
  });
  it('MOV from and to CR8', () => {
    const b = svmBench();
    expect(b.run([0x44, 0x0f, 0x20, 0xc2], { CR_READ_INTERCEPTS: 0x100 })).toBe(8n);
    expect(b.run([0x44, 0x0f, 0x22, 0xc2], { CR_WRITE_INTERCEPTS: 0x100 })).toBe(0x18n);
    expect(b.read('EXITINFO1')).toBe(0x8000_0000_0000_0002n);
  });
  it('SMSW, LMSW and CLTS are accesses to CR0 without a GPR', () => {
    const b = svmBench();
    expect(b.run([0x0f, 0x01, 0xe0], { CR_READ_INTERCEPTS: 1 })).toBe(0n);
    expect(b.read('EXITINFO1')).toBe(0n);
    expect(b.run([0x0f, 0x01, 0xf0], { CR_WRITE_INTERCEPTS: 1 })).toBe(0x10n);
    expect(b.run([0x0f, 0x06], { CR_WRITE_INTERCEPTS: 1 })).toBe(0x10n);
    expect(b.read('EXITINFO1')).toBe(0n);
  });

  const movTo = (value: number): number[] => [0xb8, value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24, ...MOV_TO_CR0_RAX];
  // Writes that change bits other than TS and MP; LMSW always, CLTS never.
  it.each([
    ['nothing changes', movTo(CR0), 0x81],
    ['TS and MP change', movTo(CR0 ^ 0xa), 0x81],
    ['WP changes', movTo(CR0 ^ 0x1_0000), 0x65],
    ['EM changes', movTo(CR0 ^ 4), 0x65],
    ['LMSW, nothing changes', [0x0f, 0x01, 0xe0, 0x0f, 0x01, 0xf0], 0x65],
    ['CLTS', [0x0f, 0x06], 0x81],
  ])('selective write: %s', (_name, code, exit) => {
    const b = svmBench();
    expect(b.run(code, { INTERCEPTS_3: 0x8000_0020 })).toBe(BigInt(exit));
  });
  it.each([0x8001_0023, 0x8001_0073, 0x9001_0033])('a write of %i changes no bit that there is, and is none for the selective intercept', (value) => {
    expect(svmBench().run(movTo(value), { INTERCEPTS_3: 0x8000_0020 })).toBe(0x81n);
  });
  it('the non-selective intercept has priority over the selective one', () => {
    expect(svmBench().run(movTo(CR0 ^ 0x1_0000), { INTERCEPTS_3: 0x8000_0020, CR_WRITE_INTERCEPTS: 1 })).toBe(0x10n);
  });

  it.each([
    ['CR0_WRITE_TRAP', 0],
    ['CR3_WRITE_TRAP', 3],
    ['CR4_WRITE_TRAP', 4],
  ])('%s: behind the instruction, with the new value', (_name, cr) => {
    const b = svmBench();
    const value = { 0: 0x8000_0033n, 3: 0x10_0018n, 4: 0x6b0n }[cr]!;
    b.create([0x0f, 0x22, 0xc1 | (cr << 3)], { INTERCEPTS_4: (3 | bit(16 + cr)) >>> 0 });
    b.cpu.setGpr(1, value);
    b.enter();
    expect(b.exitCode).toBe(BigInt(0x90 + cr));
    expect(b.at).toBe(3);
    expect(b.read('EXITINFO1')).toBe(value);
    expect(b.read(`CR${cr}` as 'CR0')).toBe(value | (cr === 0 ? 0x10n : 0n));
  });
  it.each([0, 0x0100_0000])('CR8_WRITE_TRAP: likewise, V_INTR %i', (vIntr) => {
    const b = svmBench();
    b.create([0x44, 0x0f, 0x22, 0xc1], { INTERCEPTS_4: (3 | bit(24)) >>> 0, V_INTR: vIntr });
    b.cpu.setGpr(1, 5n);
    b.enter();
    expect([b.exitCode, b.at, b.read('EXITINFO1')]).toEqual([0x98n, 4, 5n]);
    expect(b.read('V_INTR') & 0xfn).toBe(5n);
  });
  it('write trap of EFER', () => {
    const b = svmBench();
    b.create([0x0f, 0x30], { INTERCEPTS_4: 3 | bit(15), RAX: 0x1d00 });
    b.cpu.setGpr(1, 0xc000_0080n);
    b.cpu.setGpr(2, 0n);
    b.enter();
    expect([b.exitCode, b.at, b.read('EXITINFO1'), b.read('EFER')]).toEqual([0x8fn, 2, 0x1d00n, 0x1d00n]);
  });
  it('a write that faults does not trap', () => {
    const b = svmBench();
    b.create([0x0f, 0x22, 0xc1], { INTERCEPTS_4: 3 | bit(16), EXCEPTION_INTERCEPTS: 1 << 13 });
    b.cpu.setGpr(1, 0x8000_0000n);
    b.enter();
    expect(b.exitCode).toBe(0x4dn);
  });
});

describe('debug registers', () => {
  it.each([0, 1, 2, 3, 6, 7])('MOV from and to DR%i', (dr) => {
    const b = svmBench();
    expect(b.run([0x0f, 0x21, 0xc5 | (dr << 3)], { DR_READ_INTERCEPTS: bit(dr) })).toBe(BigInt(0x20 + dr));
    expect(b.read('EXITINFO1')).toBe(5n);
    expect(b.run([0x0f, 0x23, 0xc5 | (dr << 3)], { DR_WRITE_INTERCEPTS: bit(dr) })).toBe(BigInt(0x30 + dr));
  });
  it('#DB for general detection comes before the intercept', () => {
    expect(svmBench().run([0x0f, 0x21, 0xc0], { DR_READ_INTERCEPTS: 1, DR7: 0x2400, EXCEPTION_INTERCEPTS: 2 })).toBe(0x41n);
  });
});

describe('IOIO', () => {
  const ALL = { INTERCEPTS_3: 0x8800_0000 };
  const bench = (): SvmBench => {
    const b = svmBench();
    b.memory.writeBytes(IOPM, new Uint8Array(0x3000).fill(0xff));
    return b;
  };
  // EXITINFO1: 31:16 port, 12:10 segment, 9:7 address size, 6:4 operand size, REP, STR, TYPE (1: in).
  it.each([
    ['IN AL, 80h', [0xe4, 0x80], 0x0080_0011],
    ['IN AX, DX', [0x66, 0xed], 0x1234_0021],
    ['IN EAX, DX', [0xed], 0x1234_0041],
    ['OUT 80h, AL', [0xe6, 0x80], 0x0080_0010],
    ['OUT DX, EAX', [0xef], 0x1234_0040],
    ['OUTSB', [0x6e], 0x1234_0e14],
    ['OUTSD with a 32-bit address', [0x67, 0x6f], 0x1234_0d44],
    ['OUTSB from FS', [0x64, 0x6e], 0x1234_1214],
    ['REP OUTSW', [0xf3, 0x66, 0x6f], 0x1234_0e2c],
    ['INSB', [0x6c], 0x1234_0215],
    ['REP INSD', [0xf3, 0x6d], 0x1234_024d],
  ])('%s', (_name, code, info) => {
    const b = bench();
    b.create(code, ALL);
    b.cpu.setGpr(1, 1n);
    b.cpu.setGpr(2, 0x1234n);
    b.cpu.setGpr(6, 0x60_0000n);
    b.cpu.setGpr(7, 0x60_0000n);
    b.enter();
    expect(b.exitCode).toBe(0x7bn);
    expect(b.read('EXITINFO1').toString(16)).toBe(BigInt(info).toString(16));
    expect(b.read('EXITINFO2')).toBe(BigInt(GUEST_CODE + code.length));
    expect(b.at).toBe(0);
  });
  it.each([
    ['byte', [0xe4, 0x80], 0x81, false],
    ['byte at its own bit', [0xe4, 0x80], 0x80, true],
    ['word over the next bit', [0x66, 0xe5, 0x80], 0x81, true],
    ['word below', [0x66, 0xe5, 0x80], 0x82, false],
    ['doubleword, last bit', [0xe5, 0x80], 0x83, true],
    ['doubleword over a byte of the map', [0xe5, 0x86], 0x89, true],
    ['doubleword, beyond', [0xe5, 0x86], 0x8a, false],
  ])('permissions map: %s', (_name, code, port, exits) => {
    const b = svmBench();
    b.memory.write8(IOPM + (port >> 3), 1 << (port & 7));
    expect(b.run(code, ALL)).toBe(exits ? 0x7bn : 0x81n);
  });
  it('a word at FFFFh looks at the bit behind the last port', () => {
    const b = svmBench();
    b.memory.write8(IOPM + 0x2000, 1);
    b.create([0x66, 0xed], ALL);
    b.cpu.setGpr(2, 0xffffn);
    b.enter();
    expect(b.exitCode).toBe(0x7bn);
  });
  it('the low bits of the map addresses are ignored', () => {
    const b = svmBench();
    b.memory.write8(IOPM + 0x10, 1);
    expect(b.run([0xe4, 0x80], { ...ALL, IOPM_BASE_PA: IOPM + 0xfff })).toBe(0x7bn);
  });
});

describe('MSR', () => {
  const RDMSR = [0x0f, 0x32];
  const WRMSR = [0x0f, 0x30];
  const access = (index: number, write: boolean, set: (b: SvmBench) => void): SvmBench => {
    const b = svmBench();
    set(b);
    b.create(write ? WRMSR : RDMSR, { INTERCEPTS_3: 0x9000_0000, EXCEPTION_INTERCEPTS: 1 << 13 });
    b.cpu.setGpr(1, BigInt(index));
    b.cpu.setGpr(2, 0n);
    b.enter();
    return b;
  };
  // Two bits an MSR; 0-1FFFh at byte 0, C0000000h-C0001FFFh at 800h, C0010000h-C0011FFFh at 1000h.
  it.each([
    ['SYSENTER_CS', 0x174, 0x5d, 0],
    ['STAR', 0xc000_0081, 0x820, 2],
    ['VM_HSAVE_PA', 0xc001_0117, 0x1045, 6],
    ['the first of the first range', 0x0, 0x0, 0],
    ['the first of the second range', 0xc000_0000, 0x800, 0],
    ['the first of the third range', 0xc001_0000, 0x1000, 0],
    ['the last of the first range', 0x1fff, 0x7ff, 6],
    ['the last of the third range', 0xc001_1fff, 0x17ff, 6],
  ])('%s', (_name, index, byte, shift) => {
    for (const write of [false, true]) {
      const exits = access(index, write, (b) => b.memory.write8(MSRPM + byte, 1 << (shift + (write ? 1 : 0))));
      expect([exits.exitCode, exits.read('EXITINFO1')]).toEqual([0x7cn, write ? 1n : 0n]);
      const other = access(index, write, (b) => b.memory.write8(MSRPM + byte, 1 << (shift + (write ? 0 : 1))));
      expect(other.exitCode).not.toBe(0x7cn);
    }
  });
  it.each([0x2000, 0x4000_0000, 0xbfff_ffff, 0xc000_2000, 0xc001_2000, 0xffff_ffff])('MSR %i is in no range and always exits', (index) => {
    expect(access(index, false, () => {}).exitCode).toBe(0x7cn);
    expect(access(index, true, () => {}).exitCode).toBe(0x7cn);
  });
  it('without MSR_PROT nothing exits', () => {
    const b = svmBench();
    b.memory.writeBytes(MSRPM, new Uint8Array(0x2000).fill(0xff));
    b.create(RDMSR);
    b.cpu.setGpr(1, 0x174n);
    b.cpu.set64(R.SYSENTER_CS, 0x1234n);
    b.enter();
    expect([b.exitCode, b.read('RAX')]).toEqual([0x81n, 0x1234n]);
  });
});

describe('decode assists', () => {
  it('INTn: the vector', () => {
    const b = svmBench();
    b.run([0xcd, 0x21], { INTERCEPTS_3: bit(21) });
    expect(b.read('EXITINFO1')).toBe(0x21n);
  });
  it('INVLPG and INVLPGA: the linear address', () => {
    const b = svmBench();
    b.run([0x0f, 0x01, ...operand(7)], { INTERCEPTS_3: bit(25) });
    expect(b.read('EXITINFO1')).toBe(0x60_0000n);
    b.run([0x0f, 0x01, 0xdf], { INTERCEPTS_3: bit(26), RAX: 0xffff_8000_1234_5000n });
    expect(b.read('EXITINFO1')).toBe(0xffff_8000_1234_5000n);
  });
  it('INVPCID: the address of the descriptor and the type', () => {
    const b = svmBench();
    b.create([0x66, 0x0f, 0x38, 0x82, ...MEMORY_OPERAND], { INTERCEPTS_5: 4 });
    b.cpu.setGpr(1, 2n);
    b.enter();
    expect([b.read('EXITINFO1'), b.read('EXITINFO2')]).toEqual([0x60_0000n, 2n]);
  });
});

describe('MONITOR and MWAIT', () => {
  const MONITOR_MWAIT = [0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9];
  const run = (code: readonly number[], bits: number): SvmBench => {
    const b = svmBench({}, profile);
    b.create(code, { INTERCEPTS_4: 3 | bits, RAX: 0x60_0000 });
    b.cpu.setGpr(1, 0n);
    b.enter();
    return b;
  };
  it('the conditional intercept needs an armed monitor and comes first', () => {
    expect(run(MONITOR_MWAIT, bit(12)).exitCode).toBe(0x8cn);
    expect(run(MONITOR_MWAIT, bit(11) | bit(12)).exitCode).toBe(0x8cn);
    expect(run([0x0f, 0x01, 0xc9], bit(12)).exitCode).toBe(0x81n);
    expect(run([0x0f, 0x01, 0xc9], bit(11) | bit(12)).exitCode).toBe(0x8bn);
  });
});

describe('pause filter', () => {
  /** XOR EBX, EBX; loop: INC EBX; PAUSE; n NOPs; CMP EBX, 100; JNE loop. */
  const loop = (nops: number): number[] => {
    const body = [0xff, 0xc3, 0xf3, 0x90, ...new Array<number>(nops).fill(0x90), 0x83, 0xfb, 100];
    return [0x31, 0xdb, ...body, 0x75, -(body.length + 2) & 0xff];
  };
  const pauses = (nops: number, patch: Patch): number => {
    const b = svmBench();
    b.run(loop(nops), { INTERCEPTS_3: bit(23), ...patch });
    return b.exitCode === 0x77n ? b.cpu.gpr32(3) : -1;
  };
  it('count 0: each PAUSE', () => expect(pauses(0, { PAUSE_FILTER_COUNT: 0 })).toBe(1));
  it('each PAUSE counts down, and that which reaches 0 exits', () => expect(pauses(0, { PAUSE_FILTER_COUNT: 5 })).toBe(5));
  it('PAUSEs farther apart than the threshold start the count again', () => {
    expect(pauses(0, { PAUSE_FILTER_COUNT: 5, PAUSE_FILTER_THRESHOLD: 20 })).toBe(5);
    expect(pauses(30, { PAUSE_FILTER_COUNT: 5, PAUSE_FILTER_THRESHOLD: 20 })).toBe(-1);
    // "The internal pause count is reloaded from the VMCB and execution continues": not even a count of 1 ends there.
    const late = [...new Array<number>(30).fill(0x90), 0xf3, 0x90];
    expect(svmBench().run(late, { INTERCEPTS_3: 0x8080_0000, PAUSE_FILTER_COUNT: 1, PAUSE_FILTER_THRESHOLD: 20 })).toBe(0x81n);
    expect(svmBench().run(late, { INTERCEPTS_3: 0x8080_0000, PAUSE_FILTER_COUNT: 1, PAUSE_FILTER_THRESHOLD: 60 })).toBe(0x77n);
  });
});
