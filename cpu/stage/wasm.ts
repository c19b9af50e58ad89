/**
 * A small WebAssembly assembler: typed expression trees and functions; modules are in wasm-module.ts. Encodings: WebAssembly Core
 * Specification, "Binary Format". An expression is generated where it is used; one that is used twice must be bound with Fn.let.
 */
import { Bytes } from './wasm-bytes';

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F64 = 0x7c;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof I64 | typeof F64 | typeof V128;

const Op = { LocalGet: 0x20, Call: 0x10, Select: 0x1b, I32Const: 0x41, I64Const: 0x42, SimdPrefix: 0xfd00 } as const;

/** An expression. `op` is the opcode; SIMD opcodes have 0xfd00 added. */
export interface Value {
  readonly op: number;
  readonly type: ValueType;
  readonly operands: readonly Value[];
  /** Constant, local or function index, or the static offset of a memory access. */
  readonly immediate?: number | bigint;
  /** Bytes that follow the opcode of a SIMD instruction (lane indexes). */
  readonly lanes?: readonly number[];
}

const node = (op: number, type: ValueType, ...operands: Value[]): Value => ({ op, type, operands });
export const c32 = (value: number): Value => ({ op: Op.I32Const, type: I32, operands: [], immediate: value | 0 });
export const c64 = (value: bigint | number): Value => ({ op: Op.I64Const, type: I64, operands: [], immediate: BigInt(value) });
export const isConstant = (v: Value): boolean => v.op === Op.I32Const || v.op === Op.I64Const;
const isZero = (v: Value): boolean => isConstant(v) && Number(v.immediate) === 0;

type Binary = (a: Value, b: Value) => Value;
/** A binary operator with one opcode for i32 and one for i64 operands. */
const binary =
  (op32: number, op64: number): Binary =>
  (a, b) =>
    node(a.type === I32 ? op32 : op64, a.type, a, b);
const compare =
  (op32: number, op64: number): Binary =>
  (a, b) =>
    node(a.type === I32 ? op32 : op64, I32, a, b);
const zeroRight =
  (f: Binary): Binary =>
  (a, b) =>
    isZero(b) ? a : f(a, b);

export const add = zeroRight(binary(0x6a, 0x7c));
export const sub = zeroRight(binary(0x6b, 0x7d));
export const mul = binary(0x6c, 0x7e);
export const divs = binary(0x6d, 0x7f);
export const divu = binary(0x6e, 0x80);
export const rems = binary(0x6f, 0x81);
export const remu = binary(0x70, 0x82);
export const and = binary(0x71, 0x83);
export const or = zeroRight(binary(0x72, 0x84));
export const xor = zeroRight(binary(0x73, 0x85));
export const shl = zeroRight(binary(0x74, 0x86));
export const sar = zeroRight(binary(0x75, 0x87));
export const shr = zeroRight(binary(0x76, 0x88));
export const rotl = binary(0x77, 0x89);
export const rotr = binary(0x78, 0x8a);
export const eqz = (a: Value): Value => node(a.type === I32 ? 0x45 : 0x50, I32, a);
export const eq: Binary = (a, b) => (isZero(b) ? eqz(a) : compare(0x46, 0x51)(a, b));
export const ne = compare(0x47, 0x52);
export const lts = compare(0x48, 0x53);
export const ltu = compare(0x49, 0x54);
export const gts = compare(0x4a, 0x55);
export const gtu = compare(0x4b, 0x56);
export const les = compare(0x4c, 0x57);
export const leu = compare(0x4d, 0x58);
export const ges = compare(0x4e, 0x59);
export const geu = compare(0x4f, 0x5a);
const unary =
  (op32: number, op64: number) =>
  (a: Value): Value =>
    node(a.type === I32 ? op32 : op64, a.type, a);
export const clz = unary(0x67, 0x79);
export const ctz = unary(0x68, 0x7a);
export const popcnt = unary(0x69, 0x7b);
/** i64 to i32, dropping the upper half. */
export const wrap = (a: Value): Value =>
  a.op === 0xac || a.op === 0xad ? a.operands[0] : a.op === Op.I64Const ? c32(Number(BigInt.asIntN(32, a.immediate as bigint))) : node(0xa7, I32, a);
export const zext = (a: Value): Value => (a.op === Op.I32Const ? c64((a.immediate as number) >>> 0) : node(0xad, I64, a));
export const sext = (a: Value): Value => (a.op === Op.I32Const ? c64(a.immediate as number) : node(0xac, I64, a));
/** i64, signed, to f64, rounded; and back, truncated: that traps when the result does not fit. */
export const doubleOf = (a: Value): Value => node(0xb9, F64, a);
export const integerOf = (a: Value): Value => node(0xb0, I64, a);
export const sext8 = unary(0xc0, 0xc2);
export const sext16 = unary(0xc1, 0xc3);
/** `a` when condition, else `b`; both are evaluated. */
export const select = (a: Value, b: Value, condition: Value): Value => node(Op.Select, a.type, a, b, condition);
export const call = (fn: number, type: ValueType, ...operands: Value[]): Value => ({ op: Op.Call, type, operands, immediate: fn });

const load =
  (op: number, type: ValueType) =>
  (address: Value, offset = 0): Value => ({ op, type, operands: [address], immediate: offset });
export const load32 = load(0x28, I32);
export const load64 = load(0x29, I64);
export const load8s = load(0x2c, I32);
export const load8u = load(0x2d, I32);
export const load16s = load(0x2e, I32);
export const load16u = load(0x2f, I32);
export const load128 = load(Op.SimdPrefix + 0x00, V128);
/** 32 or 64 bits into the lowest lane, zeros above. */
export const load32Zero = load(Op.SimdPrefix + 0x5c, V128);
export const load64Zero = load(Op.SimdPrefix + 0x5d, V128);

