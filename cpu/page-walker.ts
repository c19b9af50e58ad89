/** Linear to physical: page walks in both dimensions. SDM "Paging". Physical addresses are JS numbers below 2^52. */
import { PAGE_SIZE } from '../memory/physical-memory';
import type { Cpu } from './cpu';
import { EventType, NestedAccess, type InterceptedPage } from './interfaces';
import { R } from './layout';
import { Cr0, Cr4, Efer, Flag, UNWIND, Vector } from './registers';
import { TranslationCache } from './translation-cache';

/** What an access does; Supervisor marks implicit supervisor accesses (descriptor tables, TSS, event delivery). */
export const Access = { Read: 1, Write: 2, Fetch: 4, Supervisor: 8 } as const;

/** An address that is not to be had: a VM exit has replaced the state, or cpu.fault says what to deliver. */
export const EXITED = -1,
  FAULTED = -2;

const TWO32 = 0x1_0000_0000;
/** 51:12 of the upper half of an entry, before MAXPHYADDR narrows it. */
const HIGH_ADDRESS = 0x000f_ffff;
/** Page-fault error code bits. */
const Pf = { Present: 1, Write: 2, User: 4, Reserved: 8, Fetch: 16 } as const;
/** Paging-structure entry bits (low half). */
const Pte = { P: 1, W: 2, U: 4, A: 0x20, D: 0x40, PS: 0x80, G: 0x100 } as const;
/** Bits 2:1 and 8:5 of a page-directory-pointer entry of PAE. */
const PDPTE_RESERVED_LOW = 0x1e6;

export abstract class PageWalker extends TranslationCache {
  /** Walks so far: statistics. */
  walks = 0;

  /** Guest-physical address of the entry used at each level of the last walk. */
  private readonly tableAddress = [0, 0, 0, 0, 0, 0];
  // Result of the last walk.
  private page = 0;
  protected userPage = false;
  protected writablePage = false;
  private executablePage = false;
  protected dirty = false;
  protected large = false;
  protected nestedPermissions = 7;
  /** Physical address of a page that `interceptor` answers for; Infinity: there is none. */
  private interceptedPage = Infinity;
  protected interceptor: InterceptedPage | undefined;
  private readonly reservedHigh: number;
  /** Low bits that must be zero in PML5 and PML4 entries, and in PDP entries that refer to a table: bit 8 on AMD, none on Intel. */
  private readonly reservedUpper: number;

  constructor(cpu: Cpu) {
    super(cpu);
    this.reservedUpper = cpu.profile.vendor === 'amd' ? Pte.G : 0;
    this.reservedHigh = (HIGH_ADDRESS & ~(2 ** (cpu.profile.physicalAddressWidth - 32) - 1)) >>> 0;
  }

  /** Reads a guest-physical quadword through the nested translation, as PDPTE loads do. */
  readPhysical64(physical: number): bigint {
    const nested = this.cpu.nested;
    // No linear address is being translated: an EPT violation must say so.
    if (nested === undefined || !nested.active) return this.memory.read64(physical);
    return this.memory.read64(this.tableOrUnwind(nested.translate(physical, NestedAccess.Read | NestedAccess.Table, 0n)));
  }

  /**
   * From now on `interceptor` answers for the page at `physical`, or for none (undefined). Translations of it that are cached stay in
   * use until software invalidates them.
   */
  intercept(physical: number, interceptor: InterceptedPage | undefined): void {
    this.interceptedPage = interceptor === undefined ? Infinity : physical;
    this.interceptor = interceptor;
  }

  protected intercepts(physical: number): boolean {
    return physical >= this.interceptedPage && physical < this.interceptedPage + PAGE_SIZE;
  }

  /** A paging-structure entry, which nobody answers for but memory. */
  private tableOrUnwind(physical: number): number {
    if (!this.intercepts(physical)) return this.orUnwind(physical);
    this.interceptor!.refuseTable();
    return this.cpu.unwind();
  }

