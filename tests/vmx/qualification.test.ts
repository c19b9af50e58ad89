/** Formats of exit qualifications and of the VM-exit instruction-information field. SDM "Basic VM-Exit Information" and "Information for VM Exits Due to Instruction Execution". */
import type { Cpu } from '../../cpu/cpu';
import { RIP_BASE, Segment, type Insn } from '../../cpu/decoder/insn';
import { EventType, type CpuEvent } from '../../cpu/interfaces';
import { interruptionOf, qualificationOfException, savedRfOf } from '../../vmx/exit/exception';
import {
  CrAccess,
  crQualification,
  descriptorTableInformation,
  displacement,
  drQualification,
  invalidationInformation,
  ioQualification,
  lmswQualification,
  memoryInformation,
  randomInformation,
  stringIoInformation,
  systemSegmentInformation,
  taskSwitchQualification,
  vmreadInformation,
} from '../../vmx/exit/qualification';
import { SavedRf } from '../../vmx/exit/save';
import { insn } from './bench';

describe('exit qualifications', () => {
  it('control-register accesses: 3:0 register, 5:4 access, 11:8 general register', () => {
    expect([crQualification(4, CrAccess.MovTo, 15), crQualification(8, CrAccess.MovFrom, 1), crQualification(0, CrAccess.Clts, 0)]).toEqual([
      0xf04, 0x118, 0x20,
    ]);
  });
  it('LMSW: 6 memory operand, 31:16 source', () => {
    expect([lmswQualification(true, 0x7_fffe), lmswQualification(false, 0x8001)]).toEqual([0xfffe_0070, 0x8001_0030]);
  });
  it('MOV DR: 2:0 register, 4 direction, 11:8 general register', () => {
    expect([drQualification(7, true, 15), drQualification(6, false, 8)]).toEqual([0xf17, 0x806]);
  });
  it('I/O: 2:0 size - 1, 3 IN, 4 string, 5 REP, 6 immediate, 31:16 port', () => {
    expect(ioQualification(0xffff, 4, false, false, false, false)).toBe(0xffff_0003);
    expect(ioQualification(0x60, 1, true, false, false, true)).toBe(0x60_0048);
    expect(ioQualification(0x8000, 2, false, true, true, false)).toBe(0x8000_0031);
  });
  it('task switches: 15:0 selector, 31:30 source', () => {
    expect([0, 1, 2, 3].map((source) => taskSwitchQualification(0xabc_ffff, source))).toEqual([0xffff, 0x4000_ffff, 0x8000_ffff, 0xc000_ffff]);
  });
  it('a memory operand: the displacement, sign-extended; with RIP-relative addressing the address', () => {
    const cpu = (codeSize: number): Cpu => ({ codeSize, nextRip: () => 0x1_0000_1000n }) as unknown as Cpu;
    expect(displacement(cpu(64), insn({ disp: -8, base: 3 }))).toBe(0xffff_ffff_ffff_fff8n);
    expect(displacement(cpu(64), insn({ disp: -8, base: RIP_BASE }))).toBe(0x1_0000_0ff8n);
    expect(displacement(cpu(32), insn({ disp: -8, base: 3 }))).toBe(0xffff_fff8n);
    expect(displacement(cpu(16), insn({ disp: 0x1234 }))).toBe(0x1234n);
  });
});

const INDEX_INVALID = 2 ** 22,
  BASE_INVALID = 2 ** 27;
/** [RSI + R12 * 8], 64-bit addressing, FS. */
const OPERAND: Partial<Insn> = { hasMemory: true, base: 6, index: 12, scale: 3, addressSize: 64, segment: Segment.FS };
const OPERAND_BITS = 3 + (2 << 7) + (4 << 15) + (12 << 18) + 6 * 2 ** 23;

