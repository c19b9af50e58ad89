/** The tables a processor needs at entry: a GDT, and for 64-bit entries page tables that map the first 4 GiB one to one. */
import { BootSelector, type TableRegister } from './entry-state';
import type { Placement } from './placement';

const CODE64 = 0x00af_9b00_0000_ffffn;
const CODE32 = 0x00cf_9b00_0000_ffffn;
const DATA = 0x00cf_9300_0000_ffffn;
/** Base 0, limit 67h, present busy TSS: what TR claims to have been loaded from. */
const TSS = 0x0000_8b00_0000_0067n;
/** A 64-bit TSS descriptor has 16 bytes. */
const GDT_SIZE = BootSelector.TSS + 16;

export function placeGdt(placement: Placement, mode: 'long64' | 'protected32'): TableRegister {
  const gdt = new DataView(new ArrayBuffer(GDT_SIZE));
  gdt.setBigUint64(BootSelector.CS, mode === 'long64' ? CODE64 : CODE32, true);
  gdt.setBigUint64(BootSelector.DS, DATA, true);
  gdt.setBigUint64(BootSelector.TSS, TSS, true);
  return { base: placement.table(new Uint8Array(gdt.buffer), 'the GDT'), limit: GDT_SIZE - 1 };
}

const PAGE = 4096;
const PRESENT_WRITABLE = 0x3n;
const LARGE = 0x80n;
const LARGE_PAGE = 0x20_0000n;
const GIB = 4;

/** Four-level tables, 2 MiB pages: PML4, PDPT, and a directory for each GiB. Returns the value for CR3. */
export function placeIdentityMap(placement: Placement): number {
  const tables = new DataView(new ArrayBuffer((2 + GIB) * PAGE));
  const base = placement.table(new Uint8Array(tables.buffer), 'the page tables', PAGE);
  const page = (n: number): bigint => BigInt(base + n * PAGE) | PRESENT_WRITABLE;
  tables.setBigUint64(0, page(1), true);
  for (let g = 0; g < GIB; g++) tables.setBigUint64(PAGE + g * 8, page(2 + g), true);
  for (let i = 0; i < GIB * 512; i++) tables.setBigUint64(2 * PAGE + i * 8, (BigInt(i) * LARGE_PAGE) | LARGE | PRESENT_WRITABLE, true);
  return base;
}
