/**
 * Tier 1: every (operation, size, form) becomes one function (cpu, record) -> status that takes its operands from a decoded
 * record and calls the next record's handler as a tail call. Dispatch is decided in one place, next().
 */
import { R, RECORD_SIZE, S, T, TLB, TLB_BITS, TLB_ENTRY, TLB_VICTIM } from '../layout';
import { FlagKind } from '../flags';
import { SlowFlag } from '../slow-path';
import type { Definition } from '../instructions/definition';
import { DEFINITIONS } from '../instructions/definitions';
import { MAX_BLOCK, Rec, Status } from './record';
import { buildArithmetic } from './arithmetic-flags';
import { buildArrive, buildBranch, buildJump, buildTarget, ifNonCanonical, ipOf } from './branch-target';
import { Stage } from './stage';
import type { SharedFunctions, Specialisation } from './staging';
import {
  I32,
  I64,
  add,
  and,
  c32,
  c64,
  call,
  eq,
  eqz,
  gtu,
  load16u,
  load32,
  load64,
  load8u,
  lts,
  ltu,
  or,
  sext,
  shl,
  shr,
  sub,
  wrap,
  zext,
  type Fn,
  type Value,
} from './wasm';
import { Module } from './wasm-module';

/** Handlers that stand for no instruction. */
export const Special = {
  /** Continue at NEXT (end of the decoded run): charges COUNT. */
  Fall: 'FALL',
  /** The block was invalidated: look its start (IMMEDIATE) up again. */
  Stale: 'STALE',
  /** TypeScript handler inside a block / ending it. */
  System: 'SYSTEM',
  SystemEnd: 'SYSTEM_END',
  /** TEMP register DST = segment base (at SRC) + (address & mask at COUNT..): 64-bit mode. */
  Address: 'ADDRESS',
  /** The same with limit checks, for reading and writing. */
  AddressRead: 'ADDRESS_READ',
  AddressWrite: 'ADDRESS_WRITE',
} as const;

export interface Imports {
  /** Slow path of a memory access; BigInt-free. Returns a host address or 0. */
  translate(cpu: number, record: number, low: number, high: number, flags: number): number;
  /** Runs the TypeScript handler of a record: 0, or a Status. */
  system(cpu: number, record: number): number;
  /** 128-bit division: 0, or 1 for #DE. */
  divide(cpu: number, divisor: bigint, signed: number): number;
}

class InterpreterStage extends Stage {
  readonly cpu: Value;
  readonly record: Value;

  constructor(f: Fn, spec: Specialisation, shared: SharedFunctions) {
    super(f, spec, shared);
    this.cpu = f.get(0);
    this.record = f.get(1);
  }

  slot(which: 'dst' | 'src'): Value {
    return load16u(this.record, which === 'dst' ? Rec.DST : Rec.SRC);
  }
  immediate64(): Value {
    return load64(this.record, Rec.IMMEDIATE);
  }
  effectiveAddress(): Value {
    const base = load64(add(this.cpu, load16u(this.record, Rec.BASE)));
    const index = load64(add(this.cpu, load16u(this.record, Rec.INDEX)));
    return add(add(base, shl(index, zext(load8u(this.record, Rec.SHIFT)))), sext(load32(this.record, Rec.DISPLACEMENT)));
  }
  private pageBase(): Value {
    return load64(this.cpu, R.PAGE_BASE);
  }
  nextLinear(): Value {
    return add(this.pageBase(), zext(load16u(this.record, Rec.NEXT)));
  }
  targetLinear(): Value {
    return add(this.pageBase(), this.immediate64());
  }

  leave(status: Status): void {
    this.f.store32(this.cpu, this.record, R.EXIT_RECORD);
    this.f.return(c32(status));
  }

  /** Continues with the handler of `record`. */
  next(record: Value): void {
    const r = this.let(record);
    this.f.tailCallIndirect(this.shared.handlerType, load32(r, Rec.HANDLER), this.cpu, r);
  }
  nextRecord(): void {
    this.next(add(this.record, c32(RECORD_SIZE)));
  }
  skipRecord(): void {
    this.next(add(this.record, c32(2 * RECORD_SIZE)));
  }
  leaveUnless(condition: Value): void {
    this.f.if(eqz(condition), () => this.nextRecord());
  }

