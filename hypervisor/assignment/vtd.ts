/**
 * VT-d behind IommuDriver: root, context and second-level tables, the interrupt remapping table and the invalidation queue, programmed
 * as the VT-d specification asks software to ("Architecture Programming ...").
 */
import { Cap, Ecap, EventControl, Frcd, FRCD_BYTES, Fsts, Global, Register } from '../../iommu/vtd/spec/registers';
import { DESCRIPTOR_BYTES, DescriptorType, Granularity, Wait } from '../../iommu/vtd/spec/descriptors';
import { isInterruptReason } from '../../iommu/vtd/spec/fault-reasons';
import { Irte, PostedIrte, RemappableAddress, Svt } from '../../iommu/vtd/spec/interrupts';
import { ContextEntry, RootEntry, SlEntry, TranslationType } from '../../iommu/vtd/spec/tables';
import { MessageAddress } from '../../devices/interrupt-message';
import { SMALL } from '../frames';
import { IoPageTables, type IoPageFormat } from './io-page-tables';
import {
  HOST_APIC,
  INTERRUPT_ENTRIES,
  type HostMemory,
  type InterruptPosting,
  type IoDomain,
  type IommuDriver,
  type RemappableMessage,
  type ReportedFault,
} from './iommu-driver';

const FORMAT: IoPageFormat = {
  table: () => SlEntry.R | SlEntry.W,
  page: (level, writable) => SlEntry.R | (writable ? SlEntry.W : 0n) | (level > 1 ? SlEntry.PS : 0n),
  isPage: (entry, level) => level > 1 && (entry & SlEntry.PS) !== 0n,
};
/** AW of a context entry, and the bit of CAP.SAGAW: 48 bits, four levels. */
const AW_48 = 2;
/** IRTA.S: a table has 2^(S + 1) entries. */
const IRTA_SIZE = Math.log2(INTERRUPT_ENTRIES) - 1;
const QUEUE_BYTES = SMALL;
const COMPLETED = 1;
/** log2 of a page. */
const PAGE_SHIFT = 12;

export class VtdDriver implements IommuDriver {
  private readonly root: number;
  private readonly contexts: number;
  private readonly interrupts: number;
  private readonly queue: number;
  /** Where wait descriptors put their status. */
  private readonly status: number;
  private domains = 0;
  readonly posting: InterruptPosting | undefined;

  /** @param base of the register window. Throws Error when the unit lacks what the hypervisor needs. */
  constructor(
    private readonly host: HostMemory,
    private readonly base: number,
  ) {
    const { memory, frames } = host;
    const [cap, ecap] = [memory.read64(base + Register.CAP), memory.read64(base + Register.ECAP)];
    const needed = [
      ['tables of four levels (CAP.SAGAW)', (cap >> BigInt(Cap.SAGAW + AW_48)) & 1n],
      ['pages of 2 MiB (CAP.SLLPS)', (cap >> BigInt(Cap.SLLPS)) & 1n],
      ['queued invalidation (ECAP.QI)', (ecap >> BigInt(Ecap.QI)) & 1n],
      ['interrupt remapping (ECAP.IR)', (ecap >> BigInt(Ecap.IR)) & 1n],
    ] as const;
    for (const [what, present] of needed) if (present === 0n) throw new Error(`devices cannot be assigned: the VT-d unit has no ${what}`);
    if (((cap >> BigInt(Cap.PI)) & 1n) !== 0n) {
      this.posting = {
        route: (requester, index, vector, descriptor) => this.setInterrupt(requester, index, ...postedEntry(vector, descriptor)),
        vectorOf: (requester, index) => this.postedVector(requester, index),
      };
    }
    [this.root, this.contexts, this.interrupts, this.queue, this.status] = Array.from({ length: 5 }, () => frames.takeZeroed(memory));
    // Bus 0. Its context entries are all not present: no device reaches anything.
    memory.write64(this.root, BigInt(this.contexts) | RootEntry.P);
  }

  private read(register: number): number {
    return this.host.memory.read32(this.base + register);
  }
  private write(register: number, value: number): void {
    this.host.memory.write32(this.base + register, value >>> 0);
  }

  // ---- switching on ----

