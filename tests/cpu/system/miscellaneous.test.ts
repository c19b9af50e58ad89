import { Activity } from '../../../cpu/cpu';
import type { Interception } from '../../../cpu/interfaces';
import { Cr4, Flag, GP0, R, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Segment, UD, execute, longMode, protectedMode, realMode } from './processor';

describe('CMPXCHG8B and CMPXCHG16B', () => {
  test.each([
    ['equal', 0x1111_2222_3333_4444n, true],
    ['different', 0x1111_2222_3333_4445n, false],
  ])('8 bytes, %s', (_case, inMemory, equal) => {
    const cpu = longMode();
    cpu.memory.write64(0x9004, inMemory);
    cpu.setGpr(RSI, 0x9004n);
    cpu.setGpr(RDX, 0xff_1111_2222n);
    cpu.setGpr(RAX, 0xff_3333_4444n);
    cpu.setGpr(RCX, 0x5555_6666n);
    cpu.setGpr(RBX, 0x7777_8888n);
    cpu.setRflags(0x8d5);
    expect(execute(cpu, 'f00fc70e')).toBeUndefined();
    expect(cpu.memory.read64(0x9004)).toBe(equal ? 0x5555_6666_7777_8888n : inMemory);
    expect(cpu.gpr(RAX)).toBe(equal ? 0xff_3333_4444n : inMemory & 0xffff_ffffn);
    expect(cpu.rflags()).toBe(equal ? 0x8d7 : 0x897);
  });

  /** The quick and the careful way: RIP-free operand in RAM, and one through a 32-bit address. */
  test.each(['480fc74e10', '67480fc74e10', '65480fc70e'])('16 bytes (%s), equal and different', (hex) => {
    for (const equal of [true, false]) {
      const cpu = longMode();
      cpu.setSegment(Segment.GS, 0, 0xc093, 0xffff_ffff, 0x10n);
      cpu.memory.write64(0x9010, 0x1111_2222_3333_4444n);
      cpu.memory.write64(0x9018, equal ? 0xaaaa_bbbb_cccc_ddddn : 1n);
      cpu.setGpr(RSI, 0x9000n);
      cpu.setGpr(RAX, 0x1111_2222_3333_4444n);
      cpu.setGpr(RDX, 0xaaaa_bbbb_cccc_ddddn);
      cpu.setGpr(RBX, 0xb0b0_b0b0_b0b0_b0b0n);
      cpu.setGpr(RCX, 0xc0c0_c0c0_c0c0_c0c0n);
      cpu.setRflags(Flag.CF);
      expect(execute(cpu, hex)).toBeUndefined();
      expect([cpu.memory.read64(0x9010), cpu.memory.read64(0x9018)]).toEqual(
        equal ? [0xb0b0_b0b0_b0b0_b0b0n, 0xc0c0_c0c0_c0c0_c0c0n] : [0x1111_2222_3333_4444n, 1n],
      );
      expect(cpu.gpr(RDX)).toBe(equal ? 0xaaaa_bbbb_cccc_ddddn : 1n);
      expect(cpu.rflags() & 0x8d5).toBe(equal ? 0x41 : 0x01);
    }
  });

  test('16 bytes must be aligned, and writable even when the comparison fails', () => {
    const cpu = longMode();
    cpu.setGpr(RSI, 0x9008n);
    expect(execute(cpu, '480fc70e')).toEqual(GP0);
    cpu.memory.write64(0x3000, 0x85n);
    cpu.setGpr(RSI, 0x9000n);
    expect(execute(cpu, '480fc70e')).toMatchObject({ vector: 14, errorCode: 3 });
    expect(execute(cpu, '0fc70e')).toMatchObject({ vector: 14, errorCode: 3 });
    expect(execute(longMode('intel,-cx16'), '480fc70e')).toEqual(UD);
  });
});

