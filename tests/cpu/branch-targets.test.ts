import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import type { CpuEvent, CpuProfile } from '../../cpu/interfaces';
import { TEST_PROFILE, longModeMachine, type LongModeMachine } from './long-mode-machine';

const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');
const CODE = 0x1_0000;
const [RAX, RCX, RSP, RDI] = [0, 1, 4, 7];
const GP0 = { vector: 13, errorCode: 0 };
const BAD = 0x8000_0000_0000_1234n;

/** Executes one instruction (and what follows) in compiled code or by single steps; the first fault, with nothing of it delivered. */
function firstFault(m: LongModeMachine, how: string, instructions = 40): CpuEvent | undefined {
  let fault: CpuEvent | undefined;
  m.engine.onFault = (event) => {
    fault ??= event;
    m.engine.stop();
    return true;
  };
  if (how === 'runs') m.engine.run(m.cpu.now() + 1000);
  else for (let i = 0; i < instructions && fault === undefined; i++) m.engine.run(m.cpu.now() + 1);
  m.engine.onFault = undefined;
  return fault;
}

// A real processor (AMD EPYC) raises #GP(0) with RIP at the branch and RSP as it was; SDM "JMP", "CALL", "RET": "IF tempRIP is not canonical THEN #GP(0)".
describe.each(['intel', 'amd'] as const)('a near branch to a non-canonical address (%s)', (vendor) => {
  const profile: CpuProfile = { ...TEST_PROFILE, vendor };
  describe.each(['runs', 'steps'])('in %s', (how) => {
    it.each([
      ['JMP r', 'ffe0'],
      ['CALL r', 'ffd0'],
      ['JMP m', 'ff27'],
      ['CALL m', 'ff17'],
      ['RET', 'c3'],
      ['RET imm16', 'c21000'],
    ])('%s', (_, code) => {
      const m = longModeMachine(16, profile);
      m.memory.writeBytes(CODE, hex(`9090 ${code} f4`));
      m.memory.write64(0x20_0000, BAD);
      m.memory.write64(0x20_0000 - 8, 0x1122_3344n);
      m.cpu.setGpr(RAX, BAD);
      m.cpu.setGpr(RDI, 0x20_0000n);
      m.cpu.setGpr(RSP, 0x20_0000n);
      m.cpu.rip = BigInt(CODE);
      const from = m.cpu.retired();
      expect(firstFault(m, how)).toMatchObject(GP0);
      expect([m.cpu.rip, m.cpu.gpr(RSP), m.memory.read64(0x20_0000 - 8)]).toEqual([BigInt(CODE + 2), 0x20_0000n, 0x1122_3344n]);
      expect(m.cpu.retired() - from).toBe(2);
    });
  });
});

/** Code at the end of the lower half of the address space, on a page of its own. */
function atTheTop(code: string): LongModeMachine {
  const m = longModeMachine();
  m.memory.write64(0x10_0000 + 255 * 8, 0x12_0007n);
  m.memory.write64(0x12_0000 + 511 * 8, 0x12_1007n);
  m.memory.write64(0x12_1000 + 511 * 8, 0x12_2007n);
  m.memory.write64(0x12_2000 + 511 * 8, 0x13_0007n);
  m.cpu.mmu.flushAll();
  const bytes = hex(code);
  m.memory.writeBytes(0x13_1000 - bytes.length, bytes);
  m.cpu.rip = 0x8000_0000_0000n - BigInt(bytes.length);
  m.cpu.setGpr(RSP, 0x20_0000n);
  m.cpu.setGpr(RCX, 5n);
  return m;
}

describe.each(['runs', 'steps'])('at the end of the lower half of the address space, in %s', (how) => {
  it.each([
    ['JMP rel32', 'e900010000'],
    ['JMP rel8', 'eb7f'],
    ['CALL rel32', 'e800010000'],
    ['JE rel8', '747f'],
    ['JE rel32', '0f8400010000'],
    ['LOOP', 'e27f'],
    ['JRCXZ', 'e37f'],
  ])('%s faults on the branch, and changes nothing', (op, branch) => {
    const m = atTheTop(`4831c0 ${branch} 90`);
    if (op === 'JRCXZ') m.cpu.setGpr(RCX, 0n);
    const rcx = m.cpu.gpr(RCX);
    const at = m.cpu.rip + 3n;
    expect(firstFault(m, how)).toMatchObject(GP0);
    expect([m.cpu.rip, m.cpu.gpr(RSP), m.cpu.gpr(RCX), m.cpu.retired()]).toEqual([at, 0x20_0000n, rcx, 1]);
  });

  it('a branch that is not taken, and anything else, faults behind itself', () => {
    const m = atTheTop('4831c0 757f');
    expect(firstFault(m, how)).toMatchObject(GP0);
    expect([m.cpu.rip, m.cpu.retired()]).toEqual([0x8000_0000_0000n, 2]);
    const n = atTheTop('4831c0 90');
    expect(firstFault(n, how)).toMatchObject(GP0);
    expect([n.cpu.rip, n.cpu.retired()]).toEqual([0x8000_0000_0000n, 2]);
  });
});

/** 32-bit or 16-bit protected mode without paging, CS based at 1 MiB, the other segments flat. */
function legacyMachine(bits: 16 | 32, limit = 0xffff_ffff): LongModeMachine {
  const m = longModeMachine();
  const { cpu } = m;
  cpu.set64(R.CR0, 0x33n);
  cpu.set64(R.EFER, 0n);
  cpu.set64(R.CR4, 0n);
  cpu.setSegment(Segment.CS, 8, bits === 32 ? 0xc09b : 0x009b, limit, BigInt(BASE));
  for (const s of [Segment.DS, Segment.ES, Segment.SS]) cpu.setSegment(s, 16, 0xc093, 0xffff_ffff, 0n);
  cpu.modeChanged();
  cpu.mmu.flushAll();
  cpu.setGpr(RSP, 0x20_0000n);
  return m;
}
const BASE = 0x10_0000;