  /** Leaves with R.RIP at a linear address. */
  private leaveAt(status: Status, linear: Value): void {
    this.f.store64(this.cpu, ipOf(this.cpu, linear), R.RIP);
    this.leave(status);
  }
  /** Charges the block; when the budget runs low, `leave` leaves. */
  private charge(leave: () => void): void {
    const left = this.let(sub(load32(this.cpu, R.BUDGET), load8u(this.record, Rec.COUNT)));
    this.f.store32(this.cpu, left, R.BUDGET);
    this.f.if(lts(left, c32(MAX_BLOCK)), leave);
  }
  private leaveAtTarget(): void {
    this.f.return(call(this.shared.arrive, I32, this.cpu, this.record, this.targetLinear(), c32(Status.Budget)));
  }
  private follow(): void {
    const link = this.let(load32(this.record, Rec.LINK));
    this.f.if(eqz(link), () => this.f.tailCall(this.shared.branch, this.cpu, this.record, this.targetLinear()));
    this.next(link);
  }
  goDirect(): void {
    this.charge(() => this.leaveAtTarget());
    this.follow();
  }
  goIf(condition: Value): void {
    const taken = this.let(condition);
    this.charge(() => {
      this.f.if(taken, () => this.leaveAtTarget());
      this.leaveAt(Status.Budget, this.nextLinear());
    });
    this.f.if(taken, () => this.follow());
    this.nextRecord();
  }
  goTo(linear: Value): void {
    const target = this.let(linear);
    this.charge(() => this.leaveAt(Status.Budget, target));
    this.f.tailCall(this.shared.jump, this.cpu, this.record, target);
  }
  /** Goes on behind the last record of a run. That is no branch: what is wrong with the address is found out there. */
  goOn(): void {
    this.charge(() => this.leaveAt(Status.Budget, this.targetLinear()));
    this.follow();
  }
  /** Goes to where a TypeScript instruction left R.RIP. */
  goToRip(): void {
    const target = this.let(and(add(load64(this.cpu, R.RIP), load64(this.cpu, R.CODE_BASE)), load64(this.cpu, R.IP_MASK)));
    this.charge(() => this.leaveAt(Status.Budget, target));
    // Never to the jump cache, whose tags distinguish canonical addresses only.
    ifNonCanonical(this.f, this.cpu, target, () => this.leaveAt(Status.Link, target));
    this.f.tailCall(this.shared.jump, this.cpu, this.record, target);
  }
}

/** Operand-size code in handler lookups. */
const SIZE_CODE: Record<number, number> = { 8: 0, 16: 1, 32: 2, 64: 3, 80: 4, 128: 5 };
const SIZES = 6;

/** Table indexes of the handlers of one operation. */
class HandlerSet {
  private readonly byForm = new Map<string, Int32Array>();
  put(form: string, size: number, sourceSize: number, legacy: boolean, index: number): void {
    let table = this.byForm.get(form);
    if (table === undefined) this.byForm.set(form, (table = new Int32Array(SIZES * SIZES * 2)));
    table[HandlerSet.key(size, sourceSize, legacy)] = index;
  }
  private static key(size: number, sourceSize: number, legacy: boolean): number {
    return (SIZE_CODE[size] * SIZES + SIZE_CODE[sourceSize]) * 2 + (legacy ? 1 : 0);
  }
  /** One handler for a form, whatever the sizes. */
  putAny(form: string, index: number): void {
    this.byForm.set(form, new Int32Array(SIZES * SIZES * 2).fill(index));
  }
  /** Table index, or 0 when there is no such handler. */
  find(form: string, size: number, sourceSize: number, legacy: boolean): number {
    const table = this.byForm.get(form);
    return table === undefined ? 0 : table[HandlerSet.key(size, sourceSize, legacy)];
  }
}

/** Runs records from `record` until something needs TypeScript. */
export type RunRecords = (cpu: number, record: number) => Status;

/** The compiled interpreter: its handlers and how to enter them. The same for every machine: interpreter() stages it once. */
export class Interpreter {
  private readonly sets = new Map<string, HandlerSet>();
  private readonly definitions = new Map<string, Definition>();
  private readonly special = new Map<string, number>();
  /** Table indexes of JCC by condition, then by producer kind * 4 + log2 size; 0 kind = unknown producer. */
  private readonly conditions: Int32Array[] = [];
  readonly handlerCount: number;
  readonly moduleBytes: number;
  private readonly compiled: WebAssembly.Module;