describe('stack frames', () => {
  test('PUSHA stores the old ESP, POPA skips it', () => {
    const cpu = protectedMode();
    for (let r = 0; r < 8; r++) cpu.setGpr32(r, 0x1111_1111 * (r + 1));
    cpu.setGpr32(RSP, 0x8000);
    execute(cpu, '60');
    expect(cpu.gpr32(RSP)).toBe(0x7fe0);
    expect(Array.from({ length: 8 }, (_, n) => cpu.memory.read32(0x7fe0 + 4 * n))).toEqual([
      0x8888_8888, 0x7777_7777, 0x6666_6666, 0x8000, 0x4444_4444, 0x3333_3333, 0x2222_2222, 0x1111_1111,
    ]);
    for (let r = 0; r < 8; r++) if (r !== RSP) cpu.setGpr32(r, 0);
    execute(cpu, '61');
    expect([RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI].map((r) => cpu.gpr32(r))).toEqual([
      0x1111_1111, 0x2222_2222, 0x3333_3333, 0x4444_4444, 0x8000, 0x6666_6666, 0x7777_7777, 0x8888_8888,
    ]);
  });

  test('16-bit PUSHA in a 16-bit stack', () => {
    const cpu = realMode();
    cpu.setGpr32(RAX, 0xdead_1234);
    cpu.setGpr32(RSP, 0x10);
    execute(cpu, '60');
    expect([cpu.gpr16(RSP), cpu.memory.read16(0xe), cpu.memory.read16(6)]).toEqual([0, 0x1234, 0x10]);
  });

  test('a PUSHA that meets the limit half way changes nothing', () => {
    const cpu = protectedMode();
    cpu.setSegment(Segment.SS, 8, 0xc097, 0x7fe8, 0n);
    cpu.setGpr32(RSP, 0x8000);
    cpu.setGpr32(RAX, 0x1234);
    expect(execute(cpu, '60')).toMatchObject({ vector: 12, errorCode: 0 });
    expect([cpu.gpr32(RSP), cpu.memory.read32(0x7ffc)]).toEqual([0x8000, 0]);
  });

  test('ENTER 10h, 0', () => {
    const cpu = longMode();
    cpu.setGpr(RBP, 0x1234_5678_9abcn);
    execute(cpu, 'c8100000');
    expect([cpu.gpr(RSP), cpu.gpr(RBP), cpu.memory.read64(0x7ff8)]).toEqual([0x7fe8n, 0x7ff8n, 0x1234_5678_9abcn]);
  });

  test('ENTER with nesting level 3 copies two display entries and adds the new frame', () => {
    const cpu = protectedMode();
    cpu.setGpr32(RSP, 0x8000);
    cpu.setGpr32(RBP, 0x9000);
    cpu.memory.write32(0x8ffc, 0xaaaa);
    cpu.memory.write32(0x8ff8, 0xbbbb);
    execute(cpu, 'c8080003');
    expect([0x7ffc, 0x7ff8, 0x7ff4, 0x7ff0].map((a) => cpu.memory.read32(a))).toEqual([0x9000, 0xaaaa, 0xbbbb, 0x7ffc]);
    expect([cpu.gpr32(RSP), cpu.gpr32(RBP)]).toEqual([0x7fe8, 0x7ffc]);
  });

  test('ENTER faults when the frame it allocates does not fit, and changes nothing', () => {
    const cpu = longMode();
    cpu.memory.write64(0x3008, 0n);
    cpu.setGpr(RSP, 0x40_0100n);
    cpu.setGpr(RBP, 0x1234n);
    expect(execute(cpu, 'c8000200')).toMatchObject({ vector: 14, payload: 0x3f_fef8n });
    expect([cpu.gpr(RSP), cpu.gpr(RBP), cpu.memory.read64(0x40_00f8)]).toEqual([0x40_0100n, 0x1234n, 0n]);
    expect(execute(cpu, 'c8100000')).toBeUndefined();
  });
});

test('BOUND raises #BR outside its signed bounds', () => {
  const cpu = protectedMode();
  cpu.memory.write32(0x9000, -5 >>> 0);
  cpu.memory.write32(0x9004, 5);
  cpu.setGpr32(RBX, 0x9000);
  for (const [index, outside] of [
    [-5, false],
    [5, false],
    [-6, true],
    [6, true],
  ] as const) {
    cpu.setGpr32(RAX, index);
    expect(execute(cpu, '6203')).toEqual(outside ? expect.objectContaining({ vector: 5 }) : undefined);
  }
});

test('XLAT indexes by unsigned AL, with an override', () => {
  const cpu = realMode();
  cpu.setSegment(Segment.FS, 0x100, 0x93, 0xffff, 0x1000n);
  cpu.setGpr32(RBX, 0xff80);
  cpu.setGpr32(RAX, 0xffff_ff90);
  cpu.memory.write8(0x1010, 0x42);
  execute(cpu, '64d7');
  expect(cpu.gpr32(RAX)).toBe(0xffff_ff42);
});

describe('waiting', () => {
  test('HLT', () => {
    const cpu = longMode();
    expect(execute(cpu, 'f4')).toBeUndefined();
    expect([cpu.activity, cpu.attention]).toEqual([Activity.Halted, true]);
    expect(execute(longMode('intel', 3), 'f4')).toEqual(GP0);
  });

  test('MWAIT halts when armed; both are #UD unless advertised and at CPL 0', () => {
    const cpu = longMode('intel,+monitor');
    execute(cpu, '0f01c9');
    expect(cpu.activity).toBe(Activity.Active);
    cpu.setGpr(RAX, 0x9000n);
    execute(cpu, '0f01c8');
    execute(cpu, '0f01c9');
    expect(cpu.activity).toBe(Activity.Halted);
    for (const hex of ['0f01c8', '0f01c9']) {
      expect(execute(longMode(), hex)).toEqual(UD);
      expect(execute(longMode('intel,+monitor', 3), hex)).toEqual(UD);
    }
    cpu.setGpr(RCX, 1n);
    expect(execute(cpu, '0f01c8')).toEqual(GP0);
    expect(execute(cpu, '0f01c9')).toEqual(GP0);
  });
});