  enable(faultVector: number): void {
    const { memory } = this.host;
    memory.write64(this.base + Register.RTADDR, BigInt(this.root));
    this.command(Global.SRTP);
    this.write(Register.IQT, 0);
    memory.write64(this.base + Register.IQA, BigInt(this.queue));
    this.command(Global.QIE);
    memory.write64(this.base + Register.IRTA, BigInt(this.interrupts + IRTA_SIZE));
    this.command(Global.SIRTP);
    // "After the root table pointer is set, context cache and IOTLB must be globally invalidated", and so for interrupts.
    this.submit(descriptor(DescriptorType.ContextCache, Granularity.Global), descriptor(DescriptorType.Iotlb, Granularity.Global));
    this.submit(descriptor(DescriptorType.InterruptEntryCache));
    this.write(Register.FEDATA, faultVector);
    this.write(Register.FEADDR, MessageAddress.BASE + HOST_APIC * 2 ** MessageAddress.DESTINATION_SHIFT);
    this.write(Register.FEUADDR, 0);
    this.write(Register.FECTL, this.read(Register.FECTL) & ~EventControl.IM);
    // CFI stays 0: messages in compatibility format, which anybody can forge, are blocked.
    this.command(Global.IRE);
    this.command(Global.TE);
  }

  /** Sets one bit of the Global Command Register, and waits for its status. The one-shot commands are not repeated. */
  private command(bit: number): void {
    const lasting = this.read(Register.GSTS) & ~(Global.SRTP | Global.SFL | Global.SIRTP | Global.WBF);
    this.write(Register.GCMD, lasting | bit);
    if ((this.read(Register.GSTS) & bit) === 0) throw new Error(`the VT-d unit did not take command 0x${(bit >>> 0).toString(16)}`);
  }

  /** Puts descriptors into the queue with a wait descriptor behind them, and waits for that. */
  private submit(...descriptors: readonly (readonly [low: bigint, high: bigint])[]): void {
    const { memory } = this.host;
    let tail = this.read(Register.IQT);
    memory.write32(this.status, 0);
    const wait = [BigInt(DescriptorType.Wait) | Wait.SW | (BigInt(COMPLETED) << Wait.DATA_SHIFT), BigInt(this.status)] as const;
    for (const [low, high] of [...descriptors, wait]) {
      memory.write64(this.queue + tail, low);
      memory.write64(this.queue + tail + 8, high);
      tail = (tail + DESCRIPTOR_BYTES) % QUEUE_BYTES;
    }
    this.write(Register.IQT, tail);
    if (memory.read32(this.status) !== COMPLETED)
      throw new Error(`the VT-d unit stopped at an invalidation: FSTS is 0x${this.read(Register.FSTS).toString(16)}`);
  }

  // ---- DMA ----

  createDomain(): IoDomain {
    const { memory, frames } = this.host;
    return { id: ++this.domains, tables: new IoPageTables(memory, frames, FORMAT) };
  }

  attach(requester: number, domain: IoDomain): void {
    const type = BigInt(TranslationType.MultiLevel) << ContextEntry.TT_SHIFT;
    this.setContext(requester, domain, BigInt(domain.tables.root) | type | ContextEntry.P, (BigInt(domain.id) << ContextEntry.DID_SHIFT) | BigInt(AW_48));
  }

  detach(requester: number, domain: IoDomain): void {
    this.setContext(requester, domain, 0n, 0n);
  }

  private setContext(requester: number, { id }: IoDomain, low: bigint, high: bigint): void {
    const { memory } = this.host;
    const entry = this.contexts + requester * ContextEntry.BYTES;
    // Not present while it changes.
    memory.write64(entry, 0n);
    memory.write64(entry + 8, high);
    memory.write64(entry, low);
    const device = (BigInt(id) << 16n) | (BigInt(requester) << 32n);
    this.submit(
      descriptor(DescriptorType.ContextCache, Granularity.Selective, device),
      descriptor(DescriptorType.Iotlb, Granularity.Domain, BigInt(id) << 16n),
    );
  }

  invalidate({ id }: IoDomain, address: number, size: number): void {
    const [low] = descriptor(DescriptorType.Iotlb, Granularity.Selective, BigInt(id) << 16n);
    this.submit([low, BigInt(address) | BigInt(Math.log2(size) - PAGE_SHIFT)]);
  }

