import { R } from '../../../../cpu/layout';
import { OPERAND, fpuMachine, type FpuMachine } from '../fpu-machine';
import { wide, type Vectors } from './vectors';

export interface Mismatch {
  readonly op: string;
  readonly record: number;
  readonly text: string;
}

const hex = (n: bigint | number): string => n.toString(16);
const f80 = (n: bigint): string => `${(n >> 64n).toString(16).padStart(4, '0')}:${(n & 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, '0')}`;

/** Results may differ by one unit in the last place, and with them the direction of rounding (C1). */
const TRANSCENDENTAL = new Set(['FSIN', 'FCOS', 'FSINCOS', 'FPTAN', 'FPATAN', 'F2XM1', 'FYL2X', 'FYL2XP1']);
/** The SDM says that C1 is cleared; AMD's processors leave it. */
const COMPARES_TO_RFLAGS = new Set(['FCOMI', 'FCOMIP', 'FUCOMI', 'FUCOMIP']);
const C1 = 0x200;

export const replayed = { count: 0, byClass: new Map<string, number>() };

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}

class Comparison {
  readonly differences: string[] = [];
  check(what: string, ours: bigint | number, recorded: bigint | number, print: (n: bigint) => string = hex): void {
    if (BigInt(ours) !== BigInt(recorded)) this.differences.push(`${what} ${print(BigInt(ours))}, recorded ${print(BigInt(recorded))}`);
  }
}

/** Neighbouring values of one sign have neighbouring numbers. */
const ordinal = (f80: bigint): bigint => ((f80 >> 64n) << 63n) | (f80 & 0x7fff_ffff_ffff_ffffn);

function closeTo(a: bigint, b: bigint): boolean {
  const distance = ordinal(a) - ordinal(b);
  return distance >= -1n && distance <= 1n;
}

/** Runs the x87 vectors; `skip` names the ones that are not comparable. */
export function replayX87(vectors: Vectors, skip: (op: string, record: number, operands: readonly [bigint, bigint]) => boolean): Mismatch[] {
  const machine = fpuMachine();
  const { cpu } = machine;
  const mismatches: Mismatch[] = [];
  for (let n = 0; n < vectors.records; n++) {
    const [op, bytes, memoryPool] = vectors.ops[vectors.number('op', n)];
    const [fcw, fsw, ftw] = [vectors.number('fcw', n), vectors.number('fsw', n), vectors.number('ftw', n)];
    const st0 = wide(vectors.pool(2, vectors.number('a', n)).subarray(0, 10));
    const st1 = wide(vectors.pool(2, vectors.number('b', n)).subarray(0, 10));
    if (skip(op, n, [st0, st1])) continue;
    const memory = new Uint8Array(32);
    if (memoryPool >= 0) memory.set(vectors.pool(memoryPool, vectors.number('m', n)));
    const top = fsw >> 11;
    const st = (i: number): number => R.FPR + 16 * (((cpu.get32(R.FSW) >>> 11) + i) & 7);
    const registers = [st0, st1, ...Array.from({ length: 6 }, (_, i) => (BigInt(0x3fff + i + 2) << 64n) | (1n << 63n))];
    cpu.set32(R.FCW, fcw);
    cpu.set32(R.FSW, fsw);
    cpu.set32(R.FTW, ftw);
    registers.forEach((value, i) => {
      cpu.set64(R.FPR + 16 * ((top + i) & 7), value & 0xffff_ffff_ffff_ffffn);
      cpu.set32(R.FPR + 16 * ((top + i) & 7) + 8, Number(value >> 64n));
    });
    cpu.memory.writeBytes(OPERAND, memory);
    cpu.setGpr(0, 0x1234n);
    cpu.setRflags(vectors.number('rflags', n));
    const fault = machine.execute(bytesOf(bytes));

    const c = new Comparison();
    const read = (i: number): bigint => (BigInt(cpu.get32(st(i) + 8) & 0xffff) << 64n) | cpu.get64(st(i));
    const recorded0 = wide(vectors.item('st0Out', n)) ^ registers[0];
    const recorded1 = wide(vectors.item('st1Out', n)) ^ registers[1];
    let ignored = COMPARES_TO_RFLAGS.has(op) ? C1 : 0;
    if (TRANSCENDENTAL.has(op) && closeTo(read(0), recorded0) && closeTo(read(1), recorded1)) {
      // The last bit may differ, so C1 says nothing.
      ignored = C1;
    } else {
      c.check('ST(0)', read(0), recorded0, f80);
      c.check('ST(1)', read(1), recorded1, f80);
    }
    c.check('FSW', cpu.get32(R.FSW) & ~ignored, (vectors.number('fswOut', n) ^ fsw) & ~ignored);
    c.check('FTW', cpu.get32(R.FTW), vectors.number('ftwOut', n) ^ ftw);
    c.check('FCW', cpu.get32(R.FCW), vectors.number('fcwOut', n) ^ fcw);
    c.check('memory', wide(cpu.memory.readBytes(OPERAND, 10)), wide(vectors.item('memOut', n)) ^ wide(memory.subarray(0, 10)));
    c.check('RFLAGS', cpu.rflags() & 0x8d5, (vectors.number('rflagsOut', n) ^ vectors.number('rflags', n)) & 0x8d5);
    c.check('AX', cpu.gpr16(0), vectors.number('axOut', n) ^ 0x1234);
    if (fault) c.differences.push(`raised vector ${fault.vector}`);
    count(op);
    if (c.differences.length > 0) {
      mismatches.push({
        op,
        record: n,
        text: `${op} (${bytes}) FCW ${hex(fcw)} FSW ${hex(fsw)} FTW ${hex(ftw)} ST0 ${f80(st0)} ST1 ${f80(st1)} memory ${hex(wide(memory.subarray(0, 10)))}: ${c.differences.join('; ')}`,
      });
    }
  }
  return mismatches;
}

