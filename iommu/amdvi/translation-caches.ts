/**
 * What the unit keeps of its tables: device table entries, translations (IOTLB), page directory entries, interrupt table entries. They
 * stay until a command invalidates them or they make room, whatever happens to the tables. Entries that are not present are not kept
 * (NpCache = 0).
 */
import { BoundedMap } from '../bounded-map';
import { keptSteps, type WalkStep } from '../remapping';
import type { Stateful } from '../../memory/stateful';
import type { WalkStart } from './page-walk';
import type { DeviceTableEntry } from './spec/device-table';
import type { InterruptEntry } from './spec/interrupt-table';
import { levelShift } from './spec/page-table';

/** Who filled an entry, when (ticks), and what it was made from. */
export interface Fill {
  readonly filledBy: number;
  readonly filledAt: number;
  readonly path: readonly WalkStep[];
}

export interface CachedDevice extends Fill {
  readonly entry: DeviceTableEntry;
}

export interface CachedPage extends Fill {
  /** Of the page, in I/O virtual and physical addresses. */
  readonly base: number;
  readonly physical: number;
  readonly shift: number;
  readonly read: boolean;
  readonly write: boolean;
}

/** A page directory entry: where the walk for [base, base + 2^shift) can begin. */
interface CachedTable extends WalkStart {
  readonly base: number;
  readonly shift: number;
}

export interface CachedInterrupt extends Fill {
  readonly entry: InterruptEntry;
}

const DEVICES = 64;
const INTERRUPTS = 256;
const DOMAINS = 256;
/** Entries a domain. */
const PAGES = 512;
const TABLES = 128;
const INTERRUPT_INDEXES = 2048;
const SHIFTS = 64;

const keyOf = (address: number, shift: number): number => Math.floor(address / 2 ** shift) * SHIFTS + shift;
const interruptKey = (device: number, index: number): number => device * INTERRUPT_INDEXES + index;
/** What a table of `level` translates. */
const coverage = (level: number): number => levelShift(level + 1);

class DomainCaches {
  readonly pages = new BoundedMap<CachedPage>(PAGES);
  readonly tables = new BoundedMap<CachedTable>(TABLES);
  /** Page sizes that have been cached. */
  shifts: number[] = [];
}

export interface TranslationCachesState {
  readonly devices: [number, CachedDevice][];
  readonly faulted: number[];
  readonly domains: [domain: number, shifts: number[], pages: [number, CachedPage][], tables: [number, CachedTable][]][];
  readonly interrupts: [number, CachedInterrupt][];
}

export class TranslationCaches implements Stateful<TranslationCachesState> {
  readonly devices = new BoundedMap<CachedDevice>(DEVICES);
  /** Devices with a page fault logged since their entry was read: with DTE.SE it was the last one. */
  readonly faulted = new Set<number>();
  private readonly domains = new BoundedMap<DomainCaches>(DOMAINS);
  private readonly interrupts = new BoundedMap<CachedInterrupt>(INTERRUPTS);

  // ---- lookups and fills ----

  page(domain: number, address: number): CachedPage | undefined {
    const caches = this.domains.get(domain);
    if (caches === undefined) return undefined;
    for (const shift of caches.shifts) {
      const page = caches.pages.get(keyOf(address, shift));
      if (page !== undefined) return page;
    }
    return undefined;
  }

  fillPage(domain: number, page: CachedPage): void {
    const caches = this.ofDomain(domain);
    // The tables may have had another page size for the address before.
    for (const shift of caches.shifts) caches.pages.delete(keyOf(page.base, shift));
    if (!caches.shifts.includes(page.shift)) caches.shifts.push(page.shift);
    caches.pages.set(keyOf(page.base, page.shift), page);
  }

  /** The lowest table that is known for the address, below tables of `levels` levels. */
  table(domain: number, address: number, levels: number): WalkStart | undefined {
    const tables = this.domains.get(domain)?.tables;
    if (tables === undefined) return undefined;
    for (let level = 1; level < levels; level++) {
      const table = tables.get(keyOf(address, coverage(level)));
      if (table !== undefined) return table;
    }
    return undefined;
  }

  fillTable(domain: number, address: number, table: WalkStart, filledBy: number, filledAt: number): void {
    const shift = coverage(table.level);
    this.ofDomain(domain).tables.set(keyOf(address, shift), {
      ...table,
      path: keptSteps(table.path, filledBy, filledAt),
      base: address - (address % 2 ** shift),
      shift,
    });
  }

  interrupt(device: number, index: number): CachedInterrupt | undefined {
    return this.interrupts.get(interruptKey(device, index));
  }

  fillInterrupt(device: number, index: number, entry: CachedInterrupt): void {
    this.interrupts.set(interruptKey(device, index), entry);
  }

  private ofDomain(domain: number): DomainCaches {
    let caches = this.domains.get(domain);
    if (caches === undefined) this.domains.set(domain, (caches = new DomainCaches()));
    return caches;
  }

  // ---- invalidation ----

  invalidateAll(): void {
    this.devices.clear();
    this.domains.clear();
    this.interrupts.clear();
  }

  /** Translations of [base, base + size); page directory entries only if asked for. */
  invalidatePages(domain: number, base: number, size: number, directories: boolean): void {
    const caches = this.domains.get(domain);
    if (caches === undefined) return;
    const overlaps = (range: { readonly base: number; readonly shift: number }): boolean => range.base < base + size && base < range.base + 2 ** range.shift;
    caches.pages.deleteWhere(overlaps);
    if (directories) caches.tables.deleteWhere(overlaps);
  }

  invalidateInterrupts(device: number): void {
    this.interrupts.deleteWhere((_, key) => Math.floor(key / INTERRUPT_INDEXES) === device);
  }

  /** Entries of each cache. */
  get sizes(): Record<'devices' | 'translations' | 'directories' | 'interrupts', number> {
    const sizes = { devices: this.devices.size, translations: 0, directories: 0, interrupts: this.interrupts.size };
    for (const [, { pages, tables }] of this.domains.entries()) {
      sizes.translations += pages.size;
      sizes.directories += tables.size;
    }
    return sizes;
  }

  saveState(): TranslationCachesState {
    const domains = [...this.domains.entries()].map(([domain, { shifts, pages, tables }]): TranslationCachesState['domains'][number] => [
      domain,
      [...shifts],
      pages.saveState(),
      tables.saveState(),
    ]);
    return { devices: this.devices.saveState(), faulted: [...this.faulted], domains, interrupts: this.interrupts.saveState() };
  }

  restoreState({ devices, faulted, domains, interrupts }: TranslationCachesState): void {
    this.devices.restoreState(devices);
    this.faulted.clear();
    for (const device of faulted) this.faulted.add(device);
    this.interrupts.restoreState(interrupts);
    this.domains.clear();
    for (const [domain, shifts, pages, tables] of domains) {
      const caches = this.ofDomain(domain);
      caches.shifts = [...shifts];
      caches.pages.restoreState(pages);
      caches.tables.restoreState(tables);
    }
  }
}