  constructor() {
    const module = new Module(1);
    const slowTranslate = module.importFunction('translate', [I32, I32, I32, I32, I32], [I32]);
    const system = module.importFunction('system', [I32, I32], [I32]);
    const divide = module.importFunction('divide', [I32, I64, I32], [I32]);
    const handlerType = module.type([I32, I32], [I32]);

    const arithmetic = module.function([I32], [I32]);
    buildArithmetic(arithmetic.fn);
    const translate = module.function([I32, I32, I64, I32], [I32]);
    buildTranslate(translate.fn, slowTranslate);
    const jump = module.function([I32, I32, I64], [I32]);
    buildJump(jump.fn, handlerType);
    const target = module.function([I32, I32, I64], [I64]);
    buildTarget(target.fn);
    const branch = module.function([I32, I32, I64], [I32]);
    buildBranch(branch.fn, handlerType, target.index);
    const arrive = module.function([I32, I32, I64, I32], [I32]);
    buildArrive(arrive.fn, target.index);
    const shared: SharedFunctions = {
      ...{ translate: translate.index, arithmetic: arithmetic.index, jump: jump.index, target: target.index, branch: branch.index, arrive: arrive.index },
      ...{ system, divide, handlerType },
    };

    const handler = (spec: Specialisation, body: (e: InterpreterStage) => void): number => {
      const { fn, index } = module.function([I32, I32], [I32]);
      body(new InterpreterStage(fn, spec, shared));
      if (fn.code.length === 0) fn.unreachable();
      return module.elements.push(index);
    };
    const blank: Specialisation = { op: '', size: 64, sourceSize: 64, form: '', cc: 0, legacy: false };
    this.buildSpecials(handler, blank);
    for (const d of DEFINITIONS) this.buildDefinition(d, handler);

    const entry = module.function([I32, I32], [I32]);
    entry.fn.callIndirect(handlerType, load32(entry.fn.get(1), Rec.HANDLER), entry.fn.get(0), entry.fn.get(1));
    module.export('run', entry.index);
    const bytes = module.encode();
    this.handlerCount = module.elements.length;
    this.moduleBytes = bytes.length;
    this.compiled = new WebAssembly.Module(bytes);
  }

