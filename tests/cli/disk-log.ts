/** The bundled guest disk-log, and what it leaves on its disk: records of 4 KiB, as guests/bundled/disk-log/disk-log.c writes them. */
import { join } from 'node:path';

export const DISK_LOG = join(__dirname, '../../guests/bundled/disk-log/disk-log.elf');
export const RECORD = 4096;

const MAGIC = Buffer.from('DISKLOG1', 'latin1').readBigUInt64LE();
const u64 = (value: bigint): bigint => BigInt.asUintN(64, value);

/** The sequence number of a whole record; undefined: it is none, or a torn one. FNV-1a over all words but the last, which holds the sum. */
function sequenceOf(record: Buffer): number | undefined {
  let sum = 0xcbf2_9ce4_8422_2325n;
  for (let at = 0; at < RECORD - 8; at += 8) sum = u64((sum ^ record.readBigUInt64LE(at)) * 0x100_0000_01b3n);
  return record.readBigUInt64LE(0) === MAGIC && record.readBigUInt64LE(RECORD - 8) === sum ? Number(record.readBigUInt64LE(8)) : undefined;
}

/** By slot. */
export function sequences(disk: Buffer): (number | undefined)[] {
  return Array.from({ length: disk.length / RECORD }, (_, i) => sequenceOf(disk.subarray(i * RECORD, (i + 1) * RECORD)));
}