  /** For those who cannot go on without the address. */
  orUnwind(physical: number): number {
    if (physical >= 0) return physical;
    if (physical === FAULTED) throw UNWIND;
    return this.cpu.unwind();
  }

  private nestedTable(gpa: number, access: number, linear: bigint): number {
    const nested = this.cpu.nested;
    if (nested === undefined || !nested.active) return gpa;
    return this.tableOrUnwind(nested.translate(gpa, access | NestedAccess.Table | NestedAccess.LinearValid, linear));
  }

  private pageFault(code: number, low: number, high: number): number {
    const payload = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    this.cpu.fault = { vector: Vector.PF, type: EventType.HardwareException, errorCode: code, payload, length: 0 };
    return FAULTED;
  }

  /**
   * Physical address (after both dimensions) of a linear address for `access`; raises #PF or exits. Sets accessed and dirty bits.
   * Both halves are 32-bit numbers of either sign.
   */
  translate(low: number, high: number, access: number): number {
    return this.orUnwind(this.addressOf(low, high, access));
  }

  /** The same, but negative, and nothing thrown, where the address or the final access is refused: EXITED, or FAULTED with cpu.fault. */
  addressOf(low: number, high: number, access: number): number {
    const physical = this.translateOrExit(low, high, access);
    // Who asks for no more than the address cannot have the access answered.
    if (physical >= 0 && this.intercepts(physical) && !this.interceptor!.permits(physical & 0xfff, Infinity, access)) return EXITED;
    return physical;
  }

  /** Page faults of a guest, and device accesses of a VM, are frequent, and exceptions dear: negative as addressOf(). */
  protected translateOrExit(low: number, high: number, access: number): number {
    const cpu = this.cpu;
    const cr0 = cpu.cr0;
    this.walks++;
    if ((cr0 & Cr0.PG) === 0) {
      this.page = (low & ~0xfff) >>> 0;
      this.userPage = false;
      this.writablePage = this.executablePage = this.dirty = true;
      this.large = false;
    } else if (this.walk(low | 0, high | 0, access, cr0) < 0) return FAULTED;
    const nested = cpu.nested;
    if (nested !== undefined && nested.active) {
      const kind = access & Access.Fetch ? NestedAccess.Fetch : access & Access.Write ? NestedAccess.Write : NestedAccess.Read;
      const information =
        NestedAccess.LinearValid |
        (this.userPage ? NestedAccess.GuestUser : 0) |
        (this.writablePage ? NestedAccess.GuestWritable : 0) |
        (this.executablePage ? NestedAccess.GuestExecutable : 0);
      const linear = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
      const gpa = this.page + (low & 0xfff);
      const physical = nested.translate(gpa, kind | information, linear);
      this.nestedPermissions = nested.permissions;
      cpu.observer.pageWalk?.(cpu, low, high, access, physical);
      return physical;
    }
    this.nestedPermissions = 7;
    cpu.observer.pageWalk?.(cpu, low, high, access, this.page + (low & 0xfff));
    return this.page + (low & 0xfff);
  }

