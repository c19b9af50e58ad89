/**
 * Page walks as data: every entry that the processor would read, in both dimensions, with what it says. Nothing is changed: no accessed
 * flags, no caches, no exits. SDM "Paging", "The Extended Page Table Mechanism (EPT)"; APM "Nested Paging".
 */
import { isCanonical } from '../cpu/canonical';
import { Cr0, Cr4, Efer, type Cpu } from '../cpu/cpu';
import { R } from '../cpu/layout';

/** Physical memory as walks read it; undefined where there is no RAM. */
export type ReadPhysical = (physical: number) => bigint | undefined;

export interface WalkEntry {
  /** "PML5E", "PML4E", "PDPTE", "PDE", "PTE", or the same with EPT in front. */
  readonly name: string;
  /** Address of the entry in the space that this dimension's tables are in. */
  readonly address: number;
  readonly index: number;
  readonly value: bigint;
  readonly present: boolean;
  /** The entry maps a page: of so many bytes. */
  readonly pageSize: number | undefined;
  /** Guest entries under nested paging: how the processor got to `address`. */
  readonly nested: Walk | undefined;
}

export interface Walk {
  /** "5-level", "4-level", "PAE", "32-bit", "EPT", "NPT", or "none" without paging. */
  readonly kind: WalkKind;
  /** The address that was translated. */
  readonly address: bigint;
  readonly entries: readonly WalkEntry[];
  /** What it is translated to; undefined when something is missing on the way (`problem`). */
  readonly result: number | undefined;
  readonly problem: string | undefined;
  /** Guest walks under nested paging: of the final address. */
  readonly nested: Walk | undefined;
}

export type WalkKind = '5-level' | '4-level' | 'PAE' | '32-bit' | 'EPT' | 'NPT' | 'none';

const LEVEL_NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'] as const;
const ADDRESS = 0x000f_ffff_ffff_f000n;
const PRESENT = 1n;
const LARGE = 0x80n;
const EPT_PERMISSIONS = 7n;

/** Second dimension: guest-physical to host-physical. */
export interface NestedWalker {
  readonly kind: 'EPT' | 'NPT';
  /** Physical address of the top table. */
  readonly root: number;
  /** Absent: 4. */
  readonly levels?: 4 | 5;
}

interface Format {
  readonly kind: WalkKind;
  readonly levels: 2 | 3 | 4 | 5;
  readonly entryBytes: 4 | 8;
  /** Bits of an entry one of which must be 1. */
  readonly presentMask: bigint;
  /** Highest level with large pages. */
  readonly largeUpTo: number;
}

const FOUR_LEVEL: Format = { kind: '4-level', levels: 4, entryBytes: 8, presentMask: PRESENT, largeUpTo: 3 };
const FORMATS = {
  long: FOUR_LEVEL,
  la57: { ...FOUR_LEVEL, kind: '5-level', levels: 5 },
  npt: { ...FOUR_LEVEL, kind: 'NPT' },
  ept: { ...FOUR_LEVEL, kind: 'EPT', presentMask: EPT_PERMISSIONS },
  pae: { kind: 'PAE', levels: 2, entryBytes: 8, presentMask: PRESENT, largeUpTo: 2 },
  legacy: { kind: '32-bit', levels: 2, entryBytes: 4, presentMask: PRESENT, largeUpTo: 2 },
} as const satisfies Record<string, Format>;

export class PageWalks {
  /** @param host RAM of the physical machine. @param nested how guest-physical addresses are translated; undefined: they are not. */
  constructor(
    private readonly host: ReadPhysical,
    private readonly nested: () => NestedWalker | undefined,
  ) {}

  /** From guest-physical to host-physical. */
  physical(gpa: number): Walk {
    const nested = this.nested();
    if (nested === undefined) return { kind: 'none', address: BigInt(gpa), entries: [], result: gpa, problem: undefined, nested: undefined };
    const format = FORMATS[nested.kind === 'EPT' ? 'ept' : 'npt'];
    return this.walk(nested.levels === 5 ? { ...format, levels: 5 } : format, nested.root, BigInt(gpa), undefined);
  }

