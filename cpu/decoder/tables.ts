/** Compiles the opcode maps, once, to one dense array of cells for 64-bit mode and one for the other modes. */
import { INVALID, Immediate, LongSize, Slot, type Cell, type Encoding } from './encoding';
import { GROUPS } from './groups';
import { ONE_BYTE_MAP } from './one-byte-map';
import { parseOperand, type Operand } from './operands';
import { THREE_BYTE_38_MAP, THREE_BYTE_3A_MAP } from './three-byte-maps';
import { TWO_BYTE_MAP } from './two-byte-map';
import { X87_ESCAPES } from './x87-escapes';

/** Index of a cell: map, mandatory prefix, opcode. */
export const MAP_SHIFT = 10;
export const PREFIX_SHIFT = 8;
const MAPS: readonly (readonly string[])[] = [[...ONE_BYTE_MAP, ...X87_ESCAPES], TWO_BYTE_MAP, THREE_BYTE_38_MAP, THREE_BYTE_3A_MAP];
const PREFIXES = ['NP', '66', 'F3', 'F2'];

const ATTRIBUTES = new Set(['lock', 'i64', 'o64', 'd64', 'f64', 'hint']);

interface Row {
  readonly text: string;
  /** Opcodes, first and count. */
  readonly opcode: number;
  readonly count: number;
  /** Columns of the map that the row fills: indices of PREFIXES, or all of them when it names none. */
  readonly prefixes: readonly number[] | undefined;
  /** `/digit` or `/ModRM byte`. */
  readonly digit: number | undefined;
  readonly modrmByte: number | undefined;
  readonly mnemonic: string;
  readonly operands: readonly Operand[];
  readonly attributes: ReadonlySet<string>;
}

const COUNTS: Readonly<Record<string, number>> = { '': 1, '+r': 8, '+cc': 16 };

function parseRow(text: string): Row {
  const words = text.split(' ');
  const [opcode, range] = [words[0].slice(0, 2), words.shift()?.slice(2) ?? ''];
  const prefixes = /^(NP|66|F3|F2)(\/66)?$/.test(words[0]) ? words.shift()?.split('/') : undefined;
  const selector = words[0].startsWith('/') ? words.shift()?.slice(1) : undefined;
  const mnemonic = words.shift();
  const attributes = new Set(words.filter((word) => ATTRIBUTES.has(word)));
  const operands = words.filter((word) => !ATTRIBUTES.has(word));
  if (!mnemonic || operands.length > 1 || COUNTS[range] === undefined) throw new Error(`opcode map: cannot read "${text}"`);
  return {
    text,
    opcode: parseInt(opcode, 16),
    count: COUNTS[range],
    prefixes: prefixes?.map((prefix) => PREFIXES.indexOf(prefix)),
    digit: selector?.length === 1 ? Number(selector) : undefined,
    modrmByte: selector?.length === 2 ? parseInt(selector, 16) : undefined,
    mnemonic,
    operands: operands.length === 0 ? [] : operands[0].split(',').map(parseOperand),
    attributes,
  };
}

/** Replaces a row that refers to a group by the group's rows. */
function expandGroup(row: Row): readonly Row[] {
  const group = GROUPS[row.mnemonic];
  if (!group) return [row];
  return group.map((text) => {
    const member = parseRow(`00 ${text}`);
    return {
      ...member,
      text: `${row.text}: ${text}`,
      opcode: row.opcode,
      operands: member.operands.length > 0 ? member.operands : row.operands,
      attributes: new Set([...row.attributes, ...member.attributes]),
    };
  });
}

function immediateOf(operands: readonly Operand[]): Encoding['immediate'] {
  const found = operands.flatMap((operand) => (operand.immediate ? [operand.immediate] : []));
  if (found.length === 2) return [Immediate.WordByte, Immediate.WordByte, Immediate.WordByte];
  return found[0] ?? INVALID.immediate;
}

function encodingOf(row: Row, memory: boolean): Encoding {
  const { operands, attributes } = row;
  const explicit = operands.filter((operand) => operand.registerForm !== '' || operand.memoryForm !== '');
  const form = explicit.map((operand) => (memory ? operand.memoryForm : operand.registerForm)).join('');
  const slots = explicit.map((operand) => (memory && operand.isRm ? Slot.NONE : operand.slot));
  const widths = operands.flatMap((operand) => (operand.width ? [operand.width] : []));
  const strings = operands.map((operand) => operand.letter).join('');
  const [op, op64] = row.mnemonic.split('|');
  const mandatory = row.prefixes?.length === 1 ? row.prefixes[0] : 0;
  return {
    op,
    op64: op64 ?? op,
    form,
    size: widths[0] ?? INVALID.size,
    ssize: widths[1] ?? widths[0] ?? INVALID.ssize,
    immediate: immediateOf(operands),
    dst: slots[0] ?? Slot.NONE,
    src: form === 's' ? slots[0] : (slots[1] ?? Slot.NONE),
    src2: slots[2] ?? Slot.NONE,
    longSize: attributes.has('f64') ? LongSize.Forced64 : attributes.has('d64') ? LongSize.Default64 : LongSize.Normal,
    memory,
    touchesMemory: memory && !attributes.has('hint'),
    lockable: memory && attributes.has('lock'),
    uses66: mandatory === 1,
    usesRep: mandatory > 1,
    conditional: row.count === 16,
    fixedEs: strings === 'Y',
  };
}