function count(op: string): void {
  replayed.count++;
  replayed.byClass.set(op, (replayed.byClass.get(op) ?? 0) + 1);
}

export function replaySse(vectors: Vectors, machine: FpuMachine = fpuMachine()): Mismatch[] {
  const { cpu } = machine;
  const mismatches: Mismatch[] = [];
  for (let n = 0; n < vectors.records; n++) {
    const [op, bytes, , poolA, poolB] = vectors.ops[vectors.number('op', n)];
    const mxcsr = vectors.number('mxcsr', n);
    const a = wide(vectors.pool(poolA, vectors.number('a', n)));
    const b = wide(vectors.pool(poolB, vectors.number('b', n)));
    const integers = vectors.pool(3, vectors.number('m', n));
    const [mm0, mm1] = [wide(integers.subarray(8)), wide(integers.subarray(0, 8))];
    const put = (register: number, value: bigint): void => {
      for (let i = 0; i < 4; i++) cpu.u32[(cpu.xmm(register) >>> 2) + i] = Number((value >> BigInt(32 * i)) & 0xffff_ffffn);
    };
    put(0, a);
    put(1, b);
    cpu.set32(R.MXCSR, mxcsr);
    cpu.set32(R.FSW, 3 << 11);
    cpu.set32(R.FTW, 0);
    cpu.set64(R.FPR, mm0);
    cpu.set64(R.FPR + 16, mm1);
    cpu.setGpr(0, mm1);
    cpu.setRflags(vectors.number('rflags', n));
    const fault = machine.execute(bytesOf(bytes));

    const faulted = vectors.number('fault', n) !== 0;
    const c = new Comparison();
    let xmm0 = 0n;
    for (let i = 3; i >= 0; i--) xmm0 = (xmm0 << 32n) | BigInt(cpu.u32[(cpu.xmm(0) >>> 2) + i]);
    c.check('XMM0', xmm0, wide(vectors.item('xmmOut', n)) ^ a);
    c.check('MXCSR', cpu.get32(R.MXCSR), vectors.number('mxcsrOut', n) ^ mxcsr);
    c.check('RAX', cpu.gpr(0), wide(vectors.item('raxOut', n)) ^ mm1);
    c.check('MM0', cpu.get64(R.FPR), wide(vectors.item('mmOut', n)) ^ mm0);
    c.check('RFLAGS', cpu.rflags() & 0x8d5, (vectors.number('rflagsOut', n) ^ vectors.number('rflags', n)) & 0x8d5);
    if (!faulted) {
      // AMD's processors go over to MMX state even if the conversion then raises #XM.
      c.check('FTW', cpu.get32(R.FTW), vectors.number('ftwOut', n));
      c.check('FSW', cpu.get32(R.FSW), vectors.number('fswOut', n));
    }
    c.check('#XM', fault?.vector ?? 0, faulted ? 19 : 0);
    count(op);
    if (c.differences.length > 0) {
      mismatches.push({
        op,
        record: n,
        text: `${op} (${bytes}) MXCSR ${hex(mxcsr)} XMM0 ${hex(a)} XMM1 ${hex(b)} RAX ${hex(mm1)}: ${c.differences.join('; ')}`,
      });
    }
  }
  return mismatches;
}
