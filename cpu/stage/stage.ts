/**
 * What an instruction definition is written against. A definition states the semantics once; a staging turns it into
 * WebAssembly: with operands taken from a decoded record (interpreter.ts), or known constants (a later JIT).
 *
 * Values: 64-bit operands are i64, narrower ones zero-extended i32, vectors v128.
 * Two rules make definitions restartable: register and flag writes are queued until commit(), and memory stores come
 * before them; so a fault leaves the state as it was. A value used twice is bound with let().
 */
import { Segment } from '../decoder/insn';
import { R, S, seg } from '../layout';
import { SlowFlag } from '../slow-path';
import { Cr0 } from '../registers';
import { FlagStage } from './flag-stage';
import { Status } from './record';
import { codeLimit, ifNonCanonical, refused } from './branch-target';
import { type Value, I32, I64, add, and, c32, c64, call, gtu, load32, load64, ltu, or, shl, sub, wrap, xor } from './wasm';

const [FSW_ES, FSW_TOP] = [0x80, 0x3800];

export abstract class Stage extends FlagStage {
  // ---- vectors ----
  /** #UD or #NM if SSE instructions may not execute now. */
  checkSse(): void {
    this.f.if(this.word32(R.SSE_STATE), () => this.leave(Status.SseUnavailable));
  }
  /** #UD, #NM or #MF if MMX instructions may not execute now; on commit the x87 tags become valid and TOP 0. */
  enterMmx(): void {
    const unavailable = and(this.word32(R.CR0), c32(Cr0.EM | Cr0.TS));
    // CR0.NE and a pending exception. DEVIATION: with NE = 0 a pending exception is ignored, as x87 instructions do.
    const pending = and(and(this.word32(R.FSW), c32(FSW_ES)), shl(this.word32(R.CR0), c32(2)));
    this.f.if(or(unavailable, pending), () => this.leave(Status.MmxUnavailable));
    this.commits.push(() => {
      this.f.store32(this.cpu, c32(0xff), R.FTW);
      this.f.store32(this.cpu, and(load32(this.cpu, R.FSW), c32(~FSW_TOP)), R.FSW);
    });
  }
  /** Queues the write of an MMX register (i64): sign and exponent of the x87 register become ones. */
  setMmx(which: 'dst' | 'src', value: Value): void {
    const v = this.let(value);
    this.commits.push(() => {
      const host = this.vectorHost(which);
      this.f.store64(host, v);
      this.f.store16(host, c32(0xffff), 8);
    });
  }
  /** Host address (i32) of a vector register operand. */
  vectorHost(which: 'dst' | 'src'): Value {
    return add(this.cpu, this.slot(which));
  }
  /** Host address of the last operand, register or memory of `bits`; a memory operand must be aligned to its size if `aligned`. */
  vectorSource(bits: number, aligned: boolean): Value {
    if (!this.spec.form.includes('m')) return this.let(this.vectorHost('src'));
    this.checkAlignment(bits, aligned);
    return this.translate(this.linearAddress(), bits, 0);
  }
  /** Host address for writing a memory operand. */
  vectorDestination(bits: number, aligned: boolean): Value {
    this.checkAlignment(bits, aligned);
    return this.translate(this.linearAddress(), bits, SlowFlag.Write);
  }
  private checkAlignment(bits: number, aligned: boolean): void {
    if (aligned) this.f.if(and(wrap(this.linearAddress()), c32(bits / 8 - 1)), () => this.leave(Status.Misaligned));
  }

  // ---- stack ----
  /** Linear address of the stack slot at `offset` (an i64 already masked), with SS checks outside 64-bit mode. */
  private stackLinear(offset: Value, size: number, write: boolean): Value {
    if (!this.spec.legacy) return offset;
    const o = this.let(offset);
    const low = write ? S.WRITE_LOW : S.READ_LOW;
    const high = write ? S.WRITE_HIGH : S.READ_HIGH;
    const ss = (item: number): Value => load64(this.cpu, seg(Segment.SS, item));
    this.f.if(or(ltu(o, ss(low)), gtu(add(o, c64(size / 8 - 1)), ss(high))), () => this.leave(Status.SegmentFault));
    return and(add(o, ss(S.BASE)), c64(0xffff_ffffn));
  }
  private maskStack(v: Value): Value {
    return this.spec.legacy ? and(v, this.word64(R.STACK_MASK)) : v;
  }
  /** New RSP value from a masked offset: bits above the mask stay (16-bit stacks). */
  private mergeStack(offset: Value): Value {
    if (!this.spec.legacy) return offset;
    return or(and(and(this.gpr(4), xor(this.word64(R.STACK_MASK), c64(-1))), c64(0xffff_ffffn)), offset);
  }
  push(value: Value, size: number): void {
    const v = this.let(value);
    const sp = this.let(this.maskStack(sub(this.gpr(4), c64(size / 8))));
    this.store(size, this.stackLinear(sp, size, true), v);
    this.setGpr(4, this.mergeStack(sp));
  }
  /** Pops a value; RSP moves on commit by size / 8 + `release`. */
  pop(size: number, release: Value = c64(0)): Value {
    const sp = this.let(this.maskStack(this.gpr(4)));
    const v = this.let(this.load(size, this.stackLinear(sp, size, false)));
    this.setGpr(4, this.mergeStack(this.let(this.maskStack(add(add(sp, c64(size / 8)), release)))));
    return v;
  }
  /** Reads the stack at an offset (i64) without moving RSP. */
  stackRead(offset: Value, size: number): Value {
    return this.let(this.load(size, this.stackLinear(this.let(this.maskStack(offset)), size, false)));
  }
  setStackPointer(offset: Value): void {
    this.setGpr(4, this.mergeStack(this.let(this.maskStack(offset))));
  }

  // ---- instruction pointer ----
  /** Offset in CS of the next instruction, cut to the operand size, for CALL. */
  nextIp(): Value {
    const linear = this.nextLinear();
    return this.spec.legacy ? sub(linear, this.word64(R.CODE_BASE)) : linear;
  }
  /** Ends the block at an offset in CS of `size` bits. */
  goToIp(ip: Value, size: number): void {
    const offset = size === 64 ? ip : this.toI64(ip);
    this.goTo(this.spec.legacy ? and(add(offset, this.word64(R.CODE_BASE)), c64(0xffff_ffffn)) : offset);
  }

  /** Leaves with #GP(0) if a near branch to the offset `ip` of `size` bits is not allowed. Nothing must have changed yet. */
  checkIp(ip: Value, size: number): void {
    if (!this.spec.legacy) {
      if (size === 64) ifNonCanonical(this.f, this.cpu, ip, () => this.leave(Status.BranchFault));
    } else this.f.if(gtu(this.toI64(ip), codeLimit(this.cpu)), () => this.leave(Status.BranchFault));
  }
  /** The same for a direct branch, if it is taken. */
  checkTarget(taken: Value): void {
    this.f.if(taken, () => this.refuseTarget());
  }
  private refuseTarget(): void {
    const target = call(this.shared.target, I64, this.cpu, this.record, this.targetLinear());
    this.f.if(refused(target), () => this.leave(Status.BranchFault));
  }
  /** The same for CALL, which is always taken. */
  checkCallTarget(): void {
    if (this.spec.legacy) this.refuseTarget();
    else ifNonCanonical(this.f, this.cpu, this.targetLinear(), () => this.leave(Status.BranchFault));
  }

  /** Runs the record's TypeScript handler; leaves if it unwound. */
  callSystem(): void {
    const status = this.let(call(this.shared.system, I32, this.cpu, this.record));
    this.f.if(status, () => this.f.return(status));
  }
}
