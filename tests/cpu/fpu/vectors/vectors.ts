import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** Name, bytes, pool of the memory operand, pools of XMM0 and XMM1. */
type RecordedOp = readonly [name: string, bytes: string, memory: number, a: number, b: number];

interface Header {
  readonly kind: string;
  readonly records: number;
  readonly poolSize: number;
  readonly pools: readonly string[];
  readonly ops: readonly RecordedOp[];
  readonly columns: readonly (readonly [name: string, size: number])[];
}

/** A file that record.c wrote: see README.md. */
export class Vectors {
  readonly records: number;
  readonly ops: readonly RecordedOp[];
  private readonly poolSize: number;
  private readonly pools: Buffer;
  private readonly columns = new Map<string, { size: number; data: Buffer }>();

  constructor(file: string) {
    const raw = readFileSync(file.startsWith('/') ? file : join(__dirname, file));
    const bytes = file.endsWith('.gz') ? gunzipSync(raw) : raw;
    const end = bytes.indexOf(10);
    const header = JSON.parse(bytes.toString('latin1', 0, end)) as Header;
    this.records = header.records;
    this.ops = header.ops;
    this.poolSize = header.poolSize;
    let at = end + 1;
    const take = (length: number): Buffer => bytes.subarray(at, (at += length));
    this.pools = take(header.pools.length * header.poolSize * 16);
    for (const [name, size] of header.columns) this.columns.set(name, { size, data: take(size * header.records) });
    if (at !== bytes.length) throw new Error(`${file}: ${bytes.length - at} bytes left over`);
  }

  /** Sixteen bytes of a pool. */
  pool(pool: number, index: number): Buffer {
    const at = (pool * this.poolSize + index) * 16;
    return this.pools.subarray(at, at + 16);
  }

  item(name: string, record: number): Buffer {
    const column = this.columns.get(name);
    if (!column) throw new Error(`no column ${name}`);
    return column.data.subarray(record * column.size, (record + 1) * column.size);
  }

  number(name: string, record: number): number {
    const item = this.item(name, record);
    return item.length === 1 ? item[0] : item.readUInt16LE(0);
  }
}

/** Little-endian bytes as a number. */
export const wide = (bytes: Uint8Array): bigint => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
