/** x87 comparison: FCOM, FUCOM, FICOM, FTST, FCOMI, FUCOMI with their popping forms, and FXAM. */
import { Flag, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstructions } from '../system/table';
import { INDEFINITE, Kind, zero, type Float } from './float-format';
import { Order, compare } from './softfloat';
import { readFloat, readInteger } from './x87-memory';
import { Fsw, begin, commitFlags, isEmpty, pop, read, recordPointers, setC1, setConditions, signExponentOf, stackUnderflow, x87 } from './x87-state';

type Execute = (cpu: Cpu, insn: Insn) => void;

/** C3 C2 C0 by Order. */
const CONDITIONS: readonly number[] = [Fsw.C0, Fsw.C3, 0, Fsw.C3 | Fsw.C2 | Fsw.C0];
/** ZF PF CF by Order; OF, SF and AF are cleared. */
const RFLAGS: readonly number[] = [Flag.CF, Flag.ZF, 0, Flag.ZF | Flag.PF | Flag.CF];

enum Source {
  Float,
  Integer,
  Zero,
}

interface Comparison {
  /** A quiet NaN is an invalid operand. */
  readonly signaling: boolean;
  readonly pops: number;
  readonly source?: Source;
  /** Sets RFLAGS rather than C3, C2, C0. */
  readonly rflags?: boolean;
}

function comparison({ signaling, pops, source = Source.Float, rflags = false }: Comparison): Execute {
  const set = (cpu: Cpu, order: Order): void => {
    if (rflags) cpu.setArithmetic(RFLAGS[order]);
    else setConditions(cpu, CONDITIONS[order]);
  };
  /** An unmasked exception keeps operands on the stack; the result is reported then by AMD's processors only. */
  const report = (cpu: Cpu, order: Order, complete: boolean): void => {
    if (complete || cpu.profile.vendor === 'amd') set(cpu, order);
    if (complete) for (let i = 0; i < pops; i++) pop(cpu);
  };
  return (cpu, insn) => {
    begin(cpu);
    const memory = insn.form === 'm';
    let other: Float = source === Source.Zero ? zero(0) : INDEFINITE;
    if (memory) other = source === Source.Integer ? readInteger(cpu, insn) : readFloat(cpu, insn);
    recordPointers(cpu, insn);
    // FCOM ST(i); FCOMI ST(0), ST(i); FCOMPP with ST(1) implied.
    const i = insn.form === 't' ? insn.dst : insn.form === 'tt' ? insn.src : 1;
    const inRegister = !memory && source === Source.Float;
    if (isEmpty(cpu, 0) || (inRegister && isEmpty(cpu, i))) {
      report(cpu, Order.Unordered, stackUnderflow(cpu));
      return;
    }
    if (inRegister) other = read(cpu, i);
    const order = compare(read(cpu, 0), other, signaling, x87);
    report(cpu, order, commitFlags(cpu));
  };
}

/** C3 C2 C0 for what ST(0) holds. */
function classOf(cpu: Cpu): number {
  if (isEmpty(cpu, 0)) return Fsw.C3 | Fsw.C0;
  const value = read(cpu, 0);
  switch (value.kind) {
    case Kind.Unsupported:
      return 0;
    case Kind.QuietNaN:
    case Kind.SignalingNaN:
      return Fsw.C0;
    case Kind.Infinity:
      return Fsw.C2 | Fsw.C0;
    case Kind.Zero:
      return Fsw.C3;
    case Kind.Finite:
      return value.denormal ? Fsw.C3 | Fsw.C2 : Fsw.C2;
  }
}

function fxam(cpu: Cpu, insn: Insn): void {
  begin(cpu);
  recordPointers(cpu, insn);
  setConditions(cpu, classOf(cpu));
  setC1(cpu, (signExponentOf(cpu, 0) & 0x8000) !== 0);
}

const quiet = (pops: number, rflags = false): Comparison => ({ signaling: false, pops, rflags });
const signaling = (pops: number, rflags = false): Comparison => ({ signaling: true, pops, rflags });

export const X87_COMPARE: SystemInstructions = {
  FCOM: { execute: comparison(signaling(0)), endsBlock: false },
  FCOMP: { execute: comparison(signaling(1)), endsBlock: false },
  FCOMPP: { execute: comparison(signaling(2)), endsBlock: false },
  FUCOM: { execute: comparison(quiet(0)), endsBlock: false },
  FUCOMP: { execute: comparison(quiet(1)), endsBlock: false },
  FUCOMPP: { execute: comparison(quiet(2)), endsBlock: false },
  FICOM: { execute: comparison({ signaling: true, pops: 0, source: Source.Integer }), endsBlock: false },
  FICOMP: { execute: comparison({ signaling: true, pops: 1, source: Source.Integer }), endsBlock: false },
  FTST: { execute: comparison({ signaling: true, pops: 0, source: Source.Zero }), endsBlock: false },
  FCOMI: { execute: comparison(signaling(0, true)), endsBlock: false },
  FCOMIP: { execute: comparison(signaling(1, true)), endsBlock: false },
  FUCOMI: { execute: comparison(quiet(0, true)), endsBlock: false },
  FUCOMIP: { execute: comparison(quiet(1, true)), endsBlock: false },
  FXAM: { execute: fxam, endsBlock: false },
};
