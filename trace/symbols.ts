/** Kernel symbols from System.map or /proc/kallsyms: lines of address, type, name. */
export interface SymbolAt {
  readonly name: string;
  /** Bytes from the symbol to the address. */
  readonly offset: number;
}

const LINE = /^([0-9a-f]{1,16})\s+([A-Za-z])\s+(\S+)/i;
/** Further away than this an address belongs to no symbol before it. */
const FARTHEST = 0x10_0000n;
/** In a table with symbols of the upper half of the address space, those below this are offsets of per-CPU variables. */
const LOWEST = 0x10_0000n;
const UPPER_HALF = 1n << 63n;

export class SymbolTable {
  private readonly addresses: BigUint64Array;
  private readonly names: readonly string[];
  /** Those before it have a value, and name no address. */
  private readonly firstAddress: number;
  private readonly byName = new Map<string, bigint>();

  constructor(symbols: Iterable<readonly [address: bigint, name: string]>) {
    const sorted = [...symbols].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    this.addresses = BigUint64Array.from(sorted, (s) => s[0]);
    this.names = sorted.map((s) => s[1]);
    const upper = sorted.length > 0 && sorted[sorted.length - 1][0] >= UPPER_HALF;
    this.firstAddress = upper ? sorted.findIndex(([address]) => address >= LOWEST) : 0;
    for (const [address, name] of sorted) if (!this.byName.has(name)) this.byName.set(name, address);
  }

  /** @throws RangeError when no line is a symbol. */
  static parse(text: string): SymbolTable {
    const symbols: (readonly [bigint, string])[] = [];
    for (const line of text.split('\n')) {
      const m = LINE.exec(line);
      if (m) symbols.push([BigInt(`0x${m[1]}`), m[3]]);
    }
    if (symbols.length === 0) throw new RangeError('no symbols: lines must look like "ffffffff81000000 T _text", as in System.map');
    return new SymbolTable(symbols);
  }

  get size(): number {
    return this.names.length;
  }

  get allNames(): readonly string[] {
    return this.names;
  }

  addressOf(name: string): bigint | undefined {
    return this.byName.get(name);
  }

  /** The last symbol at or before an address. */
  at(address: bigint): SymbolAt | undefined {
    let low = this.firstAddress;
    let high = this.addresses.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.addresses[middle] <= address) low = middle + 1;
      else high = middle;
    }
    if (low === this.firstAddress) return undefined;
    const offset = address - this.addresses[low - 1];
    return offset > FARTHEST ? undefined : { name: this.names[low - 1], offset: Number(offset) };
  }

  /** "name+0x10", or the address in hexadecimal. */
  describe(address: bigint): string {
    const symbol = this.at(address);
    if (symbol === undefined) return `0x${address.toString(16)}`;
    return symbol.offset === 0 ? symbol.name : `${symbol.name}+0x${symbol.offset.toString(16)}`;
  }
}
