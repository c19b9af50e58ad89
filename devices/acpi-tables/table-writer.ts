/** System description tables: ACPI specification, "System Description Table Header". */
const HEADER_LENGTH = 36;
const CHECKSUM = 9;
const TABLE_REVISION = 1;
/** Generic Address Structure: address spaces and access sizes. */
const SYSTEM_IO = 1;
const SYSTEM_MEMORY = 0;

const byteSum = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => (sum + byte) & 0xff, 0);

/** Makes the bytes sum to zero by the one at `at`. */
export function fixChecksum(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  bytes[at] = -byteSum(bytes);
}

/** Little-endian fields one after the other; the body of a table. */
export class TableWriter {
  private readonly bytes: number[] = [];

  /** Offset of the next field in the finished table, the standard header included. */
  get offset(): number {
    return HEADER_LENGTH + this.bytes.length;
  }
  u8(...values: number[]): this {
    for (const value of values) this.bytes.push(value & 0xff);
    return this;
  }
  u16(value: number): this {
    return this.u8(value, value >>> 8);
  }
  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }
  /** Below 2^53. */
  u64(value: number): this {
    return this.u32(value % 0x1_0000_0000).u32(Math.floor(value / 0x1_0000_0000));
  }
  zeros(count: number): this {
    return this.u8(...new Array<number>(count).fill(0));
  }
  text(value: string, width: number): this {
    return this.u8(...[...value.padEnd(width).slice(0, width)].map((c) => c.charCodeAt(0)));
  }
  append(values: Iterable<number>): this {
    return this.u8(...values);
  }
  /** Generic Address Structure for ports; the access size is that of the narrowest register in the block. */
  ioAddress(port: number, bytes: number, accessBytes: 1 | 2 | 4): this {
    const accessSize = { 1: 1, 2: 2, 4: 3 }[accessBytes];
    return this.u8(SYSTEM_IO, bytes * 8, 0, accessSize).u64(port);
  }
  memoryAddress(address: number, bits: number): this {
    return this.u8(SYSTEM_MEMORY, bits, 0, 0).u64(address);
  }
  noAddress(): this {
    return this.zeros(12);
  }
  raw(): Uint8Array {
    return Uint8Array.from(this.bytes);
  }

  /** The table with its header and checksum. */
  table(signature: string, revision: number): Uint8Array {
    const header = new TableWriter();
    header.text(signature, 4).u32(this.offset).u8(revision, 0).text('VMEXIT', 6).text('VMEXITPC', 8).u32(TABLE_REVISION).text('VMEX', 4).u32(TABLE_REVISION);
    const bytes = Uint8Array.from([...header.raw(), ...this.bytes]);
    fixChecksum(bytes, CHECKSUM);
    return bytes;
  }
}
