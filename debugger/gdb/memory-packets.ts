/** m, M and X: the guest's memory at linear addresses, in the address space in which it stands. */
import { DebugError, type DebugTarget } from '../target';
import { PACKET_SIZE } from './connection';
import { bytesOf, hexOf, parseCount, parseNumber } from './hex';

const PAGE = 4096n;
const MOST_BYTES = PACKET_SIZE / 2;

function place(text: string): { readonly address: bigint; readonly length: number } {
  const [address, length, ...more] = text.split(',');
  if (length === undefined || more.length > 0) throw new DebugError(`"${text.slice(0, 32)}" is no address and length`);
  return { address: parseNumber(address), length: parseCount(length) };
}

/** As much as is mapped from the beginning: a reply may be shorter than what was asked for. */
function readable(target: DebugTarget, address: bigint, length: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (let at = address, left = length; left > 0;) {
    const size = Math.min(left, Number(PAGE - (at % PAGE)));
    try {
      pieces.push(target.readMemory('virtual', at, size));
    } catch (error) {
      if (pieces.length === 0 || !(error instanceof DebugError)) throw error;
      break;
    }
    at = BigInt.asUintN(64, at + BigInt(size));
    left -= size;
  }
  return Buffer.concat(pieces);
}

export function readMemory(target: DebugTarget, text: string): string {
  const { address, length } = place(text);
  return hexOf(readable(target, address, Math.min(length, MOST_BYTES)));
}

function write(target: DebugTarget, text: string, decode: (data: string) => Uint8Array): void {
  const colon = text.indexOf(':');
  if (colon < 0) throw new DebugError('a colon and bytes are missing');
  const { address, length } = place(text.slice(0, colon));
  const bytes = decode(text.slice(colon + 1));
  if (bytes.length !== length) throw new DebugError(`${length} bytes were announced, ${bytes.length} came`);
  // GDB asks with a length of 0 whether there is an X packet.
  if (length > 0) target.writeMemory('virtual', address, bytes);
}

export const writeMemory = (target: DebugTarget, text: string): void => write(target, text, bytesOf);
/** The bytes as they are; framing has undone the escapes. */
export const writeBinary = (target: DebugTarget, text: string): void => write(target, text, (data) => Buffer.from(data, 'latin1'));