  // ---- interrupts ----

  routeInterrupt(requester: number, index: number, vector: number | undefined): void {
    const remapped = vector === undefined ? 0n : Irte.P | (BigInt(vector) << Irte.VECTOR_SHIFT) | (BigInt(HOST_APIC) << Irte.XAPIC_DESTINATION_SHIFT);
    this.setInterrupt(requester, index, remapped, 0n);
  }

  /** @param high the upper half without what says whose interrupts the entry is for. */
  private setInterrupt(requester: number, index: number, low: bigint, high: bigint): void {
    const { memory } = this.host;
    const entry = this.interrupts + index * Irte.BYTES;
    // Not present while it changes.
    memory.write64(entry, 0n);
    memory.write64(entry + 8, high | BigInt(requester) | (BigInt(Svt.Requester) << Irte.SVT_SHIFT));
    if (low !== 0n) memory.write64(entry, low);
    // IM 0: this one entry; bit 4 makes it index-selective.
    this.submit([BigInt(DescriptorType.InterruptEntryCache) | (1n << 4n) | (BigInt(index) << 32n), 0n]);
  }

  isRouted(requester: number, index: number): boolean {
    const { memory } = this.host;
    const entry = this.interrupts + index * Irte.BYTES;
    return (memory.read64(entry) & Irte.P) !== 0n && Number(memory.read64(entry + 8) & Irte.SID) === requester;
  }

  private postedVector(requester: number, index: number): number | undefined {
    const low = this.host.memory.read64(this.interrupts + index * Irte.BYTES);
    return this.isRouted(requester, index) && (low & Irte.IM) !== 0n ? Number((low >> Irte.VECTOR_SHIFT) & 0xffn) : undefined;
  }

  /** With a subhandle, so that several MSI vectors, which differ in the data, find entries one after the other. */
  message(index: number): RemappableMessage {
    const handle = (index & RemappableAddress.HANDLE_LOW) << RemappableAddress.HANDLE_SHIFT;
    return { address: (MessageAddress.BASE + handle + RemappableAddress.FORMAT + RemappableAddress.SHV) >>> 0, data: 0 };
  }

  // ---- faults ----

  takeFaults(): ReportedFault[] {
    const cap = this.host.memory.read64(this.base + Register.CAP);
    const count = Number((cap >> BigInt(Cap.NFR)) & 0xffn) + 1;
    const status = this.read(Register.FSTS);
    const faults: ReportedFault[] = [];
    const first = (status >>> Fsts.FRI_SHIFT) & 0xff;
    for (let i = 0; i < count; i++) {
      const record = Register.FRCD + ((first + i) % count) * FRCD_BYTES;
      const last = this.read(record + 12);
      if ((last & Frcd.F) === 0) continue;
      faults.push(this.decode(record, last));
      this.write(record + 12, Frcd.F);
    }
    this.write(Register.FSTS, Fsts.PFO);
    return faults;
  }

  private decode(record: number, last: number): ReportedFault {
    const code = last & Frcd.FR;
    const requester = this.read(record + 8) & Frcd.SID;
    const [low, high] = [this.read(record), this.read(record + 4)];
    // Of an interrupt bits 63:48 are its index.
    if (isInterruptReason(code)) return { requester, request: 'interrupt', address: high >>> 16, code };
    return { requester, request: (last & Frcd.T1) !== 0 ? 'read' : 'write', address: high * 2 ** 32 + ((low & Frcd.ADDRESS) >>> 0), code };
  }
}

/** The posted format: bits 31:6 of the descriptor's address are in the lower half, 63:32 in the upper one. */
const postedEntry = (vector: number, descriptor: number): readonly [low: bigint, high: bigint] => [
  Irte.P | Irte.IM | (BigInt(vector) << Irte.VECTOR_SHIFT) | (BigInt((descriptor >>> 6) & 0x3ff_ffff) << PostedIrte.PDA_LOW_SHIFT),
  (BigInt(descriptor) >> 32n) << PostedIrte.PDA_HIGH_SHIFT,
];
const descriptor = (type: number, granularity = 0, fields = 0n): readonly [bigint, bigint] => [BigInt(type) | (BigInt(granularity) << 4n) | fields, 0n];
