/** The part of a stage that deals with values and registers: see stage.ts. */
import { R } from '../layout';
import type { Status } from './record';
import type { OperandSize, SharedFunctions, Specialisation } from './staging';
import { type Fn, type Value, I32, I64, add, and, c32, c64, load128, load16u, load32, load64, load8u, sext, sext16, sext8, shr, wrap, zext } from './wasm';

export abstract class RegisterStage {
  protected readonly commits: (() => void)[] = [];
  protected address: Value | undefined;
  /** Host address of a memory destination translated for writing. */
  protected host: Value | undefined;

  constructor(
    readonly f: Fn,
    readonly spec: Specialisation,
    readonly shared: SharedFunctions,
  ) {}

  get size(): OperandSize {
    return this.spec.size;
  }
  get cc(): number {
    return this.spec.cc;
  }

  // ---- what a staging supplies ----
  abstract readonly cpu: Value;
  abstract readonly record: Value;
  /** Byte offset (i32) of a register operand in the vCPU block. */
  abstract slot(which: 'dst' | 'src'): Value;
  abstract immediate64(): Value;
  abstract effectiveAddress(): Value;
  /** Linear address of the next instruction. */
  abstract nextLinear(): Value;
  /** Linear target of a direct branch. */
  abstract targetLinear(): Value;
  /** Leaves compiled code. */
  abstract leave(status: Status): void;
  /** Ends the block: charges it and goes to the direct target / where `condition` says / a linear address. */
  /** Leaves the instruction to its TypeScript implementation: Definition.fallback. Nothing must have changed yet. */
  abstract leaveUnless(condition: Value): void;
  abstract goDirect(): void;
  abstract goIf(condition: Value): void;
  abstract goTo(linear: Value): void;

  // ---- small things ----
  let(v: Value): Value {
    return this.f.let(v);
  }
  /** A constant of the operand width. */
  k(n: number | bigint, size: number = this.size): Value {
    return size === 64 ? c64(n) : c32(Number(BigInt.asIntN(32, BigInt(n))));
  }
  /** Cuts a value to the operand width (zero-extended). */
  cut(v: Value, size: number = this.size): Value {
    return size === 8 ? and(v, c32(0xff)) : size === 16 ? and(v, c32(0xffff)) : v;
  }
  /** Sign-extends an operand-width value to i64. */
  signed64(v: Value, size: number = this.size): Value {
    return size === 64 ? v : sext(size === 32 ? v : size === 16 ? sext16(v) : sext8(v));
  }
  /** Sign-extends within the operand's own wasm type. */
  signed(v: Value, size: number = this.size): Value {
    return size === 8 ? sext8(v) : size === 16 ? sext16(v) : v;
  }
  /** Top bit as i32 0/1. */
  msb(v: Value, size: number = this.size): Value {
    return size === 64 ? wrap(shr(v, c64(63))) : and(shr(v, c32(size - 1)), c32(1));
  }
  toI64(v: Value): Value {
    return v.type === I64 ? v : zext(v);
  }
  toI32(v: Value): Value {
    return v.type === I32 ? v : wrap(v);
  }

  // ---- registers ----
  private at(slot: Value): Value {
    return add(this.cpu, slot);
  }
  loadSized(host: Value, size: number, offset = 0): Value {
    return size === 128
      ? load128(host, offset)
      : size === 64
        ? load64(host, offset)
        : size === 32
          ? load32(host, offset)
          : size === 16
            ? load16u(host, offset)
            : load8u(host, offset);
  }
  storeSized(host: Value, v: Value, size: number, offset = 0): void {
    const f = this.f;
    if (size === 128) f.store128(host, v, offset);
    else if (size === 64) f.store64(host, v, offset);
    else if (size === 32) f.store32(host, v, offset);
    else if (size === 16) f.store16(host, v, offset);
    else f.store8(host, v, offset);
  }
  readRegister(which: 'dst' | 'src', size: number): Value {
    return this.loadSized(this.at(this.slot(which)), size);
  }
  /** A general register by number, 64 bits. */
  gpr(n: number): Value {
    return load64(this.cpu, R.GPR + n * 8);
  }
  word64(offset: number): Value {
    return load64(this.cpu, offset);
  }
  word32(offset: number): Value {
    return load32(this.cpu, offset);
  }
  setGpr(n: number, value: Value): void {
    const v = this.let(value);
    this.commits.push(() => this.f.store64(this.cpu, v, R.GPR + n * 8));
  }
  /** Writes a general register by number with the rules of the operand size. */
  setGprSized(n: number, value: Value, size: number = this.size): void {
    const v = this.let(value);
    this.commits.push(() => (size === 32 ? this.f.store64(this.cpu, zext(v), R.GPR + n * 8) : this.storeSized(this.cpu, v, size, R.GPR + n * 8)));
  }
  setWord32(offset: number, value: Value): void {
    const v = this.let(value);
    this.commits.push(() => this.f.store32(this.cpu, v, offset));
  }
  setRegister(which: 'dst' | 'src', value: Value, size: number): void {
    const v = this.let(value);
    this.commits.push(() => {
      const host = this.at(this.slot(which));
      if (size === 32) this.f.store64(host, zext(v));
      else this.storeSized(host, v, size);
    });
  }
  commit(): void {
    for (const c of this.commits) c();
    this.commits.length = 0;
    this.address = this.host = undefined;
  }
  /** Register and flag writes queued inside `body` happen only if `condition` (i32) is true; what they need is computed anyway. */
  when(condition: Value, body: () => void): void {
    const test = this.let(condition);
    const outer = this.commits.splice(0);
    body();
    const inner = this.commits.splice(0);
    this.commits.push(...outer, () => this.f.if(test, () => inner.forEach((c) => c())));
  }
  /** Queues any other effect behind the stores. */
  onCommit(effect: () => void): void {
    this.commits.push(effect);
  }
}
