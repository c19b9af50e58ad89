/**
 * Where near branches lead. Compiled code goes by linear addresses; here they become offsets in CS again, are cut to the operand size,
 * and are refused: SDM "JMP", "CALL", "RET", "Jcc", "LOOP" raise #GP(0) on the branch, with nothing changed, for a target beyond the limit
 * of CS or not canonical. The exception tables of the APM's pages of near JMP, CALL and RET say the same.
 *
 * A branch that is linked to its target, in the same page, comes through nothing of this.
 * DEVIATION: a link made under one base and limit of CS holds under another that the same code may be executed with, where IP would have
 * to wrap inside the page, or the limit lies in it.
 */
import { Segment } from '../decoder/insn';
import { JUMP_CACHE, R, S, seg } from '../layout';
import { jumpSlot } from './jump-hash';
import { Rec, Status } from './record';
import { I64, add, and, c32, c64, call, eq, eqz, gtu, load32, load64, load8u, ne, or, shr, sub, wrap, xor, zext, type Fn, type Value } from './wasm';

/** What targetFunction gives for a target that the branch may not go to: no linear address, because it is not canonical. */
const REFUSED = 0x8000_0000_0000_0000n;

/** i32, not 0: bits 63:width-1 differ. */
const beyond = (linear: Value, width: 48 | 57): Value => wrap(shr(add(linear, c64(1n << BigInt(width - 1))), c64(width)));
/** Does `then` with an address that is not canonical. Only one of more than 48 bits looks at how many there are. */
export function ifNonCanonical(f: Fn, cpu: Value, linear: Value, then: () => void): void {
  f.if(beyond(linear, 48), () => f.if(or(eqz(load32(cpu, R.LA57)), beyond(linear, 57)), then));
}
const ipMask = (cpu: Value): Value => load64(cpu, R.IP_MASK);
const codeBase = (cpu: Value): Value => load64(cpu, R.CODE_BASE);
/** Offset in CS of a linear address. */
export const ipOf = (cpu: Value, linear: Value): Value => and(sub(linear, codeBase(cpu)), ipMask(cpu));
/** The linear limit of near branches outside 64-bit mode. */
export const codeLimit = (cpu: Value): Value => zext(load32(cpu, seg(Segment.CS, S.LIMIT)));
/** Is the result of targetFunction a refusal? */
export const refused = (target: Value): Value => eq(target, c64(REFUSED));

/** (cpu, record, linear) -> linear: the target of the direct branch `record`, cut to its operand size, or REFUSED. */
export function buildTarget(f: Fn): void {
  const [cpu, record, linear] = [f.get(0), f.get(1), f.get(2)];
  f.if(eq(ipMask(cpu), c64(-1)), () => {
    ifNonCanonical(f, cpu, linear, () => f.return(c64(REFUSED)));
    f.return(linear);
  });
  const ip = f.local(I64);
  f.set(ip, ipOf(cpu, linear));
  f.if(load8u(record, Rec.IP16), () => f.set(ip, and(f.get(ip), c64(0xffff))));
  f.if(gtu(f.get(ip), codeLimit(cpu)), () => f.return(c64(REFUSED)));
  f.generate(and(add(f.get(ip), codeBase(cpu)), c64(0xffff_ffff)));
}

/** The branch is not taken after all: what it charged is given back, and the step loop raises the fault. */
function refuse(f: Fn, cpu: Value, record: Value): void {
  f.store32(cpu, add(load32(cpu, R.BUDGET), load8u(record, Rec.COUNT)), R.BUDGET);
  f.store32(cpu, record, R.EXIT_RECORD);
  f.return(c32(Status.BranchFault));
}

/** (cpu, record, linear, status) -> status: leaves with R.RIP at the target of a direct branch that has been charged. */
export function buildArrive(f: Fn, target: number): void {
  const [cpu, record, linear, status] = [f.get(0), f.get(1), f.get(2), f.get(3)];
  const to = f.let(call(target, I64, cpu, record, linear));
  f.if(refused(to), () => refuse(f, cpu, record));
  f.store64(cpu, ipOf(cpu, to), R.RIP);
  f.store32(cpu, record, R.EXIT_RECORD);
  f.generate(status);
}

/** (cpu, record, linear) -> status: goes to a linear address through the jump cache, or leaves to look it up. */
export function buildJump(f: Fn, handlerType: number): void {
  const [cpu, record, linear] = [f.get(0), f.get(1), f.get(2)];
  throughJumpCache(f, cpu, record, linear, handlerType);
}

/** The same for the target of a direct branch that has been charged and is not linked. */
export function buildBranch(f: Fn, handlerType: number, target: number): void {
  const [cpu, record, linear] = [f.get(0), f.get(1), f.get(2)];
  const to = f.local(I64);
  f.set(to, linear);
  f.if(or(ne(ipMask(cpu), c64(-1)), beyond(linear, 48)), () => {
    f.set(to, call(target, I64, cpu, record, linear));
    f.if(refused(f.get(to)), () => refuse(f, cpu, record));
  });
  throughJumpCache(f, cpu, record, f.get(to), handlerType);
}

function throughJumpCache(f: Fn, cpu: Value, record: Value, linear: Value, handlerType: number): void {
  const entry = f.let(jumpSlot(cpu, linear));
  f.if(eq(load64(entry, JUMP_CACHE), xor(linear, load64(cpu, R.JUMP_KEY))), () => {
    f.store64(cpu, and(linear, c64(-4096)), R.PAGE_BASE);
    const next = f.let(load32(entry, JUMP_CACHE + 8));
    f.tailCallIndirect(handlerType, load32(next, Rec.HANDLER), cpu, next);
  });
  f.store64(cpu, ipOf(cpu, linear), R.RIP);
  f.store32(cpu, record, R.EXIT_RECORD);
  f.return(c32(Status.Link));
  f.unreachable();
}
