/** Packets that move the target: vCont, its old one-letter forms, and the two that go backward. */
import { DebugError, type DebugTarget, type Motion } from '../target';
import { parseNumber } from './hex';
import { THREAD } from './stop-reply';

/** A way to move. `begin` can be called again when the guest was only waiting for input. */
export interface Move {
  readonly begin: () => Motion;
  /** Waits for input where the guest does. */
  readonly patient: boolean;
}

export const VCONT_ACTIONS = 'vCont;c;C;s;S;t;r';

const resume = (target: DebugTarget): Move => ({ begin: () => target.resume(), patient: true });
const step = (target: DebugTarget): Move => ({ begin: () => target.step(), patient: false });

/** Pieces of a range step between two looks at the outside. */
const STEPS_A_PIECE = 1000;

/** Steps while RIP stays in [from, to): a source line, of which GDB knows the addresses. */
function* stepRange(target: DebugTarget, from: bigint, to: bigint): Motion {
  for (let n = 1; ; n++) {
    const stop = yield* target.step();
    const rip = target.readRegister('rip');
    if (stop.kind !== 'step' || rip < from || rip >= to) return stop;
    if (n % STEPS_A_PIECE === 0) yield;
  }
}

/** Signals (C, S) cannot be delivered: a machine has none. They act as c and s. */
function action(target: DebugTarget, text: string): Move | 'stop' {
  const letter = text.charAt(0);
  if (letter === 'c' || letter === 'C') return resume(target);
  if (letter === 's' || letter === 'S') return step(target);
  if (letter === 't') return 'stop';
  const range = /^r([0-9a-f]+),([0-9a-f]+)$/i.exec(text);
  if (range === null) throw new DebugError(`"${text.slice(0, 32)}" is no action of vCont`);
  const [from, to] = [parseNumber(range[1]), parseNumber(range[2])];
  return { begin: () => stepRange(target, from, to), patient: false };
}

/** ";c:1", ";s:p1.1;c": the first action that is for our thread, or for all. */
export function vCont(target: DebugTarget, text: string): Move | 'stop' {
  for (const part of text.split(';').slice(1)) {
    const [what, thread] = part.split(':');
    if (thread === undefined || isOurThread(thread)) return action(target, what);
  }
  throw new DebugError(`vCont${text.slice(0, 32)}: no action is for thread ${THREAD}`);
}

/** "1", "-1" and "0" (all and any), or with a process in front: "p1.1", "p1.-1". */
export function isOurThread(text: string): boolean {
  const match = /^(?:p(-1|0|1)(?:\.|$))?(-1|0*[01])?$/i.exec(text);
  return text !== '' && match !== null;
}

/** c [address], s [address], C signal[;address], S signal[;address]. */
export function oldResume(target: DebugTarget, letter: string, text: string): Move {
  const address = letter === 'c' || letter === 's' ? text : (/^[0-9a-f]{2}(?:;(.*))?$/i.exec(text) ?? fail(text))[1];
  if (address !== undefined && address !== '') target.writeRegister('rip', parseNumber(address));
  return letter.toLowerCase() === 'c' ? resume(target) : step(target);
}

function fail(text: string): never {
  throw new DebugError(`"${text.slice(0, 32)}" is no signal`);
}

/** bs and bc. */
export const REVERSE: Readonly<Record<string, (target: DebugTarget) => Move>> = {
  bs: (target) => ({ begin: () => target.reverseStep(), patient: false }),
  bc: (target) => ({ begin: () => target.reverseResume(), patient: false }),
};
