/**
 * Out of the function that the guest is in. Neither frame pointers nor unwind tables are needed: the code is followed from here to every
 * return that it can come to, and the guest runs to one of them with the stack as deep as it is now, or less.
 */
import type { Insn } from '../cpu/decoder/insn';
import type { Session } from './session';
import { DebugError, type Motion } from './target';

const RETURNS: ReadonlySet<string> = new Set(['RET', 'RETF', 'IRET']);
/** These do not return through the stack, and nothing deeper comes to them. */
const TO_USER: ReadonlySet<string> = new Set(['SYSRET', 'SYSEXIT']);
const CONDITIONAL: ReadonlySet<string> = new Set(['JCC', 'LOOP', 'LOOPE', 'LOOPNE', 'JCXZ']);
const INDIRECT: ReadonlySet<string> = new Set(['JMPI', 'JMPF']);
/** Instructions that are looked at; beyond, and where no code is mapped, the guest is stepped. */
const MOST = 8192;
/** Bytes of stack above RSP that are remembered. */
const STACK = 4096;
/** Bytes of the loop in a retpoline, at most. */
const CATCHING_LOOP = 32;
/** Short motions between two looks at the outside. */
const STEPS_A_PIECE = 512;

const stackTop = (session: Session): bigint => (session.processor.cpu().codeSize === 64 ? 0n : session.readRegister('ss.base')) + session.readRegister('rsp');

/** A retpoline calls over the loop in which speculation is caught, and does not come back there. */
const callsOver = ({ op, imm }: Insn): boolean => op === 'CALL' && imm > 0 && imm <= CATCHING_LOOP;

/** Code that can be reached inside the function, and the breakpoints where it may be left. */
class Ways {
  /** By address: undefined at an indirect jump, whose target is seen when the guest comes there. */
  private readonly places = new Map<bigint, 'return' | 'to user' | undefined>();
  private readonly ids = new Set<number>();
  private readonly seen = new Set<bigint>();
  private readonly start: bigint;
  private readonly word: number;
  /** The stack as it was at first. */
  private readonly stack: Uint8Array;
  /** There is code that could not be followed. */
  lost = false;

  constructor(private readonly session: Session) {
    this.start = stackTop(session);
    this.word = session.processor.cpu().codeSize / 8;
    this.stack = this.read(this.start, STACK - Number(this.start & BigInt(STACK - 1))) ?? new Uint8Array(0);
  }

  follow(from: bigint): void {
    const open = [from];
    for (let address = open.pop(); address !== undefined; address = open.pop()) {
      if (this.seen.has(address)) continue;
      this.seen.add(address);
      const insn = this.seen.size > MOST ? undefined : this.session.instructionAt(address);
      if (insn === undefined) {
        this.lost = true;
        return;
      }
      const behind = BigInt.asUintN(64, address + BigInt(insn.length));
      const target = BigInt.asUintN(64, behind + BigInt(insn.imm));
      if (RETURNS.has(insn.op)) this.place(address, 'return');
      else if (TO_USER.has(insn.op)) this.place(address, 'to user');
      else if (INDIRECT.has(insn.op)) this.place(address, undefined);
      else if (insn.op === 'JMP') open.push(target);
      else if (insn.op !== 'UD') open.push(behind, ...(CONDITIONAL.has(insn.op) || callsOver(insn) ? [target] : []));
    }
  }

  private place(address: bigint, kind: 'return' | 'to user' | undefined): void {
    this.places.set(address, kind);
    // What is called from here returns with a deeper stack. One word deeper: a call that is made for its return, as retpolines do.
    const holds = (): boolean => kind !== 'return' || stackTop(this.session) >= this.start - BigInt(this.word);
    this.ids.add(this.session.conditions.addInternal(address, holds));
  }

  has(id: number): boolean {
    return this.ids.has(id);
  }

  /** The guest stands where the function may be left. */
  get standsAtOne(): boolean {
    const address = this.session.processor.linearRip;
    if (!this.places.has(address)) return false;
    return this.places.get(address) !== 'return' || stackTop(this.session) >= this.start - BigInt(this.word);
  }

  /** The return address was on the stack already when all began: what was pushed since is a jump inside, or a call from there. */
  get leaves(): boolean {
    const { session, word, start, stack } = this;
    const kind = this.places.get(session.processor.linearRip);
    if (kind !== 'return') return kind === 'to user';
    const top = stackTop(session);
    if (top < start) return false;
    const then = stack.subarray(Number(top - start), Number(top - start) + word);
    const now = this.read(top, then.length);
    return now?.every((byte, i) => byte === then[i]) !== false;
  }

  private read(address: bigint, length: number): Uint8Array | undefined {
    try {
      return this.session.readMemory('virtual', BigInt.asUintN(64, address), length);
    } catch (error) {
      if (error instanceof DebugError) return undefined;
      throw error;
    }
  }

  remove(): void {
    for (const id of this.ids) this.session.conditions.remove(id);
  }
}

/** To the instruction behind the call, or wherever the function returns to. Recursion is passed over; breakpoints stop on the way. */
export function* stepOut(session: Session): Motion {
  const ways = new Ways(session);
  try {
    for (;;) {
      ways.follow(session.processor.linearRip);
      if (ways.lost) break;
      if (!ways.standsAtOne) {
        const stop = yield* session.resume();
        if (stop.kind !== 'breakpoint' || !ways.has(stop.id)) return stop;
      }
      const { leaves } = ways;
      const stop = yield* session.step();
      if (stop.kind !== 'step' || leaves) return stop;
    }
  } finally {
    ways.remove();
  }
  return yield* stepwise(session);
}

/** The same, instruction by instruction, with calls as one. */
function* stepwise(session: Session): Motion {
  const start = stackTop(session);
  for (let n = 1; ; n++) {
    const op = session.instructionAt(session.processor.linearRip)?.op ?? '';
    const returns = RETURNS.has(op) || TO_USER.has(op);
    const stop = yield* quietly(returns ? session.step() : session.next());
    if (stop.kind !== 'step' || (returns && (TO_USER.has(op) || stackTop(session) > start))) return stop;
    if (n % STEPS_A_PIECE === 0) yield;
  }
}

/** A motion whose first piece is most often its last: only longer ones let others have a turn. */
function* quietly(motion: Motion): Motion {
  const first = motion.next();
  if (first.done === true) return first.value;
  const second = motion.next();
  if (second.done === true) return second.value;
  yield;
  return yield* motion;
}