  /** FAULTED, or 0 and the result in fields. */
  private walk(low: number, high: number, access: number, cr0: number): number {
    const cpu = this.cpu;
    const cr4 = cpu.cr4;
    const efer = cpu.efer;
    const long = (efer & Efer.LMA) !== 0;
    const pae = (cr4 & Cr4.PAE) !== 0;
    const nxe = pae && (efer & Efer.NXE) !== 0;
    const user = cpu.get32(R.CPL) === 3 && (access & Access.Supervisor) === 0;
    const smep = (cr4 & Cr4.SMEP) !== 0;
    const write = (access & Access.Write) !== 0;
    const fetch = (access & Access.Fetch) !== 0;
    const code = (write ? Pf.Write : 0) | (user ? Pf.User : 0) | (fetch && (nxe || smep) ? Pf.Fetch : 0);
    const nested = cpu.nested !== undefined && cpu.nested.active;
    const linear = nested ? (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0) : 0n;
    const memory = this.memory;
    const u32 = memory.u32;

    let writable = true;
    let userAll = true;
    let noExecute = false;
    let table: number;
    let level: number;
    let entryBytes = 8;
    if (long) {
      level = (cr4 & Cr4.LA57) !== 0 ? 5 : 4;
      table = (cpu.get32(R.CR3) & ~0xfff) >>> 0;
      table += (cpu.get32(R.CR3 + 4) & HIGH_ADDRESS) * TWO32;
    } else if (pae && nested && cpu.nested!.walksPdptes === true) {
      level = 2;
      table = this.walkPdpte(low, code, linear);
      if (table < 0) return FAULTED;
    } else if (pae) {
      const pdpte = R.PDPTE0 + (low >>> 30) * 8;
      const entry = cpu.get32(pdpte);
      if ((entry & Pte.P) === 0) return this.pageFault(code, low, 0);
      level = 2;
      table = ((entry & ~0xfff) >>> 0) + (cpu.get32(pdpte + 4) & HIGH_ADDRESS) * TWO32;
    } else {
      level = 2;
      entryBytes = 4;
      table = (cpu.get32(R.CR3) & ~0xfff) >>> 0;
    }
    // Host addresses of the entries used, so that accessed bits are set only once the access is known to be allowed.
    let used0 = 0,
      used1 = 0,
      used2 = 0,
      used3 = 0,
      used4 = 0;
    let entryLow = 0;
    let entryHigh = 0;
    for (;;) {
      let index: number;
      if (entryBytes === 4) index = level === 2 ? low >>> 22 : (low >>> 12) & 0x3ff;
      else if (level === 5) index = (high >>> 16) & 0x1ff;
      else if (level === 4) index = (high >>> 7) & 0x1ff;
      else if (level === 3) index = ((high & 0x7f) << 2) | (low >>> 30);
      else index = (low >>> (level === 2 ? 21 : 12)) & 0x1ff;
      let physical = table + index * entryBytes;
      this.tableAddress[level] = physical;
      if (nested) physical = this.nestedTable(physical, NestedAccess.Read, linear);
      const host = memory.host(physical);
      if (host === 0) {
        // Tables outside RAM read as the bus answers; there is nothing to set bits in.
        entryLow = memory.read32(physical) | 0;
        entryHigh = entryBytes === 8 ? memory.read32(physical + 4) | 0 : 0;
      } else {
        entryLow = u32[host >>> 2] | 0;
        entryHigh = entryBytes === 8 ? u32[(host >>> 2) + 1] | 0 : 0;
      }
      if (level === 5) used4 = host;
      else if (level === 4) used3 = host;
      else if (level === 3) used2 = host;
      else if (level === 2) used1 = host;
      else used0 = host;
      if ((entryLow & Pte.P) === 0) return this.pageFault(code, low, long ? high : 0);
      const leaf = level === 1 || ((entryLow & Pte.PS) !== 0 && level <= 3 && (entryBytes === 8 || (cr4 & Cr4.PSE) !== 0));
      if (this.reserved(entryLow, entryHigh, level, leaf, entryBytes, nxe, long)) return this.pageFault(code | Pf.Present | Pf.Reserved, low, long ? high : 0);
      if ((entryLow & Pte.W) === 0) writable = false;
      if ((entryLow & Pte.U) === 0) userAll = false;
      if (entryHigh < 0) noExecute = true;
      if (leaf) break;
      table = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
      level--;
    }

    // Permissions: SDM "Determination of Access Rights".
    const ac = (cpu.get32(R.RFLAGS_SYSTEM) & Flag.AC) !== 0 && (access & Access.Supervisor) === 0;
    let refused: boolean;
    if (user) refused = !userAll || (write && !writable) || (fetch && noExecute);
    else if (fetch) refused = noExecute || (userAll && smep);
    else refused = (userAll && (cr4 & Cr4.SMAP) !== 0 && !ac) || (write && !writable && (cr0 & Cr0.WP) !== 0);
    if (refused) return this.pageFault(code | Pf.Present, low, long ? high : 0);

    // Accessed and dirty bits.
    if (used4 !== 0 && (u32[used4 >>> 2] & Pte.A) === 0) this.setBits(used4, this.tableAddress[5], Pte.A, nested, linear);
    if (used3 !== 0 && (u32[used3 >>> 2] & Pte.A) === 0) this.setBits(used3, this.tableAddress[4], Pte.A, nested, linear);
    if (used2 !== 0 && level < 3 && (u32[used2 >>> 2] & Pte.A) === 0) this.setBits(used2, this.tableAddress[3], Pte.A, nested, linear);
    if (used1 !== 0 && level < 2 && (u32[used1 >>> 2] & Pte.A) === 0) this.setBits(used1, this.tableAddress[2], Pte.A, nested, linear);
    const leafHost = level === 1 ? used0 : level === 2 ? used1 : used2;
    const bits = Pte.A | (write ? Pte.D : 0);
    if (leafHost !== 0 && (entryLow & bits) !== bits) {
      this.setBits(leafHost, this.tableAddress[level], bits, nested, linear);
      entryLow |= bits;
    }

    if (level === 1) this.page = ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
    else if (entryBytes === 4) this.page = ((entryLow & 0xffc0_0000) >>> 0) + ((entryLow >>> 13) & 0xff) * TWO32 + (low & 0x3f_f000);
    else if (level === 2) this.page = ((entryLow & 0xffe0_0000) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32 + (low & 0x1f_f000);
    else this.page = ((entryLow & 0xc000_0000) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32 + (low & 0x3fff_f000);
    this.userPage = userAll;
    this.writablePage = writable || (!user && (cr0 & Cr0.WP) === 0);
    this.executablePage = !noExecute;
    this.dirty = (entryLow & Pte.D) !== 0;
    this.large = level > 1;
    return 0;
  }

  /** Address of the page directory, by the PDPTE in guest memory: its reserved bits are found here and not by MOV to CR3. */
  private walkPdpte(low: number, code: number, linear: bigint): number {
    const cpu = this.cpu;
    const physical = this.nestedTable(((cpu.get32(R.CR3) & ~0x1f) >>> 0) + (low >>> 30) * 8, NestedAccess.Read, linear);
    const entryLow = this.memory.read32(physical) | 0;
    const entryHigh = this.memory.read32(physical + 4) | 0;
    if ((entryLow & Pte.P) === 0) return this.pageFault(code, low, 0);
    if ((entryLow & PDPTE_RESERVED_LOW) !== 0 || (entryHigh & (~HIGH_ADDRESS | this.reservedHigh)) !== 0)
      return this.pageFault(code | Pf.Present | Pf.Reserved, low, 0);
    return ((entryLow & ~0xfff) >>> 0) + (entryHigh & HIGH_ADDRESS) * TWO32;
  }

  private setBits(host: number, gpa: number, bits: number, nested: boolean, linear: bigint): void {
    const physical = this.memory.physical(host);
    // With nested paging the table page must be writable in the second dimension too; the walk gave read access only.
    if (nested) this.nestedTable(gpa, NestedAccess.Write, linear);
    this.memory.aboutToWrite(physical, host, 4);
    this.memory.u32[host >>> 2] |= bits;
  }

  private reserved(low: number, high: number, level: number, leaf: boolean, entryBytes: number, nxe: boolean, long: boolean): boolean {
    if (entryBytes === 4) {
      if (!leaf || level === 1) return false;
      return (low & 0x0020_0000) !== 0 || ((low >>> 13) & 0xff & ~(this.reservedHigh ^ HIGH_ADDRESS)) !== 0;
    }
    if ((high & this.reservedHigh) !== 0) return true;
    if (high < 0 && !nxe) return true;
    if (!long && (high & 0x7ff0_0000) !== 0) return true;
    if (level >= 4 && (low & Pte.PS) !== 0) return true;
    if (level > 2 && !leaf && (low & this.reservedUpper) !== 0) return true;
    if (leaf && level === 2) return (low & 0x001f_e000) !== 0;
    if (leaf && level === 3) return (low & 0x3fff_e000) !== 0;
    return false;
  }
}
