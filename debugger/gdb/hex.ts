/** Numbers and bytes as the remote protocol writes them. Bad digits throw DebugError: they come from outside. */
import { DebugError } from '../target';

const DIGITS = /^[0-9a-f]+$/i;
const MOST_DIGITS = 16;

/** Of at most 64 bits, most significant digit first: addresses, lengths, numbers of registers. */
export function parseNumber(text: string): bigint {
  if (!DIGITS.test(text) || text.length > MOST_DIGITS) throw new DebugError(`"${text.slice(0, 32)}" is no hexadecimal number of at most ${MOST_DIGITS} digits`);
  return BigInt(`0x${text}`);
}

/** A length or a count. */
export function parseCount(text: string): number {
  const value = Number(parseNumber(text));
  if (!Number.isSafeInteger(value)) throw new DebugError(`${text} is too large for a count`);
  return value;
}

export function bytesOf(hex: string): Uint8Array {
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) throw new DebugError('bytes are pairs of hexadecimal digits');
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

export const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const hexOfText = (text: string): string => Buffer.from(text, 'utf8').toString('hex');

/** In target byte order, as registers travel. */
export function littleEndianHex(value: bigint, bytes: number): string {
  const bigEndian = BigInt.asUintN(8 * bytes, value)
    .toString(16)
    .padStart(2 * bytes, '0');
  return hexOf(Buffer.from(bigEndian, 'hex').reverse());
}

export function littleEndianValue(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${hexOf(Buffer.from(bytes).reverse())}`);
}