  /** The interpreter of the machine with this memory. */
  instantiate(memory: WebAssembly.Memory, imports: Imports): RunRecords {
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: this.handlerCount + 1 });
    const instance = new WebAssembly.Instance(this.compiled, { env: { ...imports, memory, table } as unknown as WebAssembly.ModuleImports });
    return instance.exports.run as RunRecords;
  }

  private buildDefinition(d: Definition, handler: (spec: Specialisation, body: (e: InterpreterStage) => void) => number): void {
    this.definitions.set(d.op, d);
    // One mnemonic may have several definitions (MMX and SSE forms).
    const set = this.sets.get(d.op) ?? new HandlerSet();
    this.sets.set(d.op, set);
    const build = (spec: Specialisation): number =>
      handler(spec, (e) => {
        d.semantics(e);
        if (!d.endsBlock) {
          e.commit();
          if (d.fallback === true) e.skipRecord();
          else e.nextRecord();
        }
        if (d.endsBlock) e.f.unreachable();
      });
    for (const size of d.sizes) {
      for (const sourceSize of d.sourceSizes ?? [size]) {
        // A narrower source: MOVZX and its kind. Conversions go both ways.
        if (d.sourceSizes && sourceSize > size && d.fallback !== true) continue;
        for (const form of d.forms) {
          for (const legacy of d.usesStack ? [false, true] : [false]) {
            const spec = { op: d.op, size, sourceSize, form, cc: 0, legacy };
            if (d.anySize) {
              set.putAny(form, build(spec));
              continue;
            }
            if (!d.conditional) {
              const index = build(spec);
              set.put(form, size, sourceSize, legacy, index);
              if (!d.usesStack) set.put(form, size, sourceSize, true, index);
              continue;
            }
            for (let cc = 0; cc < 16; cc++) {
              const index = build({ ...spec, cc });
              set.put(`${form}${cc}`, size, sourceSize, false, index);
              set.put(`${form}${cc}`, size, sourceSize, true, index);
              if (d.conditional === 'specialised') this.buildProducers(index, cc, spec, build);
            }
          }
        }
      }
    }
  }

  private buildProducers(plain: number, cc: number, spec: Specialisation, build: (spec: Specialisation) => number): void {
    const row = new Int32Array(28).fill(plain);
    this.conditions[cc] = row;
    if ((cc & ~1) === 4) return; // ZF needs only the result
    for (const kind of [FlagKind.ADD, FlagKind.SUB, FlagKind.LOGIC, FlagKind.INC, FlagKind.DEC, FlagKind.MIX]) {
      for (const size of [8, 16, 32, 64]) row[kind * 4 + SIZE_CODE[size]] = build({ ...spec, cc, producer: { kind, size } });
    }
  }

  private buildSpecials(handler: (spec: Specialisation, body: (e: InterpreterStage) => void) => number, blank: Specialisation): void {
    const put = (name: string, body: (e: InterpreterStage) => void): void => void this.special.set(name, handler(blank, body));
    put(Special.Fall, (e) => {
      e.goOn();
      e.f.unreachable();
    });
    put(Special.Stale, (e) => {
      e.f.store64(e.cpu, ipOf(e.cpu, e.targetLinear()), R.RIP);
      e.leave(Status.Lookup);
      e.f.unreachable();
    });
    put(Special.System, (e) => {
      e.callSystem();
      e.nextRecord();
    });
    put(Special.SystemEnd, (e) => {
      e.callSystem();
      e.goToRip();
    });
    // Segment addressing: DST temp, SRC offset of the segment register's words, IMMEDIATE low half: offset of the mask, high half: bytes - 1.
    const offset = (e: InterpreterStage): Value => e.let(and(e.effectiveAddress(), load64(add(e.cpu, load32(e.record, Rec.IMMEDIATE)))));
    put(Special.Address, (e) => {
      const linear = add(offset(e), load64(add(e.cpu, load16u(e.record, Rec.SRC))));
      e.f.store64(add(e.cpu, e.slot('dst')), linear);
      e.nextRecord();
    });
    for (const [name, low, high] of [
      [Special.AddressRead, S.READ_LOW, S.READ_HIGH],
      [Special.AddressWrite, S.WRITE_LOW, S.WRITE_HIGH],
    ] as const) {
      put(name, (e) => {
        const o = offset(e);
        const segment = e.let(add(e.cpu, load16u(e.record, Rec.SRC)));
        const last = add(o, zext(load32(e.record, Rec.IMMEDIATE + 4)));
        e.f.if(or(ltu(o, load64(segment, low)), gtu(last, load64(segment, high))), () => e.leave(Status.SegmentFault));
        e.f.store64(add(e.cpu, e.slot('dst')), and(add(o, load64(segment, S.BASE)), c64(0xffff_ffff)));
        e.nextRecord();
      });
    }
  }

  specialHandler(name: string): number {
    return this.special.get(name)!;
  }
  definition(op: string): Definition | undefined {
    return this.definitions.get(op);
  }
  /** Table index of the handler of an instruction, or 0 if none is staged. */
  handler(op: string, form: string, size: number, sourceSize: number, legacy: boolean): number {
    const set = this.sets.get(op);
    return set === undefined ? 0 : set.find(form, size, sourceSize, legacy);
  }
  /** JCC by condition and producer of the flags (FlagKind * 4 + log2 of the bytes; 0 when unknown). */
  conditionHandler(cc: number, producer: number): number {
    return this.conditions[cc][producer];
  }
}

let staged: Interpreter | undefined;
export const interpreter = (): Interpreter => (staged ??= new Interpreter());

/** (cpu, record, linear, flags) -> host address or 0: the victim way of the TLB, then TypeScript. A victim hit swaps the two entries. */
function buildTranslate(f: Fn, slow: number): void {
  const [cpu, record, linear, flags] = [f.get(0), f.get(1), f.get(2), f.get(3)];
  const entry = f.let(add(cpu, shl(and(wrap(shr(linear, c64(12))), c32((1 << TLB_BITS) - 1)), c32(Math.log2(TLB_ENTRY)))));
  const last = add(linear, zext(sub(and(flags, c32(0x1f)), c32(1))));
  const tag = f.let(or(and(last, c64(-4096)), load64(cpu, R.CONTEXT)));
  const write = and(shr(flags, c32(Math.log2(SlowFlag.Write))), c32(1));
  const stored = load64(add(entry, shl(write, c32(3))), TLB_VICTIM);
  f.if(eq(stored, tag), () => {
    for (let i = 0; i < TLB_ENTRY; i += 8) {
      const mine = f.let(load64(entry, TLB + i));
      f.store64(entry, load64(entry, TLB_VICTIM + i), TLB + i);
      f.store64(entry, mine, TLB_VICTIM + i);
    }
    f.return(add(wrap(linear), load32(entry, TLB + T.ADDEND)));
  });
  f.generate(call(slow, I32, cpu, record, wrap(linear), wrap(shr(linear, c64(32))), flags));
}
