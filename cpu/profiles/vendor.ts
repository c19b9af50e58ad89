/** What a vendor's identity is made of (intel.ts, amd.ts). */
export type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];
export type Leaf = readonly [leaf: number, subleaf: number, registers: Registers];

export interface VendorIdentity {
  readonly vendor: 'intel' | 'amd';
  readonly physicalAddressWidth: number;
  /** Features present unless removed. */
  readonly defaults: readonly string[];
  /** Leaves for which ECX selects a subleaf; all others ignore ECX. */
  readonly leavesWithSubleaves: ReadonlySet<number>;
  /** Every leaf, without the feature bits of features.ts. */
  leaves(features: ReadonlySet<string>, physicalAddressWidth: number): readonly Leaf[];
  /** Answer for a subleaf that `leaves` does not list. */
  beyondLastSubleaf(leaf: number, subleaf: number): Registers;
}

/** Leaf 8000_0008h EAX: MAXPHYADDR and, in bits 15:8, MAXLINADDR. */
export const addressWidths = (features: ReadonlySet<string>, physical: number): number => physical | ((features.has('la57') ? 57 : 48) << 8);

/** One key for leaf and subleaf. Subleaves above 255 do not exist. */
export const leafKey = (leaf: number, subleaf: number): number => leaf * 256 + Math.min(subleaf >>> 0, 255);

/** The twelve bytes of a vendor string in the order EBX, EDX, ECX. */
export function vendorString(text: string): readonly [ebx: number, ecx: number, edx: number] {
  const word = (at: number): number =>
    (text.charCodeAt(at) | (text.charCodeAt(at + 1) << 8) | (text.charCodeAt(at + 2) << 16) | (text.charCodeAt(at + 3) << 24)) >>> 0;
  return [word(0), word(8), word(4)];
}

/** Leaves 8000_0002h-8000_0004h: 47 characters and a NUL. */
export function brandString(text: string): Leaf[] {
  const bytes = new Uint8Array(48);
  for (let i = 0; i < Math.min(text.length, 47); i++) bytes[i] = text.charCodeAt(i);
  const words = new DataView(bytes.buffer);
  const w = (at: number): number => words.getUint32(at, true);
  return [0, 1, 2].map((n) => [0x8000_0002 + n, 0, [w(16 * n), w(16 * n + 4), w(16 * n + 8), w(16 * n + 12)]]);
}

/**
 * Leaf 4 (Intel) / 8000_001Dh (AMD), "Deterministic Cache Parameters": `type` 1 data, 2 instruction, 3 unified.
 * One logical processor shares every cache.
 */
export function cacheLeaf(type: 1 | 2 | 3, level: number, kib: number, ways: number, line = 64): Registers {
  const sets = (kib * 1024) / (ways * line);
  return [type | (level << 5) | (1 << 8), (((ways - 1) << 22) | (line - 1)) >>> 0, sets - 1, 0];
}

/** Bytes of the legacy region and header of an XSAVE area; x87 and SSE state need no more. */
export const XSAVE_BYTES = 576;
