/** A VT-d unit with memory around it, and a small driver. Offsets and encodings are written out as the specification has them. */
import type { InterruptMessage } from '../../../devices/interrupt-message';
import type { RemappingFault, StaleUse } from '../../../iommu/remapping';
import type { VtdOptions } from '../../../iommu/vtd/capabilities';
import { Vtd } from '../../../iommu/vtd/vtd';
import { PhysicalMemory } from '../../../memory/physical-memory';

export const ROOT = 0x1_0000;
export const CONTEXT = 0x1_1000;
export const TABLE = 0x2_0000;
export const QUEUE = 0x3_0000;
export const IRT = 0x4_0000;
/** 00:04.0. */
export const DEVICE = 0x20;
export const DOMAIN = 7;
export const READ_WRITE = 3n;

export const GCMD = { TE: 0x8000_0000, SRTP: 0x4000_0000, QIE: 0x0400_0000, IRE: 0x0200_0000, SIRTP: 0x0100_0000, CFI: 0x0080_0000 };

export class Bench {
  readonly memory = new PhysicalMemory(4 << 20);
  readonly delivered: InterruptMessage[] = [];
  readonly faults: RemappingFault[] = [];
  readonly stale: StaleUse[] = [];
  readonly unit: Vtd;
  now = 0;
  private tail = 0;

  constructor(options: VtdOptions = {}) {
    this.unit = new Vtd({ memory: this.memory, clock: { now: () => this.now }, deliver: (m) => void this.delivered.push(m) }, options);
    this.unit.observer = { fault: (f) => void this.faults.push(f), stale: (s) => void this.stale.push(s) };
  }

  // ---- registers ----

  read(offset: number): number {
    return this.unit.readMmio(offset, 4);
  }
  read64(offset: number): bigint {
    return BigInt(this.read(offset)) | (BigInt(this.read(offset + 4)) << 32n);
  }
  write(offset: number, value: number): void {
    this.unit.writeMmio(offset, 4, value >>> 0);
  }
  /** As a processor writes a qword: low half first. */
  write64(offset: number, value: bigint): void {
    this.write(offset, Number(value & 0xffff_ffffn));
    this.write(offset + 4, Number(value >> 32n));
  }
  /** Sets bits of GCMD beside those that GSTS shows as enabled. */
  command(bits: number): void {
    const enabled = this.read(0x1c) & 0x9680_0000;
    this.write(0x18, enabled | bits);
  }

  // ---- tables ----

  root(bus: number, low: bigint, high = 0n): void {
    this.memory.write64(ROOT + 16 * bus, low);
    this.memory.write64(ROOT + 16 * bus + 8, high);
  }
  context(devfn: number, low: bigint, high: bigint): void {
    this.memory.write64(CONTEXT + 16 * devfn, low);
    this.memory.write64(CONTEXT + 16 * devfn + 8, high);
  }
  /** Present, multi-level. */
  attach(devfn: number, levels: 3 | 4 | 5, table = TABLE, domain = DOMAIN): void {
    this.root(0, BigInt(CONTEXT) | 1n);
    this.context(devfn, BigInt(table) | 1n, BigInt(levels - 2) | (BigInt(domain) << 8n));
  }
  /** Writes the entries that map the 4 KiB page of `address`, with tables one page after the other from TABLE. */
  map(address: number, physical: number, levels = 3, permissions = READ_WRITE, leafLevel = 1): number {
    let table = TABLE;
    for (let level = levels; ; level--) {
      const entry = table + 8 * (Math.floor(address / 2 ** (3 + 9 * level)) % 512);
      if (level === leafLevel) {
        this.memory.write64(entry, BigInt(physical) | permissions | (level > 1 ? 0x80n : 0n));
        return entry;
      }
      const next = TABLE + 0x1000 * (levels - level + 1);
      this.memory.write64(entry, BigInt(next) | READ_WRITE);
      table = next;
    }
  }

  // ---- what a driver does first ----

  enableTranslation(): this {
    this.write64(0x20, BigInt(ROOT));
    this.command(GCMD.SRTP);
    this.command(GCMD.TE);
    return this;
  }
  enableQueue(): this {
    this.write64(0x88, 0n);
    this.write64(0x90, BigInt(QUEUE));
    this.command(GCMD.QIE);
    return this;
  }
  /** @param size S of IRTA: 2^(S+1) entries. */
  enableInterrupts(extended: boolean, size = 7): this {
    this.write64(0xb8, BigInt(IRT) | BigInt(size) | (extended ? 0x800n : 0n));
    this.command(GCMD.SIRTP);
    this.command(GCMD.IRE);
    return this;
  }
  /** Puts descriptors into the queue (one page) and moves the tail. */
  submit(...descriptors: readonly (readonly [low: bigint, high: bigint])[]): void {
    for (const [low, high] of descriptors) {
      this.memory.write64(QUEUE + this.tail, low);
      this.memory.write64(QUEUE + this.tail + 8, high);
      this.tail = (this.tail + 16) % 4096;
    }
    this.write64(0x88, BigInt(this.tail));
  }
  irte(index: number, low: bigint, high: bigint): void {
    this.memory.write64(IRT + 16 * index, low);
    this.memory.write64(IRT + 16 * index + 8, high);
  }

  // ---- requests ----

  dma(address: number, write = false, length = 4, requester = DEVICE) {
    return this.unit.translate(requester, address, length, write);
  }
  /** Physical address, or the fault reason. */
  target(address: number, write = false, requester = DEVICE): string {
    const result = this.dma(address, write, 4, requester);
    return result.kind === 'mapped' ? `to ${result.physical.toString(16)}` : `fault ${result.fault.code.toString(16)}`;
  }
  /** A remappable request. */
  interrupt(handle: number, data = 0, subhandleValid = false, source = DEVICE): InterruptMessage | undefined {
    const address = 0xfee0_0010 | ((handle & 0x7fff) << 5) | (handle & 0x8000 ? 4 : 0) | (subhandleValid ? 8 : 0);
    return this.unit.remapInterrupt({ address: address >>> 0, data, source });
  }
  /** Fault recording register `index`: QEMU and the model put the first at 220h. */
  record(index: number) {
    const [low, high, third, fourth] = [0, 4, 8, 12].map((i) => this.read(0x220 + 16 * index + i));
    return {
      address: high * 2 ** 32 + low,
      source: third & 0xffff,
      reason: fourth & 0xff,
      read: (fourth & 0x4000_0000) !== 0,
      pending: fourth >>> 31 === 1,
    };
  }
}
