/** The part of a stage that deals with operands and memory: see stage.ts. */
import { R, T, TLB, TLB_BITS, TLB_ENTRY } from '../layout';
import { SlowFlag } from '../slow-path';
import { Status } from './record';
import { RegisterStage } from './register-stage';
import { type Value, I32, add, and, c32, c64, call, eq, eqz, load32, load64, load8u, or, shl, shr, wrap } from './wasm';

export abstract class OperandStage extends RegisterStage {
  // ---- operands ----
  linearAddress(): Value {
    return (this.address ??= this.let(this.effectiveAddress()));
  }
  /** Moves the memory operand by a signed i64 number of bytes (bit strings). */
  moveAddress(by: Value): void {
    this.address = this.let(add(this.linearAddress(), by));
  }
  private kind(which: 0 | 1): string {
    return this.spec.form[which];
  }
  get destinationInMemory(): boolean {
    return this.kind(0) === 'm';
  }

  immediate(size: number = this.size): Value {
    const v = this.immediate64();
    return size === 64 ? v : this.cut(wrap(v), size);
  }
  /** The last operand: register, memory, immediate or CL. */
  source(size: number = this.spec.sourceSize): Value {
    const form = this.spec.form;
    switch (form[form.length - 1]) {
      case 'i':
        return this.immediate(size);
      case 'c':
        return load8u(this.cpu, R.GPR + 8);
      case 'm':
        return this.let(this.load(size, this.linearAddress()));
      default:
        return this.let(this.readRegister('src', size));
    }
  }
  /** Operand 2 of a three-operand form. */
  second(size: number = this.size): Value {
    return this.kind(1) === 'm' ? this.let(this.load(size, this.linearAddress())) : this.let(this.readRegister('src', size));
  }
  /** The first operand, to be replaced: a memory destination is translated for writing, once. */
  destination(size: number = this.size): Value {
    if (!this.destinationInMemory) return this.let(this.readRegister('dst', size));
    this.host = this.translate(this.linearAddress(), size, SlowFlag.Write | SlowFlag.ReadModifyWrite);
    return this.let(this.loadSized(this.host, size));
  }
  /** The first operand, only read. */
  peek(size: number = this.size): Value {
    return this.destinationInMemory ? this.let(this.load(size, this.linearAddress())) : this.let(this.readRegister('dst', size));
  }
  write(value: Value, size: number = this.size): void {
    if (!this.destinationInMemory) return this.setRegister('dst', value, size);
    this.storeSized(this.host ?? this.translate(this.linearAddress(), size, SlowFlag.Write), value, size);
  }

  // ---- memory ----
  /** Host address for an access of `size` bits at a linear address; leaves on a fault. */
  translate(linear: Value, size: number, flags: number): Value {
    const f = this.f;
    const bytes = size / 8;
    const la = this.let(linear);
    const entry = this.let(add(this.cpu, shl(and(wrap(shr(la, c64(12))), c32((1 << TLB_BITS) - 1)), c32(Math.log2(TLB_ENTRY)))));
    const host = f.local(I32);
    const tag = or(and(add(la, c64(bytes - 1)), c64(-4096)), load64(this.cpu, R.CONTEXT));
    f.if(
      eq(load64(entry, TLB + (flags & SlowFlag.Write ? T.WRITE : T.READ)), tag),
      () => f.set(host, add(wrap(la), load32(entry, TLB + T.ADDEND))),
      () => {
        f.set(host, call(this.shared.translate, I32, this.cpu, this.record, la, c32(bytes | flags)));
        f.if(eqz(f.get(host)), () => this.leave(Status.Unwound));
      },
    );
    return f.get(host);
  }
  load(size: number, linear: Value): Value {
    return this.loadSized(this.translate(linear, size, 0), size);
  }
  store(size: number, linear: Value, v: Value): void {
    const value = this.let(v);
    this.storeSized(this.translate(linear, size, SlowFlag.Write), value, size);
  }
}