describe('TLB', () => {
  test('INVLPG makes a changed entry visible, without it the old one may serve', () => {
    const cpu = longMode();
    cpu.memory.write32(0x20_0000, 0xaaaa);
    cpu.memory.write32(0x40_0000, 0xbbbb);
    expect(cpu.readLinear(0x20_0000n, 4)).toBe(0xaaaan);
    cpu.memory.write64(0x3008, 0x40_0087n);
    cpu.setGpr(RAX, 0x20_0000n);
    expect(execute(cpu, '0f0138')).toBeUndefined();
    expect(cpu.readLinear(0x20_0000n, 4)).toBe(0xbbbbn);
    cpu.setGpr(RAX, 0x8000_0000_0000_0000n);
    expect(execute(cpu, '0f0138')).toBeUndefined();
    expect(execute(longMode('intel', 3), '0f0138')).toEqual(GP0);
  });

  test.each<[string, bigint, bigint, bigint, boolean]>([
    ['address, canonical', 0n, 0n, 0x1000n, true],
    ['address, not canonical', 0n, 0n, 1n << 47n, false],
    ['address with a PCID while PCIDE = 0', 0n, 1n, 0n, false],
    ['context', 1n, 0n, 1n << 47n, true],
    ['reserved descriptor bits', 2n, 0x1000n, 0n, false],
    ['all', 2n, 5n, 0n, true],
    ['all but global', 3n, 0n, 0n, true],
    ['type 4', 4n, 0n, 0n, false],
  ])('INVPCID: %s', (_case, type, low, high, allowed) => {
    const cpu = longMode();
    cpu.setGpr(RAX, type);
    cpu.setGpr(RBX, 0x9000n);
    cpu.memory.write64(0x9000, low);
    cpu.memory.write64(0x9008, high);
    expect(execute(cpu, '660f388203')).toEqual(allowed ? undefined : GP0);
  });

  test('CLFLUSH faults like a load, WBINVD is for CPL 0, CLWB can be absent', () => {
    const cpu = longMode('intel', 3);
    cpu.setGpr(RBX, 0x4000_0000n);
    expect(execute(cpu, '0fae3b')).toMatchObject({ vector: 14, errorCode: 4 });
    expect(execute(cpu, '0f09')).toEqual(GP0);
    expect(execute(longMode('intel,-clwb'), '660fae33')).toEqual(UD);
  });
});

describe('other instructions', () => {
  test('RDPMC has no counter: #GP(0)', () => {
    const cpu = longMode();
    cpu.set32(R.CR4, cpu.cr4 | Cr4.PCE);
    expect(execute(cpu, '0f33')).toEqual(GP0);
  });

  test('RDRAND: #UD unless advertised, CF tells whether there was a number', () => {
    expect(execute(longMode(), '480fc7f0')).toEqual(UD);
    const cpu = longMode('intel,+rdrand');
    cpu.setRflags(0x8d5);
    cpu.entropy = { next: () => 0x1234_5678_9abc_def0n };
    execute(cpu, '480fc7f0');
    expect([cpu.gpr(RAX), cpu.rflags() & 0x8d5]).toEqual([0x1234_5678_9abc_def0n, Flag.CF]);
    cpu.entropy = undefined;
    execute(cpu, '0fc7f0');
    expect([cpu.gpr(RAX), cpu.rflags() & 0x8d5]).toEqual([0n, 0]);
  });

  test('RDPID reads TSC_AUX; RSM, GETSEC and the XSAVES pair do not exist', () => {
    const cpu = longMode('intel,+rdpid');
    cpu.set64(R.TSC_AUX, 7n);
    execute(cpu, 'f30fc7f8');
    expect(cpu.gpr(RAX)).toBe(7n);
    for (const hex of ['0faa', '0f37', '480fc72b', '480fc71b']) expect(execute(cpu, hex)).toEqual(UD);
  });

  test('VMX and SVM instructions: #UD without the extension, otherwise its business', () => {
    const encodings = [
      'f30fc733',
      '0f01c4',
      '660fc733',
      '0fc733',
      '0fc73b',
      '0f78c3',
      '0f79c3',
      '0f01c2',
      '0f01c3',
      '0f01c1',
      '0f01d4',
      '660f388003',
      '660f388103',
      '0f01d8',
      '0f01da',
      '0f01db',
      '0f01dc',
      '0f01dd',
      '0f01df',
      '0f01d9',
      '0f01de',
    ];
    const seen: string[] = [];
    for (const hex of encodings) {
      const cpu = longMode();
      expect(execute(cpu, hex)).toEqual(UD);
      cpu.interception = { guestMode: false, active: false, execute: (insn: { op: string }) => void seen.push(insn.op) } as unknown as Interception;
      expect(execute(cpu, hex)).toBeUndefined();
    }
    expect(seen).toEqual(
      'VMXON VMXOFF VMCLEAR VMPTRLD VMPTRST VMREAD VMWRITE VMLAUNCH VMRESUME VMCALL VMFUNC INVEPT INVVPID VMRUN VMLOAD VMSAVE STGI CLGI INVLPGA VMMCALL SKINIT'.split(
        ' ',
      ),
    );
  });
});
