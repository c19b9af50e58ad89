/** 57-bit linear addresses: SDM "Canonical Addressing" and "4-Level Paging and 5-Level Paging", in compiled code, by single steps and in MSRs. */
import fc from 'fast-check';
import { CodeBreakpoints } from '../../cpu/code-breakpoints';
import { Cr0, Cr4, Efer, UNWIND, type Cpu } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import type { CpuEvent } from '../../cpu/interfaces';
import { parseProfile } from '../../cpu/profiles/profile';
import { writeCr0, writeCr4 } from '../../cpu/system/control-state';
import { longModeMachine, type LongModeMachine } from './long-mode-machine';
import { GP0, RAX, RCX, RDI, RDX, RSP, execute, longMode } from './system/processor';

const CODE = 0x1_0000;
const STACK = 0x20_0000;
const PML5 = 0x12_0000;
const PML4 = 0x10_0000;
const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');

/** By the manual's words: bits 63 down to the most significant implemented one are all ones or all zeros. */
const canonical = (linear: bigint, bits: number): boolean => {
  const top = linear >> BigInt(bits - 1);
  return top === 0n || top === (1n << BigInt(65 - bits)) - 1n;
};

/** Sign-extended from somewhere, with one bit turned or none; a multiple of 8. */
const address = fc
  .tuple(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.integer({ min: 46, max: 59 }), fc.option(fc.integer({ min: 44, max: 63 })))
  .map(([bits, width, turned]) => (BigInt.asUintN(64, BigInt.asIntN(width, bits)) ^ (turned === null ? 0n : 1n << BigInt(turned))) & ~7n);

/** The same map of low addresses with four levels or five, in a processor that has both. */
function machine(bits: 48 | 57): LongModeMachine {
  const m = longModeMachine(16, parseProfile('intel,+la57'));
  m.memory.write64(PML5, BigInt(PML4) | 7n);
  m.cpu.set32(R.CR4, Cr4.PAE | Cr4.OSFXSR | (bits === 57 ? Cr4.LA57 : 0));
  m.cpu.set64(R.CR3, BigInt(bits === 57 ? PML5 : PML4));
  m.cpu.modeChanged();
  m.cpu.mmu.flushAll();
  return m;
}

/** Maps 4 KBytes under 5-level paging; tables come from `at` on. */
function map(m: LongModeMachine, linear: bigint, physical: number, at: { next: number }): void {
  let table = PML5;
  for (let level = 5; level > 1; level--) {
    const entry = table + 8 * Number((linear >> BigInt(12 + 9 * (level - 1))) & 0x1ffn);
    if (m.memory.read64(entry) === 0n) m.memory.write64(entry, BigInt((at.next += 0x1000)) | 7n);
    table = Number(m.memory.read64(entry) & ~0xfffn);
  }
  m.memory.write64(table + 8 * Number((linear >> 12n) & 0x1ffn), BigInt(physical) | 7n);
}

function firstFault(m: LongModeMachine, how: 'runs' | 'steps'): CpuEvent | undefined {
  let fault: CpuEvent | undefined;
  m.engine.onFault = (event) => {
    fault ??= event;
    m.engine.stop();
    return true;
  };
  if (how === 'runs') m.engine.run(m.cpu.now() + 1000);
  else for (let i = 0; i < 10 && fault === undefined; i++) m.engine.run(m.cpu.now() + 1);
  m.engine.onFault = undefined;
  return fault;
}

