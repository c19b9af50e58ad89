/** x87 data transfer: loads, stores, constants, exchanges, conditional moves. */
import { Flag, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from '../system/table';
import { DOUBLE, EXTENDED, INDEFINITE, ONE, SINGLE, packDouble, packExtended, packSingle, zero, type ExtendedBits, type Float } from './float-format';
import { CONSTANT_BITS, LG_2, LN_2, LOG2_10, LOG2_E, PI } from './constants';
import { Exception, PRE_COMPUTATION, round } from './rounding';
import { convert } from './softfloat';
import { fromPackedBcd, toInteger, toPackedBcd } from './softfloat-integer';
import { readExtended, readFloat, readInteger, writeExtended, writeSized } from './x87-memory';
import {
  begin,
  commitFlags,
  isEmpty,
  markEmpty,
  pop,
  push,
  pushChecked,
  read,
  recordPointers,
  setC1,
  significandOf,
  signExponentOf,
  stackOverflow,
  stackUnderflow,
  write,
  writeBits,
  x87,
} from './x87-state';

type Execute = (cpu: Cpu, insn: Insn) => void;

const NO_STORE = Exception.OE | Exception.UE | PRE_COMPUTATION;

// ---- loads ----

function fld(cpu: Cpu, insn: Insn): void {
  begin(cpu);
  if (insn.form !== 'm') {
    recordPointers(cpu, insn);
    if (!isEmpty(cpu, 7)) {
      if (stackOverflow(cpu)) push(cpu, INDEFINITE);
    } else if (isEmpty(cpu, insn.dst)) {
      if (stackUnderflow(cpu)) push(cpu, INDEFINITE);
    } else {
      const [signExponent, significand] = [signExponentOf(cpu, insn.dst), significandOf(cpu, insn.dst)];
      pushBits(cpu, { signExponent, significand });
    }
    return;
  }
  if (insn.size === 80) {
    const bits = readExtended(cpu, insn);
    recordPointers(cpu, insn);
    if (isEmpty(cpu, 7)) pushBits(cpu, bits);
    else if (stackOverflow(cpu)) push(cpu, INDEFINITE);
    return;
  }
  const value = readFloat(cpu, insn);
  recordPointers(cpu, insn);
  pushChecked(cpu, () => {
    const converted = convert(value, EXTENDED, false, x87);
    // An unmasked #D does not keep the operand from being loaded.
    if (value.denormal) x87.raise(Exception.DE);
    return converted;
  });
}

function pushBits(cpu: Cpu, bits: ExtendedBits): void {
  setC1(cpu, false);
  push(cpu, INDEFINITE);
  writeBits(cpu, 0, bits.signExponent, bits.significand);
}

/** Loads that raise nothing but stack overflow. */
function load(value: (cpu: Cpu, insn: Insn) => Float): Execute {
  return (cpu, insn) => {
    begin(cpu);
    const loaded = value(cpu, insn);
    recordPointers(cpu, insn);
    pushChecked(cpu, () => loaded);
  };
}

function packedBcd(cpu: Cpu, insn: Insn): Float {
  const { signExponent, significand } = readExtended(cpu, insn);
  return fromPackedBcd((BigInt(signExponent) << 64n) | significand);
}

/** A constant rounded as RC says; neither #P nor C1 tells of it. */
function constant(value: bigint): Execute {
  return load(() => {
    const rounded = round(0, value, -CONSTANT_BITS, EXTENDED, x87);
    x87.flags = 0;
    x87.roundedUp = false;
    return rounded;
  });
}

// ---- stores ----

/**
 * A store of ST(0) to memory, or with 'convert' its masked response for an empty register. Memory is written before the status word,
 * so that a page fault leaves everything as it was.
 */
function storeToMemory(
  cpu: Cpu,
  insn: Insn,
  pops: boolean,
  indefinite: bigint,
  value: (st0: Float) => bigint,
  put: (cpu: Cpu, insn: Insn, bits: bigint) => void,
): void {
  if (isEmpty(cpu, 0)) {
    if ((x87.unmasked & Exception.IE) === 0) put(cpu, insn, indefinite);
    recordPointers(cpu, insn);
    if (stackUnderflow(cpu) && pops) pop(cpu);
    return;
  }
  const bits = value(read(cpu, 0));
  const stores = (x87.flags & x87.unmasked & NO_STORE) === 0;
  if (stores) put(cpu, insn, bits);
  recordPointers(cpu, insn);
  // Nothing was stored, so nothing was stored inexactly.
  if (!stores) {
    x87.flags &= ~Exception.PE;
    x87.roundedUp = false;
  }
  commitFlags(cpu);
  if (stores && pops) pop(cpu);
}

function storeFloat(pops: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    if (insn.form !== 'm') storeToRegister(cpu, insn, pops);
    else if (insn.size === 80) storeExtended(cpu, insn, pops);
    else if (insn.size === 32)
      storeToMemory(cpu, insn, pops, BigInt(packSingle(INDEFINITE)), (st0) => BigInt(packSingle(convert(st0, SINGLE, false, x87))), writeSized);
    else storeToMemory(cpu, insn, pops, packDouble(INDEFINITE), (st0) => packDouble(convert(st0, DOUBLE, false, x87)), writeSized);
  };
}