/** A SIMD operator by its number in the specification's vector instruction table. */
export const simd = (opcode: number, type: ValueType, operands: readonly Value[], lanes?: readonly number[]): Value => ({
  op: Op.SimdPrefix + opcode,
  type,
  operands,
  lanes,
});

const isMemoryAccess = (op: number): boolean => (op >= 0x28 && op <= 0x3e) || (op >= 0xfd00 && op <= 0xfd0b) || op === 0xfd5c || op === 0xfd5d;

/** A function under construction. Control structures take callbacks; labels are block depths. */
export class Fn {
  readonly code = new Bytes();
  private readonly locals: ValueType[] = [];
  private depth = 0;
  constructor(
    readonly parameters: readonly ValueType[],
    readonly results: readonly ValueType[],
  ) {}

  local(type: ValueType): number {
    this.locals.push(type);
    return this.parameters.length + this.locals.length - 1;
  }
  get(index: number): Value {
    const n = this.parameters.length;
    return { op: Op.LocalGet, type: index < n ? this.parameters[index] : this.locals[index - n], operands: [], immediate: index };
  }
  set(index: number, value: Value): void {
    this.generate(value);
    this.code.u8(0x21);
    this.code.u32(index);
  }
  /** Binds a value so that it may be used any number of times. Constants and locals pass through. */
  let(value: Value): Value {
    if (isConstant(value)) return value;
    const index = this.local(value.type);
    this.set(index, value);
    return this.get(index);
  }

  generate(v: Value): void {
    for (const operand of v.operands) this.generate(operand);
    const c = this.code;
    if (v.op >= Op.SimdPrefix) {
      c.u8(0xfd);
      c.u32(v.op - Op.SimdPrefix);
    } else c.u8(v.op);
    if (v.op === Op.I32Const) c.s32(v.immediate as number);
    else if (v.op === Op.I64Const) c.s64(v.immediate as bigint);
    else if (v.op === Op.LocalGet || v.op === Op.Call) c.u32(v.immediate as number);
    else if (isMemoryAccess(v.op)) {
      c.u8(0);
      c.u32(v.immediate as number);
    }
    if (v.lanes) c.raw(v.lanes);
  }

  private store(op: number, address: Value, value: Value, offset: number): void {
    this.generate(address);
    this.generate(value);
    if (op >= Op.SimdPrefix) {
      this.code.u8(0xfd);
      this.code.u32(op - Op.SimdPrefix);
    } else this.code.u8(op);
    this.code.u8(0);
    this.code.u32(offset);
  }
  store8(address: Value, value: Value, offset = 0): void {
    this.store(0x3a, address, value, offset);
  }
  store16(address: Value, value: Value, offset = 0): void {
    this.store(0x3b, address, value, offset);
  }
  store32(address: Value, value: Value, offset = 0): void {
    this.store(0x36, address, value, offset);
  }
  store64(address: Value, value: Value, offset = 0): void {
    this.store(0x37, address, value, offset);
  }
  store128(address: Value, value: Value, offset = 0): void {
    this.store(Op.SimdPrefix + 0x0b, address, value, offset);
  }

  if(condition: Value, then: () => void, otherwise?: () => void): void {
    this.generate(condition);
    this.code.u8(0x04);
    this.code.u8(0x40);
    this.depth++;
    then();
    if (otherwise) {
      this.code.u8(0x05);
      otherwise();
    }
    this.depth--;
    this.code.u8(0x0b);
  }
  /** Opens a loop; branch to the returned label repeats it. Close with end(). */
  loop(): number {
    this.code.u8(0x03);
    this.code.u8(0x40);
    return ++this.depth;
  }
  end(): void {
    this.depth--;
    this.code.u8(0x0b);
  }
  branch(label: number): void {
    this.code.u8(0x0c);
    this.code.u32(this.depth - label);
  }
  branchIf(label: number, condition: Value): void {
    this.generate(condition);
    this.code.u8(0x0d);
    this.code.u32(this.depth - label);
  }
  return(value?: Value): void {
    if (value) this.generate(value);
    this.code.u8(0x0f);
  }
  unreachable(): void {
    this.code.u8(0x00);
  }
  /** return_call_indirect through table 0. */
  tailCallIndirect(type: number, index: Value, ...operands: Value[]): void {
    for (const o of operands) this.generate(o);
    this.generate(index);
    this.code.u8(0x13);
    this.code.u32(type);
    this.code.u8(0);
  }
  /** return_call. */
  tailCall(fn: number, ...operands: Value[]): void {
    for (const o of operands) this.generate(o);
    this.code.u8(0x12);
    this.code.u32(fn);
  }
  /** call_indirect through table 0; leaves the results on the stack. */
  callIndirect(type: number, index: Value, ...operands: Value[]): void {
    for (const o of operands) this.generate(o);
    this.generate(index);
    this.code.u8(0x11);
    this.code.u32(type);
    this.code.u8(0);
  }
  /** Pops the stack into a local. */
  popTo(local: number): void {
    this.code.u8(0x21);
    this.code.u32(local);
  }

  encode(): Uint8Array {
    const body = new Bytes();
    const groups: [number, ValueType][] = [];
    for (const t of this.locals) {
      const last = groups[groups.length - 1];
      if (last && last[1] === t) last[0]++;
      else groups.push([1, t]);
    }
    body.u32(groups.length);
    for (const [count, t] of groups) {
      body.u32(count);
      body.u8(t);
    }
    body.raw(this.code.view());
    body.u8(0x0b);
    return body.view();
  }
}