describe.each([48, 57] as const)('with %i-bit linear addresses', (bits) => {
  const m = machine(bits);
  const fault = (code: string, linear: bigint, how: 'runs' | 'steps'): readonly [vector: number | undefined, at: bigint, cr2: bigint | undefined] => {
    m.memory.writeBytes(CODE, hex(`9090 ${code} f4`));
    m.memory.write64(STACK, linear);
    for (const [register, value] of [
      [RAX, code === '0fa307' ? 0n : linear],
      [RDI, linear],
      [RSP, STACK_USES.includes(code) ? linear : BigInt(STACK)],
    ] as const)
      m.cpu.setGpr(register, value);
    m.cpu.rip = BigInt(CODE);
    const event = firstFault(m, how);
    return [event?.vector, m.cpu.rip, event?.vector === 14 ? event.payload : undefined];
  };
  // Nothing lies above 16 MiB.
  const unmapped = address.filter((a) => a >= 1n << 30n);

  // MOV RAX, [RDI]; MOVUPS XMM0, [RDI]; SQRTSD XMM0, [RDI]; FLD QWORD [RDI]; FXSAVE64 [RDI] (512 bytes, which stay in a page); BT [RDI], EAX with EAX = 0.
  const LOADS = ['488b07', '0f1007', 'f20f5107', 'dd07', '480fae07', '0fa307'];
  // POP RAX; POPF; PUSH RAX and CALL of what follows (8 bytes below).
  const STACK_USES = ['58', '9d', '50', 'e800000000'];

  it('an access refuses what is not canonical with #GP(0), with #SS(0) through RSP; the rest is looked up', () => {
    fc.assert(
      fc.property(unmapped, fc.constantFrom('runs' as const, 'steps' as const), (a, how) => {
        const linear = a & ~511n;
        const at = BigInt(CODE + 2);
        const good = canonical(linear, bits);
        for (const code of LOADS) expect([code, ...fault(code, linear, how)]).toEqual([code, ...(good ? [14, at, linear] : [13, at, undefined])]);
        for (const code of STACK_USES) {
          const below = code === '58' || code === '9d' ? linear : BigInt.asUintN(64, linear - 8n);
          const expected = canonical(below, bits) ? [14, at, below] : [12, at, undefined];
          expect([code, ...fault(code, linear, how)]).toEqual([code, ...expected]);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('a near branch is refused at the branch, or arrives', () => {
    fc.assert(
      fc.property(unmapped, fc.constantFrom('ffe0', 'ffd0', 'c3', 'c20800'), fc.constantFrom('runs' as const, 'steps' as const), (linear, code, how) => {
        expect(fault(code, linear, how)).toEqual(canonical(linear, bits) ? [14, linear, linear] : [13, BigInt(CODE + 2), undefined]);
      }),
      { numRuns: 150 },
    );
  });
});

describe('code at 57-bit addresses', () => {
  /** Two pages that share bits 47:0, and one as kernels have it: each adds its own number to RAX and goes on where RSI, RBX, RDX say. */
  const PLACES = [0x0012_3456_7000_0000n, 0x0000_3456_7000_0000n, 0xff12_3456_7000_0000n, 0x00ff_ffff_ffff_f000n, 0xff00_0000_0000_0000n];

  it.each(['runs', 'steps'] as const)('runs through the jump cache, and is told apart from what shares 48 bits with it (%s)', (how) => {
    const m = machine(57);
    const tables = { next: 0x30_0000 };
    PLACES.forEach((linear, n) => {
      const page = 0x40_0000 + n * 0x1000;
      map(m, linear, page, tables);
      // ROL RAX, 1; ADD RAX, n + 1; RET
      m.memory.writeBytes(page, hex(`48d1c0 4883c00${n + 1} c3`));
    });
    // Loop of 100: each place is called by MOV RDX, imm64; CALL RDX.
    const calls = PLACES.map((linear) => `48ba${Buffer.from(new BigUint64Array([linear]).buffer).toString('hex')} ffd2`).join('');
    const body = hex(calls);
    m.memory.writeBytes(CODE, Buffer.concat([hex('b964000000'), body, hex('ffc9 0f85'), Buffer.from(new Int32Array([-(body.length + 8)]).buffer)]));
    const end = CODE + 5 + body.length + 8;
    m.cpu.setGpr(RAX, 0n);
    m.cpu.setGpr(RSP, BigInt(STACK));
    expect(m.run(CODE, end, how === 'steps')).toBeUndefined();
    let expected = 0n;
    for (let i = 0; i < 100; i++)
      for (let n = 1n; n <= PLACES.length; n++) expected = BigInt.asUintN(64, (BigInt.asUintN(64, expected << 1n) | (expected >> 63n)) + n);
    expect([m.cpu.gpr(RAX), m.cpu.gpr(RCX)]).toEqual([expected, 0n]);
  });

  it('a breakpoint is at one of them only, also in code that the jump cache knows', () => {
    const m = machine(57);
    const tables = { next: 0x30_0000 };
    PLACES.forEach((linear, n) => {
      map(m, linear, 0x40_0000 + n * 0x1000, tables);
      m.memory.writeBytes(0x40_0000 + n * 0x1000, hex('c3'));
    });
    // The first two are called in a loop of 20, then once more with a breakpoint at the second.
    const calls = PLACES.slice(0, 2).map((linear) => `48ba${Buffer.from(new BigUint64Array([linear]).buffer).toString('hex')} ffd2`);
    m.memory.writeBytes(CODE, hex(`b914000000 ${calls.join('')} ffc9 75e2 f4`));
    m.cpu.setGpr(RSP, BigInt(STACK));
    expect(m.run(CODE, CODE + 5 + 24 + 4)).toBeUndefined();
    const breakpoints = new CodeBreakpoints();
    breakpoints.add(PLACES[1]);
    m.engine.useBreakpoints(breakpoints);
    m.cpu.rip = BigInt(CODE);
    expect(m.engine.run(m.cpu.now() + 1000)).toBe('stopped');
    expect([m.cpu.rip, breakpoints.hit]).toEqual([PLACES[1], PLACES[1]]);
  });

  it('INVLPG of a 57-bit address drops its translation', () => {
    const m = machine(57);
    const tables = { next: 0x30_0000 };
    const linear = PLACES[0];
    map(m, linear, 0x40_0000, tables);
    m.memory.write64(0x40_0000, 1n);
    m.memory.write64(0x41_0000, 2n);
    // MOV RAX, [RDI]; INVLPG [RDI] between two loads.
    m.cpu.setGpr(RDI, linear);
    m.memory.writeBytes(CODE, hex('488b07 488b0f 0f013f 488b17 f4'));
    m.run(CODE, CODE + 3);
    map(m, linear, 0x41_0000, tables);
    m.run(CODE + 3, CODE + 12);
    expect([m.cpu.gpr(RAX), m.cpu.gpr(RCX), m.cpu.gpr(RDX)]).toEqual([1n, 1n, 2n]);
  });
});

const faults = (act: () => void): boolean => {
  try {
    act();
    return false;
  } catch (e) {
    if (e !== UNWIND) throw e;
    return true;
  }
};

describe('CR4.LA57', () => {
  it('is there with the feature only', () => {
    for (const vendor of ['intel', 'amd']) {
      const plain = longMode(vendor);
      plain.set32(R.CR0, Cr0.PE);
      plain.set32(R.EFER, 0);
      plain.modeChanged();
      expect(faults(() => writeCr4(plain, Cr4.LA57))).toBe(true);
      const has = (profile: string): unknown => {
        const p = parseProfile(profile);
        return [(p.cpuid(7, 0)[2] >>> 16) & 1, (p.cpuid(0x8000_0008, 0)[0] >>> 8) & 0xff];
      };
      expect([has(vendor), has(`${vendor},+la57`)]).toEqual([
        [0, 48],
        [1, 57],
      ]);
    }
    expect(() => parseProfile('intel,+la57,-lm')).toThrow(/la57 requires lm/);
  });

  // SDM "MOV—Move to/from Control Registers": #GP(0) "if an attempt is made to change CR4.LA57 while IA32_EFER.LMA = 1".
  it('changes outside IA-32e mode only, and paging then has five levels', () => {
    const cpu = longMode('intel,+la57');
    const { memory } = cpu;
    expect(faults(() => writeCr4(cpu, cpu.cr4 | Cr4.LA57))).toBe(true);
    expect(cpu.mmu.translate(0x1234, 0, 1)).toBe(0x1234);
    // From compatibility mode paging can be turned off.
    cpu.setSegment(1, 8, 0xc09b, 0xffff_ffff, 0n);
    cpu.modeChanged();
    writeCr0(cpu, (cpu.cr0 & ~Cr0.PG) >>> 0);
    writeCr4(cpu, cpu.cr4 | Cr4.LA57);
    // The PML4 table becomes a PML5 table; what was a page directory is a page-directory-pointer table with pages of 1 GByte.
    for (let n = 0; n < 8; n++) memory.write64(0x3000 + 8 * n, 0x4000_0087n);
    writeCr0(cpu, (cpu.cr0 | Cr0.PG) >>> 0);
    expect(cpu.efer & Efer.LMA).not.toBe(0);
    expect(cpu.mmu.translate(0x1234, 0, 1)).toBe(0x4000_1234);
    expect(faults(() => writeCr4(cpu, cpu.cr4 & ~Cr4.LA57))).toBe(true);
  });
});

// KVM's kvm-unit-tests (x86/la57.c) on processors with 5-level paging: registers and invalidations take 57 bits whatever CR4.LA57 is.
describe.each([
  ['no 5-level paging', 'intel', 0, 48],
  ['4-level paging in use', 'intel,+la57', 0, 57],
  ['5-level paging in use', 'intel,+la57', Cr4.LA57, 57],
] as const)('registers that hold an address, with %s', (_, profile, la57, bits) => {
  const cpu = ((): Cpu => {
    const made = longMode(profile);
    made.memory.write64(0x4000, 0x1007n);
    made.set32(R.CR3, la57 === 0 ? 0x1000 : 0x4000);
    made.set32(R.CR4, made.cr4 | Cr4.FSGSBASE | la57);
    made.modeChanged();
    return made;
  })();
  const refused = (linear: bigint, code: string): boolean => {
    cpu.setGpr(RAX, linear & 0xffff_ffffn);
    cpu.setGpr(RDX, linear >> 32n);
    cpu.setGpr(RDI, 0x9000n);
    cpu.memory.write16(0x9000, 0xff);
    cpu.memory.write64(0x9002, linear);
    const fault = execute(cpu, code);
    if (fault !== undefined) expect(fault).toMatchObject(GP0);
    return fault !== undefined;
  };

  it('WRMSR, WRFSBASE, LGDT, LIDT', () => {
    fc.assert(
      fc.property(address, (linear) => {
        const expected = !canonical(linear, bits);
        for (const index of [0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102]) {
          cpu.setGpr(RCX, BigInt(index));
          expect(refused(linear, '0f30')).toBe(expected);
        }
        expect([refused(linear, '0f0117'), refused(linear, '0f011f')]).toEqual([expected, expected]);
        cpu.setGpr(RCX, linear);
        expect(refused(linear, 'f3480faed1')).toBe(expected);
      }),
      { numRuns: 100 },
    );
  });

  it('INVPCID of an address', () => {
    fc.assert(
      fc.property(address, (linear) => {
        cpu.memory.write64(0xa000, 0n);
        cpu.memory.write64(0xa008, linear);
        cpu.setGpr(RAX, 0n);
        cpu.setGpr(RDI, 0xa000n);
        expect(execute(cpu, '660f388207') !== undefined).toBe(!canonical(linear, bits));
      }),
      { numRuns: 100 },
    );
  });
});
