/** Encoder for ACPI machine language: ACPI specification, "ACPI Machine Language (AML) Specification". A term is its bytes. */
export type Aml = readonly number[];

const OPCODE = {
  zero: 0x00, one: 0x01, name: 0x08, byte: 0x0a, word: 0x0b, dword: 0x0c, string: 0x0d, qword: 0x0e, scope: 0x10, buffer: 0x11, package: 0x12,
  method: 0x14, dualName: 0x2e, multiName: 0x2f, local0: 0x60, arg0: 0x68, store: 0x70, return: 0xa4, if: 0xa0, else: 0xa1, extended: 0x5b, device: 0x82,
} as const; // prettier-ignore
const ROOT = 0x5c;
const SEGMENT = /^[A-Z_][A-Z0-9_]{0,3}$/;

const littleEndian = (value: number, bytes: number): number[] => Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** PkgLength counts itself: one byte up to 63, else a nibble and one to three bytes. */
function packageLength(contents: number): number[] {
  if (contents + 1 < 0x40) return [contents + 1];
  for (let more = 1; more <= 3; more++) {
    const total = contents + 1 + more;
    if (total < 2 ** (4 + 8 * more)) return [(more << 6) | (total & 0xf), ...littleEndian(Math.floor(total / 16), more)];
  }
  throw new RangeError(`an AML package of ${contents} bytes is too long`);
}

const packaged = (opcode: Aml, contents: Aml): Aml => [...opcode, ...packageLength(contents.length), ...contents];

/** A name string: `_HID`, `PCI0`, `\_SB.PCI0`. Segments shorter than four characters are padded with underscores. */
export function name(path: string): Aml {
  const absolute = path.startsWith('\\');
  const segments = path.slice(absolute ? 1 : 0).split('.').filter((s) => s !== ''); // prettier-ignore
  const wrong = segments.find((s) => !SEGMENT.test(s));
  if (wrong !== undefined || segments.length === 0) throw new RangeError(`"${path}" is not an AML name: segment "${wrong ?? ''}"`);
  const prefix = segments.length === 1 ? [] : segments.length === 2 ? [OPCODE.dualName] : [OPCODE.multiName, segments.length];
  return [...(absolute ? [ROOT] : []), ...prefix, ...segments.flatMap((s) => ascii(s.padEnd(4, '_')))];
}

/** The shortest encoding of an unsigned integer below 2^53. */
export function integer(value: number): Aml {
  if (value === 0) return [OPCODE.zero];
  if (value === 1) return [OPCODE.one];
  if (value < 0x100) return [OPCODE.byte, value];
  if (value < 0x1_0000) return [OPCODE.word, ...littleEndian(value, 2)];
  if (value < 0x1_0000_0000) return [OPCODE.dword, ...littleEndian(value, 4)];
  return [OPCODE.qword, ...littleEndian(value, 8)];
}

export const string = (text: string): Aml => [OPCODE.string, ...ascii(text), 0];
export const buffer = (bytes: Aml): Aml => packaged([OPCODE.buffer], [...integer(bytes.length), ...bytes]);
/** Package (…): at most 255 elements. */
export const list = (...elements: Aml[]): Aml => packaged([OPCODE.package], [elements.length, ...elements.flat()]);
export const define = (path: string, value: Aml): Aml => [OPCODE.name, ...name(path), ...value];
export const scope = (path: string, ...terms: Aml[]): Aml => packaged([OPCODE.scope], [...name(path), ...terms.flat()]);
export const device = (path: string, ...terms: Aml[]): Aml => packaged([OPCODE.extended, OPCODE.device], [...name(path), ...terms.flat()]);
/** A method that is not serialised, with `args` (0 to 7) arguments. */
export const method = (path: string, args: number, ...terms: Aml[]): Aml => packaged([OPCODE.method], [...name(path), args, ...terms.flat()]);
export const argument = (index: number): Aml => [OPCODE.arg0 + index];
export const store = (source: Aml, target: Aml): Aml => [OPCODE.store, ...source, ...target];
export const giveBack = (value: Aml): Aml => [OPCODE.return, ...value];
export const when = (condition: Aml, ...terms: Aml[]): Aml => packaged([OPCODE.if], [...condition, ...terms.flat()]);

/** A compressed EISA id such as PNP0A03: three letters of five bits and four hexadecimal digits, most significant byte first. */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`"${id}" is not an EISA id`);
  const [a, b, c] = ascii(id.slice(0, 3)).map((letter) => letter - 0x40);
  const letters = (a << 10) | (b << 5) | c;
  return [OPCODE.dword, letters >>> 8, letters & 0xff, parseInt(id.slice(3, 5), 16), parseInt(id.slice(5, 7), 16)];
}
