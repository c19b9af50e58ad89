/** Frames of the guest: where it stands, and the callers that a chain of frame pointers leads to, as long as it is believable. */
import { decode } from '../../cpu/decoder/decode';
import { littleEndian, type Inspector } from '../inspector';
import type { Session } from '../session';
import { DebugError } from '../target';

export interface Frame {
  /** Linear address of the next instruction in it. */
  readonly address: bigint;
  /** What RBP is in it. */
  readonly base: bigint;
}

const MOST_FRAMES = 64;
const CALLS: ReadonlySet<string> = new Set(['CALL', 'CALLI', 'CALLF']);
/** Lengths of the call instructions that a return address can stand behind. */
const SHORTEST_CALL = 2;
const LONGEST_CALL = 7;

/** "function+0x10", or the address. */
export const frameName = (inspector: Inspector, address: bigint): string => inspector.symbols?.describe(address) ?? `0x${address.toString(16)}`;

function unlessUnmapped<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof DebugError) return undefined;
    throw error;
  }
}

/** A call instruction ends there. Without one an address on the stack is just a number. */
function isReturnAddress({ memory, processor }: Session, address: bigint): boolean {
  for (let length = SHORTEST_CALL; length <= LONGEST_CALL; length++) {
    const bytes = unlessUnmapped(() => memory.read('virtual', BigInt.asUintN(64, address - BigInt(length)), length));
    if (bytes === undefined) return false;
    const insn = decode(bytes, 0, length, processor.cpu().codeSize);
    if (insn?.length === length && CALLS.has(insn.op)) return true;
  }
  return false;
}

export function framesOf(session: Session): Frame[] {
  const { processor } = session;
  const { codeSize } = processor.cpu();
  const frames: Frame[] = [{ address: processor.linearRip, base: session.readRegister('rbp') }];
  if (codeSize === 16) return frames;
  const word = codeSize / 8;
  while (frames.length < MOST_FRAMES) {
    const { base } = frames[frames.length - 1];
    const saved = unlessUnmapped(() => session.readMemory('virtual', base, 2 * word));
    if (saved === undefined) break;
    const [next, address] = [littleEndian(saved.subarray(0, word)), littleEndian(saved.subarray(word))];
    if (!isReturnAddress(session, address)) break;
    frames.push({ address, base: next });
    // Stacks grow down: a caller's frame is above.
    if (next <= base) break;
  }
  return frames;
}
