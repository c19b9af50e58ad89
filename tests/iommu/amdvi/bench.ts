/** An AMD IOMMU on 8 MiB of RAM, driven as software drives it. Layouts are written out as the specification and Linux's driver have them. */
import type { InterruptMessage } from '../../../devices/interrupt-message';
import { AmdIommu } from '../../../iommu/amdvi/amd-iommu';
import type { RemappingFault, StaleUse } from '../../../iommu/remapping';
import { PhysicalMemory } from '../../../memory/physical-memory';

export const RAM = 8 << 20;
/** Where nothing answers. */
export const HOLE = 0x4000_0000;
export const DEVICE_TABLE = 0x10_0000;
export const COMMANDS = 0x20_0000;
export const EVENTS = 0x21_0000;
export const ROOT = 0x30_0000;
export const STORE = 0x22_0000;
/** 00:04.0 */
export const DEVICE = 0x20;
export const DOMAIN = 7;

export const IR = 1n << 61n;
export const IW = 1n << 62n;
export const RW = IR | IW;
/** Page directory and page table entries with both permissions. */
export const pde = (address: number | bigint, nextLevel: number, permissions = RW): bigint => BigInt(address) | (BigInt(nextLevel) << 9n) | permissions | 1n;
export const pte = (address: number | bigint, permissions = RW): bigint => pde(address, 0, permissions);

export interface DteFields {
  readonly mode?: number;
  readonly root?: number;
  readonly domain?: number;
  readonly permissions?: bigint;
  /** Further bits of the four quadwords. */
  readonly more?: readonly [bigint, bigint, bigint, bigint];
}

/** V = TV = 1. */
export function dte({ mode = 1, root = ROOT, domain = DOMAIN, permissions = RW, more = [0n, 0n, 0n, 0n] }: DteFields = {}): bigint[] {
  return [3n | (BigInt(mode) << 9n) | BigInt(root) | permissions | more[0], BigInt(domain) | more[1], more[2], more[3]];
}

export class IommuBench {
  readonly faults: RemappingFault[] = [];
  readonly stale: StaleUse[] = [];
  /** Messages that carry no address of their own, by source. */
  readonly signals: string[] = [];
  readonly messages: InterruptMessage[] = [];
  readonly doorbells: number[] = [];
  ticks = 0;
  readonly iommu: AmdIommu;

  constructor(readonly memory = new PhysicalMemory(RAM)) {
    this.iommu = this.create();
  }

  create(): AmdIommu {
    const iommu = new AmdIommu({
      memory: this.memory,
      now: () => this.ticks,
      observer: { fault: (fault) => this.faults.push(fault), stale: (use) => this.stale.push(use) },
      doorbell: (destination) => this.doorbells.push(destination),
    });
    iommu.signal = (source) => this.signals.push(source);
    iommu.messages = (message) => this.messages.push(message);
    return iommu;
  }

  /** Buffers of 512 entries, a device table for one bus, everything on but interrupts. */
  enable(control = 0n): this {
    this.set(0x00, BigInt(DEVICE_TABLE) | 1n);
    this.set(0x08, BigInt(COMMANDS) | (9n << 56n));
    this.set(0x10, BigInt(EVENTS) | (9n << 56n));
    this.set(0x18, 0x1005n | control);
    return this;
  }

  set(offset: number, value: bigint): void {
    this.iommu.writeMmio(offset, 4, Number(value & 0xffff_ffffn));
    this.iommu.writeMmio(offset + 4, 4, Number(value >> 32n));
  }
  get(offset: number): bigint {
    return BigInt(this.iommu.readMmio(offset, 4)) | (BigInt(this.iommu.readMmio(offset + 4, 4)) << 32n);
  }
  get status(): number {
    return this.iommu.readMmio(0x2020, 4);
  }

  setDte(words: readonly bigint[], device = DEVICE): void {
    words.forEach((word, i) => this.memory.write64(DEVICE_TABLE + 32 * device + 8 * i, word));
  }

  /** Puts commands into the ring; executed when the tail moves. */
  command(...commands: (readonly [bigint, bigint])[]): void {
    let tail = Number(this.get(0x2008));
    for (const [low, high] of commands) {
      this.memory.write64(COMMANDS + tail, low);
      this.memory.write64(COMMANDS + tail + 8, high);
      tail = (tail + 16) % 8192;
    }
    this.iommu.writeMmio(0x2008, 4, tail);
  }

  /** What the log holds, and takes it. */
  takeEvents(): [bigint, bigint][] {
    const events: [bigint, bigint][] = [];
    const tail = Number(this.get(0x2018));
    let head = Number(this.get(0x2010));
    for (; head !== tail; head = (head + 16) % 8192) events.push([this.memory.read64(EVENTS + head), this.memory.read64(EVENTS + head + 8)]);
    this.iommu.writeMmio(0x2010, 4, head);
    return events;
  }

  read(address: number, length = 4, device = DEVICE): number | undefined {
    return this.translate(address, length, false, device);
  }
  write(address: number, length = 4, device = DEVICE): number | undefined {
    return this.translate(address, length, true, device);
  }
  /** Physical address, or undefined when blocked. */
  private translate(address: number, length: number, write: boolean, device: number): number | undefined {
    const translation = this.iommu.translate(device, address, length, write);
    return translation.kind === 'mapped' ? translation.physical : undefined;
  }
}

// Commands as Linux's driver builds them.
export const invalidateDevice = (device: number): [bigint, bigint] => [(2n << 60n) | BigInt(device), 0n];
export const invalidateInterrupts = (device: number): [bigint, bigint] => [(5n << 60n) | BigInt(device), 0n];
export const INVALIDATE_ALL: [bigint, bigint] = [8n << 60n, 0n];
/** @param flags S 1, PDE 2. */
export const invalidatePages = (domain: number, address: number | bigint, flags = 0): [bigint, bigint] => [
  (3n << 60n) | (BigInt(domain) << 32n),
  BigInt(address) | BigInt(flags),
];
export const ALL_PAGES = 0x7fff_ffff_ffff_f000n;
export const completionWait = (address: number, data: bigint, interrupt = false): [bigint, bigint] => [
  (1n << 60n) | BigInt(address) | 1n | (interrupt ? 2n : 0n),
  data,
];

/** An event's code, and its flags as Linux prints them. */
export const codeOf = ([low]: readonly [bigint, bigint]): number => Number(low >> 60n);
export const flagsOf = ([low]: readonly [bigint, bigint]): number => Number((low >> 48n) & 0xfffn);