describe.each(['runs', 'steps'])('outside 64-bit mode, in %s', (how) => {
  const run = (m: LongModeMachine, ip: number, code: string, target: number): void => {
    m.memory.writeBytes((BASE + ip) & 0xff_ffff, hex(code));
    // HLT where it ends.
    m.memory.write8((BASE + target) & 0xff_ffff, 0xf4);
    m.cpu.rip = BigInt(ip);
    if (how === 'runs') m.engine.run(m.cpu.now() + 200);
    else for (let i = 0; i < 200 && m.cpu.activity === 0; i++) m.engine.run(m.cpu.now() + 1);
    expect([m.cpu.rip, m.cpu.activity]).toEqual([BigInt(target + 1), 1]);
  };

  // SDM "CALL": "tempEIP := EIP + DEST", of 32 bits; the offsets wrap.
  it('CALL rel32 below 0 wraps to the top of the segment and back', () => {
    const m = legacyMachine(32);
    // call -100h-5 from 10h
    run(m, 0x10, 'e8f0feffff', 0xffff_ff05);
    expect(m.memory.read32(0x20_0000 - 4)).toBe(0x15);
    const n = legacyMachine(32);
    run(n, 0xffff_ff00, 'e8f0010000', 0xf5);
    expect(n.memory.read32(0x20_0000 - 4)).toBe(0xffff_ff05);
  });

  it('execution runs on from FFFFFFFFh to 0, inside a page and across one', () => {
    run(legacyMachine(32), 0xffff_fffe, '9090 9090', 2);
    const m = legacyMachine(32);
    m.cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, BigInt(BASE + 0x10));
    m.cpu.modeChanged();
    m.memory.writeBytes(BASE + 8, hex('90'.repeat(16) + 'f4'));
    m.cpu.rip = 0xffff_fff8n;
    m.engine.run(m.cpu.now() + 200);
    expect(m.cpu.rip).toBe(9n);
  });

  it('a block that ends in a full run of instructions wraps too', () => run(legacyMachine(32), 0xffff_ffe0, '90'.repeat(64), 0x20));

  it.each([
    ['JMP rel32', 'e9f0feffff', 0xffff_ff05],
    ['JMP rel8', 'ebe0', 0xffff_fff2],
    ['JE rel8', '74e0', 0xffff_fff2],
    ['JMP r', 'ffe0', 0xffff_fff0],
  ])('%s wraps', (_, code, target) => {
    const m = legacyMachine(32);
    m.cpu.setGpr(RAX, 0xffff_fff0n);
    m.cpu.setRflags(0x42);
    run(m, 0x10, code, target);
  });

  // SDM "JMP": "IF OperandSize = 16 THEN tempEIP := tempEIP AND 0000FFFFH".
  it.each<[string, 16 | 32, string, number]>([
    ['JMP rel16 in 32-bit code', 32, '66e90000', 0x0014],
    ['JMP rel8 with 66h', 32, '66ebe0', 0xfff3],
    ['JE rel16', 32, '660f84e0ff', 0xfff5],
    ['CALL rel16', 16, 'e8e0ff', 0xfff3],
    ['JMP rel8', 16, 'ebe0', 0xfff2],
    ['JE rel8', 16, '74e0', 0xfff2],
    ['LOOP', 16, 'e2e0', 0xfff2],
    ['JMP rel32 with 66h in 16-bit code', 16, '66e9f0fe0200', 0x2_ff06],
  ])('%s is cut to its operand size', (_, bits, code, target) => {
    const m = legacyMachine(bits);
    m.cpu.setRflags(0x42);
    m.cpu.setGpr(RCX, 5n);
    run(m, 0x10, code, target);
  });

  it('CALL rel16 from above 64 KiB pushes 16 bits and lands below', () => {
    const m = legacyMachine(32);
    run(m, 0x3_0010, '66e80010', 0x1014);
    expect([m.cpu.gpr(RSP), m.memory.read16(0x20_0000 - 2)]).toEqual([0x20_0000n - 2n, 0x14]);
  });

  // SDM "JMP": "IF tempEIP is beyond code segment limit THEN #GP(0)".
  it.each([
    ['JMP rel32', 'e9f0000000'],
    ['JMP rel8', 'eb7f'],
    ['JE rel8', '747f'],
    ['CALL rel32', 'e8f0000000'],
    ['JMP r', 'ffe0'],
    ['CALL r', 'ffd0'],
    ['RET', 'c3'],
    ['LOOP', 'e27f'],
  ])('%s beyond the limit of CS faults on the branch', (_, code) => {
    const m = legacyMachine(32, 0x3f);
    m.memory.writeBytes(BASE + 0x10, hex(`90${code}`));
    m.memory.write32(0x20_0000, 0x100);
    m.cpu.setRflags(0x42);
    m.cpu.setGpr(RAX, 0x40n);
    m.cpu.setGpr(RCX, 5n);
    m.cpu.rip = 0x10n;
    expect(firstFault(m, how)).toMatchObject(GP0);
    expect([m.cpu.rip, m.cpu.gpr(RSP), m.cpu.gpr(RCX), m.cpu.retired()]).toEqual([0x11n, 0x20_0000n, 5n, 1]);
  });
});
