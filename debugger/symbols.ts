/** Symbols of a guest: from an ELF file (its own image, or the vmlinux of its kernel) or from System.map. */
import { SymbolTable } from '../trace/symbols';
import { DebugError } from './target';

const ELF_MAGIC = 0x464c_457f;
const SHT_SYMTAB = 2;
/** Section header and symbol table entry of ELF64. */
const SECTION = { TYPE: 0x04, OFFSET: 0x18, SIZE: 0x20, LINK: 0x28 } as const;
const SYMBOL = { NAME: 0, INFO: 4, SECTION: 6, VALUE: 8, BYTES: 24 } as const;
/** Types of symbols that name a place: no type, object, function. */
const PLACES: ReadonlySet<number> = new Set([0, 1, 2]);

/** Symbols of an ELF64 file; undefined when it is none, or has been stripped. */
export function elfSymbols(file: Uint8Array): SymbolTable | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0, true) !== ELF_MAGIC || file[4] !== 2) return undefined;
  const at = (offset: number): number => Number(view.getBigUint64(offset, true));
  try {
    const [first, size, count] = [at(0x28), view.getUint16(0x3a, true), view.getUint16(0x3c, true)];
    for (let i = 0; i < count; i++) {
      const section = first + i * size;
      if (view.getUint32(section + SECTION.TYPE, true) !== SHT_SYMTAB) continue;
      const names = at(first + view.getUint32(section + SECTION.LINK, true) * size + SECTION.OFFSET);
      return tableOf(file, view, at(section + SECTION.OFFSET), at(section + SECTION.SIZE), names);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return undefined;
}

function tableOf(file: Uint8Array, view: DataView, from: number, size: number, names: number): SymbolTable {
  const symbols: (readonly [bigint, string])[] = [];
  for (let s = from; s < from + size; s += SYMBOL.BYTES) {
    const name = names + view.getUint32(s + SYMBOL.NAME, true);
    if (!PLACES.has(file[s + SYMBOL.INFO] & 15) || view.getUint16(s + SYMBOL.SECTION, true) === 0 || file[name] === 0) continue;
    symbols.push([view.getBigUint64(s + SYMBOL.VALUE, true), Buffer.from(file.subarray(name, file.indexOf(0, name))).toString('latin1')]);
  }
  return new SymbolTable(symbols);
}

/** From a file that the user names. Throws DebugError when there are no symbols in it. */
export function symbolsOf(file: Uint8Array, path: string): SymbolTable {
  const elf = elfSymbols(file);
  if (elf !== undefined && elf.size > 0) return elf;
  try {
    return SymbolTable.parse(Buffer.from(file).toString('latin1'));
  } catch (error) {
    if (error instanceof RangeError) throw new DebugError(`${path} has no symbols: give an ELF file with a symbol table, or a System.map`, { cause: error });
    throw error;
  }
}