/** ModRM entries (8 by reg for memory, 64 by bits 5:0 for registers) that a row covers. */
function* modrmEntries(row: Row): Generator<readonly [entry: number, memory: boolean]> {
  if (row.modrmByte !== undefined) {
    yield [8 + (row.modrmByte & 63), false];
    return;
  }
  for (let digit = 0; digit < 8; digit++) {
    if (row.digit !== undefined && row.digit !== digit) continue;
    if (!namesSegment(row, digit)) continue;
    if (row.operands.every((operand) => operand.allowsMemory)) yield [digit, true];
    if (!row.operands.every((operand) => operand.allowsRegister)) continue;
    for (let low = 0; low < 8; low++) yield [8 + digit * 8 + low, false];
  }
}

/** MOV to and from segment registers: 6 and 7 name none, and CS cannot be loaded. */
function namesSegment(row: Row, digit: number): boolean {
  const position = row.operands.findIndex((operand) => operand.letter === 'S');
  return position < 0 || (digit < 6 && !(position === 0 && digit === 1));
}

const IGNORES_MOD = /^[CD]$/;

function cellOf(rows: readonly Row[]): Cell {
  const first = rows[0];
  const needsModrm = rows.some((row) => row.digit !== undefined || row.modrmByte !== undefined || row.operands.some((operand) => operand.needsModrm));
  if (!needsModrm) {
    if (rows.length > 1) throw new Error(`opcode map: "${rows[1].text}" and "${first.text}" are one encoding`);
    return { hasModrm: false, ignoresMod: false, memory: INVALID, register: encodingOf(first, false), group: undefined };
  }
  const group: Encoding[] = Array.from({ length: 72 }, () => INVALID);
  for (const row of [...rows].sort((a, b) => Number(a.modrmByte !== undefined) - Number(b.modrmByte !== undefined))) {
    const [register, memory] = [encodingOf(row, false), encodingOf(row, true)];
    for (const [entry, isMemory] of modrmEntries(row)) group[entry] = isMemory ? memory : register;
  }
  const uniform = group.every((encoding, entry) => encoding === (entry < 8 ? group[0] : group[8]));
  const ignoresMod = first.operands.some((operand) => IGNORES_MOD.test(operand.letter));
  return { hasModrm: true, ignoresMod, memory: group[0], register: group[8], group: uniform ? undefined : group };
}

const NO_INSTRUCTION: Cell = { hasModrm: false, ignoresMod: false, memory: INVALID, register: INVALID, group: undefined };

/** A column takes the rows that name its prefix, for each ModRM entry before those that name none. */
function columnsOf(rows: readonly Row[]): readonly Cell[] {
  const unnamed = rows.filter((row) => row.prefixes === undefined);
  const unnamedCell = unnamed.length > 0 ? cellOf(unnamed) : NO_INSTRUCTION;
  return PREFIXES.map((_, prefix) => {
    const named = rows.filter((row) => row.prefixes?.includes(prefix));
    if (named.length === 0) return unnamedCell;
    const coversAll = named.some((row) => row.digit === undefined && row.modrmByte === undefined);
    return cellOf(coversAll ? named : [...unnamed, ...named]);
  });
}

function rowsByOpcode(rows: readonly Row[]): readonly (readonly Row[])[] {
  const byOpcode: Row[][] = Array.from({ length: 256 }, () => []);
  for (const row of rows) for (let opcode = row.opcode; opcode < row.opcode + row.count; opcode++) byOpcode[opcode].push(row);
  return byOpcode;
}

const longCells: Cell[] = [];
const legacyCells: Cell[] = [];
MAPS.forEach((texts, map) => {
  rowsByOpcode(texts.flatMap((text) => expandGroup(parseRow(text)))).forEach((rows, opcode) => {
    const long = rows.filter((row) => !row.attributes.has('i64'));
    const legacy = rows.filter((row) => !row.attributes.has('o64'));
    const longColumns = columnsOf(long);
    const legacyColumns = long.length === rows.length && legacy.length === rows.length ? longColumns : columnsOf(legacy);
    for (let prefix = 0; prefix < PREFIXES.length; prefix++) {
      const index = (map << MAP_SHIFT) | (prefix << PREFIX_SHIFT) | opcode;
      longCells[index] = longColumns[prefix];
      legacyCells[index] = legacyColumns[prefix];
    }
  });
});

/** Cells of 64-bit mode, and of the modes with 16-bit or 32-bit code, by map, mandatory prefix and opcode. */
export const LONG_CELLS: readonly Cell[] = longCells;
export const LEGACY_CELLS: readonly Cell[] = legacyCells;
