/** Memory as gdb's x command shows it: count, format letter, size letter. */
import { DebugError } from './target';
import { littleEndian } from './inspector';

export interface MemoryFormat {
  readonly count: number;
  /** x hexadecimal, d signed, u unsigned, o octal, t binary, c character, a address, s string, i instruction. */
  readonly format: 'x' | 'd' | 'u' | 'o' | 't' | 'c' | 'a' | 's' | 'i';
  /** Bytes of a unit: b 1, h 2, w 4, g 8. */
  readonly size: 1 | 2 | 4 | 8;
}

const SIZES = { b: 1, h: 2, w: 4, g: 8 } as const;
const FORMATS = 'xduotcasi';
export const DEFAULT_FORMAT: MemoryFormat = { count: 1, format: 'x', size: 8 };
const MOST = 65536;

/** "/16xb": what is left out stays as it was. Throws DebugError. */
export function parseFormat(text: string, before: MemoryFormat): MemoryFormat {
  const match = /^(\d*)([a-z]*)$/i.exec(text);
  const letters = [...(match?.[2] ?? '?').toLowerCase()];
  let { format, size } = before;
  let sized = false;
  for (const letter of letters) {
    if (Object.hasOwn(SIZES, letter)) [size, sized] = [SIZES[letter as keyof typeof SIZES], true];
    else if (FORMATS.includes(letter)) format = letter as MemoryFormat['format'];
    else throw new DebugError(`/${text}: "${letter}" is no format (${[...FORMATS].join(' ')}) and no size (b h w g)`);
  }
  if (format === 'a' && !sized) size = 8;
  if (format === 'c' && !sized) size = 1;
  const count = match?.[1] === '' || match === null ? 1 : Number(match[1]);
  if (count < 1 || count > MOST) throw new DebugError(`/${text}: a count is 1 to ${MOST}`);
  return { count, format, size };
}

function printable(byte: number): string {
  return byte >= 0x20 && byte < 0x7f ? `'${String.fromCharCode(byte)}'` : `'\\x${byte.toString(16).padStart(2, '0')}'`;
}

/** One unit. @param name names an address. */
export function renderUnit(bytes: Uint8Array, { format, size }: MemoryFormat, name: (address: bigint) => string): string {
  const value = littleEndian(bytes);
  switch (format) {
    case 'd':
      return `${BigInt.asIntN(size * 8, value)}`;
    case 'u':
      return `${value}`;
    case 'o':
      return `0${value.toString(8)}`;
    case 't':
      return value.toString(2).padStart(size * 8, '0');
    case 'c':
      return `${bytes[0]} ${printable(bytes[0])}`;
    case 'a':
      return `0x${value.toString(16)}${name(value)}`;
    default:
      return `0x${value.toString(16).padStart(size * 2, '0')}`;
  }
}

/** Units in one line, as gdb has them. */
export const perLine = ({ format, size }: MemoryFormat): number =>
  format === 'a' || format === 't' ? 1 : format === 'c' ? 8 : size === 8 ? 2 : size === 4 ? 4 : 8;