  /** From a linear address of the guest whose registers `cpu` has. */
  linear(cpu: Cpu, linear: bigint): Walk {
    const nested = this.nested() === undefined ? undefined : (gpa: number): Walk => this.physical(gpa);
    if ((cpu.cr0 & Cr0.PG) === 0) {
      const address = Number(linear);
      if (address > 0xffff_ffff) {
        return {
          kind: 'none',
          address: linear,
          entries: [],
          result: undefined,
          problem: 'paging is off, and linear addresses have 32 bits',
          nested: undefined,
        };
      }
      const final = nested?.(address);
      return { kind: 'none', address: linear, entries: [], result: address, problem: final?.problem, nested: final };
    }
    if ((cpu.efer & Efer.LMA) !== 0) {
      const format = (cpu.cr4 & Cr4.LA57) !== 0 ? FORMATS.la57 : FORMATS.long;
      if (!isCanonical(linear, format === FORMATS.la57 ? 57 : 48)) {
        return { kind: format.kind, address: linear, entries: [], result: undefined, problem: 'the address is not canonical', nested: undefined };
      }
      return this.walk(format, Number(cpu.get64(R.CR3) & ADDRESS), linear, nested);
    }
    if ((cpu.cr4 & Cr4.PAE) === 0) {
      const pse = (cpu.cr4 & Cr4.PSE) !== 0;
      return this.walk({ ...FORMATS.legacy, largeUpTo: pse ? 2 : 0 }, Number(cpu.get64(R.CR3) & 0xffff_f000n), linear & 0xffff_ffffn, nested);
    }
    return this.pae(cpu, linear & 0xffff_ffffn, nested);
  }

  /** The PDPTEs are registers: no memory is read for them. */
  private pae(cpu: Cpu, linear: bigint, nested: ((gpa: number) => Walk) | undefined): Walk {
    const index = Number(linear >> 30n);
    const value = cpu.get64(R.PDPTE0 + 8 * index);
    if ((value & PRESENT) === 0n) {
      return { kind: 'PAE', address: linear, entries: [], result: undefined, problem: `PDPTE${index} is not present`, nested: undefined };
    }
    return this.walk(FORMATS.pae, Number(value & ADDRESS), linear, nested);
  }

  private walk(format: Format, root: number, address: bigint, nested: ((gpa: number) => Walk) | undefined): Walk {
    const { kind, levels, entryBytes, presentMask, largeUpTo } = format;
    const bitsPerLevel = entryBytes === 8 ? 9n : 10n;
    const entries: WalkEntry[] = [];
    const failed = (problem: string): Walk => ({ kind, address, entries, result: undefined, problem, nested: undefined });
    let table = root;
    for (let level: number = levels; ; level--) {
      const shift = 12n + bitsPerLevel * BigInt(level - 1);
      const index = Number((address >> shift) & ((1n << bitsPerLevel) - 1n));
      const at = table + index * entryBytes;
      const name = `${kind === 'EPT' ? 'EPT ' : kind === 'NPT' ? 'nested ' : ''}${LEVEL_NAMES[level]}`;
      const way = nested?.(at);
      const host = way === undefined ? at : way.result;
      if (host === undefined) return failed(`the ${name} at guest-physical 0x${at.toString(16)} is not mapped: ${way!.problem}`);
      const value = this.read(host, entryBytes);
      if (value === undefined) return failed(`the ${name} at 0x${at.toString(16)} is not in RAM`);
      const present = (value & presentMask) !== 0n;
      const leaf = level === 1 || (level <= largeUpTo && (value & LARGE) !== 0n);
      const pageSize = present && leaf ? 2 ** Number(shift) : undefined;
      entries.push({ name, address: at, index, value, present, pageSize, nested: way });
      if (!present) return failed(`the ${name} is not present`);
      if (pageSize !== undefined) {
        const result = frameOf(value, pageSize, entryBytes) + Number(address & BigInt(pageSize - 1));
        const final = nested?.(result);
        return { kind, address, entries, result, problem: final?.problem, nested: final };
      }
      table = Number(value & (entryBytes === 8 ? ADDRESS : 0xffff_f000n));
    }
  }

  private read(physical: number, bytes: 4 | 8): bigint | undefined {
    const aligned = this.host(physical - (physical % 8));
    if (aligned === undefined || bytes === 8) return aligned;
    return physical % 8 === 0 ? aligned & 0xffff_ffffn : aligned >> 32n;
  }
}

/** 4-MByte pages keep bits 39:32 of their address in bits 20:13 of the entry (PSE-36). */
function frameOf(value: bigint, pageSize: number, entryBytes: 4 | 8): number {
  if (entryBytes === 8) return Number(value & ADDRESS & ~BigInt(pageSize - 1));
  if (pageSize === 4096) return Number(value & 0xffff_f000n);
  return Number((value & 0xffc0_0000n) | (((value >> 13n) & 0xffn) << 32n));
}

/** The last physical address of the walk, behind both dimensions; undefined when it fails. */
export const hostAddress = (walk: Walk): number | undefined => (walk.nested === undefined ? walk.result : walk.nested.result);

/** Memory references that the processor makes for the walk with nothing cached: 24 for four levels by four. */
export function referencesOf(walk: Walk): number {
  const own = walk.entries.reduce((sum, e) => sum + 1 + (e.nested === undefined ? 0 : referencesOf(e.nested)), 0);
  return own + (walk.nested === undefined ? 0 : referencesOf(walk.nested));
}
