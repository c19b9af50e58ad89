/** Just enough of an encoder for ACPI machine language (ACPI specification, "ACPI Machine Language (AML)"). Terms are byte arrays. */
export type Aml = readonly number[];

const le = (value: number, bytes: number): number[] => Array.from({ length: bytes }, (_v, i) => Math.floor(value / 256 ** i) & 0xff);
const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));

/** PkgLength in front of `body`, counting its own bytes. */
function packageLength(body: Aml): number[] {
  for (let bytes = 1; ; bytes++) {
    const total = body.length + bytes;
    if (bytes === 1 && total < 0x40) return [total];
    if (bytes > 1 && total < 2 ** (4 + 8 * (bytes - 1))) return [((bytes - 1) << 6) | (total & 15), ...le(Math.floor(total / 16), bytes - 1)];
  }
}
const packaged = (opcode: Aml, body: Aml): Aml => [...opcode, ...packageLength(body), ...body];

/** A name such as `\_SB_`, `_HID` or `PCI0`; segments are padded to four characters. */
export function name(path: string): Aml {
  const root = path.startsWith('\\');
  const segments = path.replace('\\', '').split('.').filter((s) => s !== '').map((s) => ascii(s.padEnd(4, '_')));
  const prefix = segments.length === 2 ? [0x2e] : segments.length > 2 ? [0x2f, segments.length] : segments.length === 0 ? [0x00] : [];
  return [...(root ? [0x5c] : []), ...prefix, ...segments.flat()];
}
export function integer(value: number): Aml {
  if (value === 0) return [0x00];
  if (value === 1) return [0x01];
  if (value < 0x100) return [0x0a, value];
  if (value < 0x1_0000) return [0x0b, ...le(value, 2)];
  if (value < 0x1_0000_0000) return [0x0c, ...le(value, 4)];
  return [0x0e, ...le(value, 8)];
}
export const string = (text: string): Aml => [0x0d, ...ascii(text), 0];
export const buffer = (bytes: Aml): Aml => packaged([0x11], [...integer(bytes.length), ...bytes]);
export const list = (...items: Aml[]): Aml => packaged([0x12], [items.length, ...items.flat()]);
export const define = (path: string, value: Aml): Aml => [0x08, ...name(path), ...value];
export const scope = (path: string, ...terms: Aml[]): Aml => packaged([0x10], [...name(path), ...terms.flat()]);
export const device = (path: string, ...terms: Aml[]): Aml => packaged([0x5b, 0x82], [...name(path), ...terms.flat()]);

/** A compressed EISA id, "PNP0A03". */
export function eisaId(id: string): Aml {
  const letter = (i: number): number => id.charCodeAt(i) - 0x40;
  const vendor = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  const product = parseInt(id.slice(3), 16);
  return [0x0c, vendor >>> 8, vendor & 0xff, product >>> 8, product & 0xff];
}

/** Resource descriptors (ACPI specification, "Resource Data Types for ACPI"). */
export const Resource = {
  io: (base: number, length: number): Aml => [0x47, 0x01, ...le(base, 2), ...le(base, 2), 1, length],
  irq: (line: number): Aml => [0x22, ...le(1 << line, 2)],
  memoryFixed: (base: number, length: number): Aml => [0x86, 9, 0, 1, ...le(base, 4), ...le(length, 4)],
  busNumbers: (first: number, last: number): Aml => [0x88, 0x0d, 0, 2, 0x0c, 0, ...le(0, 2), ...le(first, 2), ...le(last, 2), ...le(0, 2), ...le(last - first + 1, 2)],
  ioWindow: (first: number, last: number): Aml => [0x88, 0x0d, 0, 1, 0x0c, 3, ...le(0, 2), ...le(first, 2), ...le(last, 2), ...le(0, 2), ...le(last - first + 1, 2)],
  memoryWindow: (first: number, last: number): Aml => [0x87, 0x17, 0, 0, 0x0c, 1, ...le(0, 4), ...le(first, 4), ...le(last, 4), ...le(0, 4), ...le(last - first + 1, 4)],
};
export const resources = (...descriptors: Aml[]): Aml => buffer([...descriptors.flat(), 0x79, 0]);