function storeToRegister(cpu: Cpu, insn: Insn, pops: boolean): void {
  recordPointers(cpu, insn);
  if (isEmpty(cpu, 0)) {
    if (!stackUnderflow(cpu)) return;
    write(cpu, insn.dst, INDEFINITE);
  } else {
    setC1(cpu, false);
    writeBits(cpu, insn.dst, signExponentOf(cpu, 0), significandOf(cpu, 0));
  }
  if (pops) pop(cpu);
}

function storeExtended(cpu: Cpu, insn: Insn, pops: boolean): void {
  const empty = isEmpty(cpu, 0);
  if (!empty) writeExtended(cpu, insn, { signExponent: signExponentOf(cpu, 0), significand: significandOf(cpu, 0) });
  else if ((x87.unmasked & Exception.IE) === 0) writeExtended(cpu, insn, packExtended(INDEFINITE));
  recordPointers(cpu, insn);
  if (empty && !stackUnderflow(cpu)) return;
  if (!empty) setC1(cpu, false);
  if (pops) pop(cpu);
}

function storeInteger(pops: boolean, truncate: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    storeToMemory(cpu, insn, pops, 1n << BigInt(insn.size - 1), (st0) => toInteger(st0, insn.size, x87, truncate), writeSized);
  };
}

const BCD_INDEFINITE = (0xffffn << 64n) | (0xc000n << 48n);

function fbstp(cpu: Cpu, insn: Insn): void {
  begin(cpu);
  storeToMemory(cpu, insn, true, BCD_INDEFINITE, (st0) => toPackedBcd(st0, x87), putPackedBcd);
}

function putPackedBcd(cpu: Cpu, insn: Insn, bits: bigint): void {
  writeExtended(cpu, insn, { signExponent: Number(bits >> 64n), significand: BigInt.asUintN(64, bits) });
}

// ---- between registers ----

function fxch(cpu: Cpu, insn: Insn): void {
  begin(cpu);
  recordPointers(cpu, insn);
  const i = insn.dst;
  const [empty0, emptyI] = [isEmpty(cpu, 0), isEmpty(cpu, i)];
  if (empty0 || emptyI) {
    if (!stackUnderflow(cpu)) return;
    if (empty0) write(cpu, 0, INDEFINITE);
    if (emptyI) write(cpu, i, INDEFINITE);
  } else setC1(cpu, false);
  const [signExponent, significand] = [signExponentOf(cpu, 0), significandOf(cpu, 0)];
  writeBits(cpu, 0, signExponentOf(cpu, i), significandOf(cpu, i));
  writeBits(cpu, i, signExponent, significand);
}

function conditionalMove(flags: number, wanted: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    if (isEmpty(cpu, 0) || isEmpty(cpu, insn.src)) {
      if (stackUnderflow(cpu)) write(cpu, 0, INDEFINITE);
      return;
    }
    if (((cpu.rflags() & flags) !== 0) === wanted) writeBits(cpu, 0, signExponentOf(cpu, insn.src), significandOf(cpu, insn.src));
  };
}

function ffree(pops: boolean): Execute {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    setC1(cpu, false);
    markEmpty(cpu, insn.dst);
    if (pops) pop(cpu);
  };
}

export const X87_TRANSFER: SystemInstructions = {
  FLD: { execute: fld, endsBlock: false },
  FILD: { execute: load(readInteger), endsBlock: false },
  FBLD: { execute: load(packedBcd), endsBlock: false },
  FLD1: { execute: load(() => ONE), endsBlock: false },
  FLDZ: { execute: load(() => zero(0)), endsBlock: false },
  FLDPI: { execute: constant(PI), endsBlock: false },
  FLDL2E: { execute: constant(LOG2_E), endsBlock: false },
  FLDL2T: { execute: constant(LOG2_10), endsBlock: false },
  FLDLG2: { execute: constant(LG_2), endsBlock: false },
  FLDLN2: { execute: constant(LN_2), endsBlock: false },
  FST: { execute: storeFloat(false), endsBlock: false },
  FSTP: { execute: storeFloat(true), endsBlock: false },
  FIST: { execute: storeInteger(false, false), endsBlock: false },
  FISTP: { execute: storeInteger(true, false), endsBlock: false },
  FISTTP: { execute: storeInteger(true, true), endsBlock: false },
  FBSTP: { execute: fbstp, endsBlock: false },
  FXCH: { execute: fxch, endsBlock: false },
  FCMOVB: { execute: conditionalMove(Flag.CF, true), endsBlock: false },
  FCMOVE: { execute: conditionalMove(Flag.ZF, true), endsBlock: false },
  FCMOVBE: { execute: conditionalMove(Flag.CF | Flag.ZF, true), endsBlock: false },
  FCMOVU: { execute: conditionalMove(Flag.PF, true), endsBlock: false },
  FCMOVNB: { execute: conditionalMove(Flag.CF, false), endsBlock: false },
  FCMOVNE: { execute: conditionalMove(Flag.ZF, false), endsBlock: false },
  FCMOVNBE: { execute: conditionalMove(Flag.CF | Flag.ZF, false), endsBlock: false },
  FCMOVNU: { execute: conditionalMove(Flag.PF, false), endsBlock: false },
  FFREE: { execute: ffree(false), endsBlock: false },
  FFREEP: { execute: ffree(true), endsBlock: false },
};