describe('instruction information', () => {
  it('memory operands: 1:0 scaling, 9:7 address size, 17:15 segment, 21:18 index, 26:23 base', () => {
    expect(memoryInformation(insn(OPERAND))).toBe(OPERAND_BITS);
    expect(memoryInformation(insn({ base: 15, index: 1, addressSize: 32, segment: Segment.ES }))).toBe((1 << 7) + (1 << 18) + 15 * 2 ** 23);
    // 22: no index; its scaling and number are not reported. 27: no base, as with RIP-relative addressing.
    expect(memoryInformation(insn({ addressSize: 16, scale: 2, segment: Segment.SS }))).toBe((2 << 15) + INDEX_INVALID + BASE_INVALID);
    expect(memoryInformation(insn({ base: RIP_BASE, index: 5, addressSize: 64, segment: Segment.GS }))).toBe((2 << 7) + (5 << 15) + (5 << 18) + BASE_INVALID);
  });
  it('INVEPT, INVPCID, INVVPID: 31:28 register operand', () => {
    expect(invalidationInformation(insn({ ...OPERAND, dst: 15 }))).toBe(OPERAND_BITS + 15 * 2 ** 28);
  });
  it('VMREAD, VMWRITE: 31:28 the register with the encoding; the other operand in 6:3 with bit 10, or memory', () => {
    expect(vmreadInformation(insn({ op: 'VMREAD', dst: 3, src: 9 }))).toBe((3 << 3) + 0x400 + 9 * 2 ** 28);
    expect(vmreadInformation(insn({ op: 'VMWRITE', dst: 3, src: 9 }))).toBe((9 << 3) + 0x400 + 3 * 2 ** 28);
    expect(vmreadInformation(insn({ ...OPERAND, op: 'VMREAD', src: 2 }))).toBe(OPERAND_BITS + 2 * 2 ** 28);
    expect(vmreadInformation(insn({ ...OPERAND, op: 'VMWRITE', dst: 14 }))).toBe(OPERAND_BITS + 14 * 2 ** 28);
  });
  it('SGDT, SIDT, LGDT, LIDT: 29:28 instruction, 11 operand size', () => {
    const of = (op: string, operandSize: 16 | 32 | 64): number => descriptorTableInformation(insn({ ...OPERAND, op, operandSize })) - OPERAND_BITS;
    expect(['SGDT', 'SIDT', 'LGDT', 'LIDT'].map((op) => of(op, 32))).toEqual([0x800, 0x1000_0800, 0x2000_0800, 0x3000_0800]);
    expect([of('SGDT', 16), of('SGDT', 64)]).toEqual([0, 0x800]);
    expect(descriptorTableInformation(insn({ op: 'SGDT', base: 0, segment: Segment.ES, addressSize: 16, operandSize: 16 }))).toBe(INDEX_INVALID);
  });
  it('SLDT, STR, LLDT, LTR: 29:28 instruction, register in 6:3 with bit 10 or memory', () => {
    const of = (op: string, fields: Partial<Insn>): number => systemSegmentInformation(insn({ op, ...fields }));
    expect(['SLDT', 'STR', 'LLDT', 'LTR'].map((op) => of(op, { dst: 13 }))).toEqual([0x468, 0x1000_0468, 0x2000_0468, 0x3000_0468]);
    expect(of('LTR', { ...OPERAND, dst: 13 })).toBe(OPERAND_BITS + 0x3000_0000);
  });
  it('RDRAND, RDSEED: 6:3 destination, 12:11 operand size', () => {
    expect(([16, 32, 64] as const).map((operandSize) => randomInformation(insn({ dst: 9, operandSize })))).toEqual([0x48, 0x848, 0x1048]);
  });
  it('INS, OUTS: 9:7 address size, 17:15 segment', () => {
    expect(([16, 32, 64] as const).map((addressSize) => stringIoInformation(insn({ addressSize, segment: Segment.GS })))).toEqual([
      0x2_8000, 0x2_8080, 0x2_8100,
    ]);
  });
});

describe('events', () => {
  const event = (type: EventType, vector: number, errorCode?: number, payload = 0n): CpuEvent => ({ type, vector, errorCode, payload, length: 0 });
  it('7:0 vector, 10:8 type, 11 error code valid, 31 valid', () => {
    expect(interruptionOf(event(EventType.HardwareException, 14, 0))).toBe(0x8000_0b0e);
    expect(interruptionOf(event(EventType.ExternalInterrupt, 255))).toBe(0x8000_00ff);
    expect(interruptionOf(event(EventType.Nmi, 2))).toBe(0x8000_0202);
    expect(interruptionOf(event(EventType.SoftwareInterrupt, 0x80))).toBe(0x8000_0480);
    expect(interruptionOf(event(EventType.PrivilegedSoftwareException, 1))).toBe(0x8000_0501);
    expect(interruptionOf(event(EventType.SoftwareException, 3))).toBe(0x8000_0603);
  });
  it('qualification: the linear address of a page fault, B3-B0, BD and BS of a debug exception, else 0', () => {
    const all = (1n << 64n) - 1n;
    expect(qualificationOfException(event(EventType.HardwareException, 14, 0, all))).toBe(all);
    expect(qualificationOfException(event(EventType.HardwareException, 1, undefined, all))).toBe(0x600fn);
    expect(qualificationOfException(event(EventType.HardwareException, 13, 0, all))).toBe(0n);
    expect(qualificationOfException(event(EventType.PrivilegedSoftwareException, 1, undefined, all))).toBe(0n);
    expect(qualificationOfException(event(EventType.SoftwareInterrupt, 14, undefined, all))).toBe(0n);
  });
  it('RF is saved as 1 for faults, and as it is for traps, aborts and software events', () => {
    const vectors = (type: EventType, rf: SavedRf): number[] => Array.from({ length: 32 }, (_, v) => v).filter((v) => savedRfOf(event(type, v)) === rf);
    expect(vectors(EventType.HardwareException, SavedRf.AsIs)).toEqual([1, 8, 18]);
    expect(vectors(EventType.SoftwareException, SavedRf.Set)).toEqual([]);
    expect(vectors(EventType.PrivilegedSoftwareException, SavedRf.Set)).toEqual([]);
    expect(vectors(EventType.SoftwareInterrupt, SavedRf.Set)).toEqual([]);
  });
});
