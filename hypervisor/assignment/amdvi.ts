/**
 * AMD-Vi behind IommuDriver: device table, host page tables, interrupt remapping tables of 32-bit entries, command buffer and event log,
 * programmed as the AMD IOMMU specification asks software to ("IOMMU Programming Interface ...").
 */
import { COMMAND_BYTES, CompletionWait, Opcode, Pages } from '../../iommu/amdvi/spec/commands';
import { DTE_BYTES, DTES_PER_PAGE, Dte0, Dte2, IntCtl } from '../../iommu/amdvi/spec/device-table';
import { EVENT_BYTES } from '../../iommu/amdvi/spec/events';
import { IRTE32_BYTES, Irte } from '../../iommu/amdvi/spec/interrupt-table';
import { PAGE_SHIFT, PageEntry } from '../../iommu/amdvi/spec/page-table';
import { Control, LENGTH_SHIFT, Register, SHORTEST_LENGTH, Status } from '../../iommu/amdvi/spec/registers';
import { MessageAddress } from '../../devices/interrupt-message';
import { SMALL } from '../frames';
import { IO_LEVELS, IoPageTables, type IoPageFormat } from './io-page-tables';
import { HOST_APIC, INTERRUPT_ENTRIES, type HostMemory, type IoDomain, type IommuDriver, type RemappableMessage, type ReportedFault } from './iommu-driver';
import type { PhysicalFunction } from './physical-function';

const ALLOWED = PageEntry.PR | PageEntry.IR;
const nextLevel = (level: number): bigint => BigInt(level) << PageEntry.NEXT_LEVEL_SHIFT;
const FORMAT: IoPageFormat = {
  table: (level) => ALLOWED | PageEntry.IW | nextLevel(level - 1),
  // Next level 0: a page of the level's own size.
  page: (_level, writable) => ALLOWED | (writable ? PageEntry.IW : 0n),
  isPage: (entry) => (entry & nextLevel(7)) === 0n,
};
/** Of bus 0. */
const FUNCTIONS = 256;
const DEVICE_TABLE_PAGES = FUNCTIONS / DTES_PER_PAGE;
const RING_ENTRIES = 2 ** SHORTEST_LENGTH;
/** Translation is on and permits nothing; interrupts are remapped, and all of them are aborted. V = 0 would let everything pass. */
const BLOCKED = [Dte0.V | Dte0.TV, 0n, Dte2.IV | (BigInt(IntCtl.Abort) << Dte2.INT_CTL_SHIFT)] as const;
/** A range that encodes the whole address space. */
const EVERYTHING = 0x7fff_ffff_ffff_f000n;
const COMPLETED = 1n;
const OPCODE_SHIFT = 60n;

export class AmdViDriver implements IommuDriver {
  private readonly deviceTable: number;
  private readonly commands: number;
  private readonly events: number;
  /** Where COMPLETION_WAIT stores. */
  private readonly status: number;
  /** By requester. */
  private readonly interruptTables = new Map<number, number>();
  private domains = 0;

  /**
   * @param registers base of the register window.
   * @param unit the IOMMU's own PCI function, by whose MSI it announces events.
   */
  constructor(
    private readonly host: HostMemory,
    private readonly registers: number,
    private readonly unit: PhysicalFunction,
  ) {
    const { memory, frames } = host;
    this.deviceTable = frames.takeRun(DEVICE_TABLE_PAGES);
    [this.commands, this.events, this.status] = Array.from({ length: 3 }, () => frames.takeZeroed(memory));
    memory.writeBytes(this.deviceTable, new Uint8Array(DEVICE_TABLE_PAGES * SMALL));
    for (let requester = 0; requester < FUNCTIONS; requester++) this.writeEntry(requester, BLOCKED);
  }

  private read(register: number): bigint {
    return this.host.memory.read64(this.registers + register);
  }
  private write(register: number, value: bigint): void {
    this.host.memory.write64(this.registers + register, value);
  }

  // ---- switching on ----

  enable(faultVector: number): void {
    const length = BigInt(SHORTEST_LENGTH) << LENGTH_SHIFT;
    this.write(Register.DEVICE_TABLE_BASE, BigInt(this.deviceTable + DEVICE_TABLE_PAGES - 1));
    this.write(Register.COMMAND_BUFFER_BASE, BigInt(this.commands) | length);
    this.write(Register.EVENT_LOG_BASE, BigInt(this.events) | length);
    this.unit.enableMsi({ address: MessageAddress.BASE + HOST_APIC * 2 ** MessageAddress.DESTINATION_SHIFT, data: faultVector }, 0);
    this.setControl(Control.EventLogEn, Control.EventIntEn, Control.CmdBufEn);
    this.setControl(Control.IommuEn);
    this.submit([command(Opcode.INVALIDATE_IOMMU_ALL), 0n]);
  }

  private setControl(...bits: readonly number[]): void {
    this.write(
      Register.CONTROL,
      bits.reduce((value, bit) => value | (1n << BigInt(bit)), this.read(Register.CONTROL)),
    );
  }

  /** Puts commands into the buffer with a COMPLETION_WAIT behind them, and waits for that. */
  private submit(...commands: readonly (readonly [low: bigint, high: bigint])[]): void {
    const { memory } = this.host;
    let tail = Number(this.read(Register.COMMAND_TAIL));
    memory.write64(this.status, 0n);
    const wait = [command(Opcode.COMPLETION_WAIT, CompletionWait.S | BigInt(this.status)), COMPLETED] as const;
    for (const [low, high] of [...commands, wait]) {
      memory.write64(this.commands + tail, low);
      memory.write64(this.commands + tail + 8, high);
      tail = (tail + COMMAND_BYTES) % (RING_ENTRIES * COMMAND_BYTES);
    }
    this.write(Register.COMMAND_TAIL, BigInt(tail));
    if (memory.read64(this.status) !== COMPLETED) throw new Error(`the AMD IOMMU stopped at a command: STATUS is 0x${this.read(Register.STATUS).toString(16)}`);
  }

  // ---- DMA ----

  createDomain(): IoDomain {
    const { memory, frames } = this.host;
    return { id: ++this.domains, tables: new IoPageTables(memory, frames, FORMAT) };
  }

  attach(requester: number, { id, tables }: IoDomain): void {
    const translation = Dte0.V | Dte0.TV | (BigInt(IO_LEVELS) << Dte0.MODE_SHIFT) | BigInt(tables.root) | Dte0.IR | Dte0.IW;
    const length = BigInt(Math.log2(INTERRUPT_ENTRIES)) << Dte2.INT_TAB_LEN_SHIFT;
    const interrupts = Dte2.IV | length | BigInt(this.interruptTable(requester)) | (BigInt(IntCtl.Remap) << Dte2.INT_CTL_SHIFT);
    this.setEntry(requester, id, [translation, BigInt(id), interrupts]);
  }

  detach(requester: number, { id }: IoDomain): void {
    this.setEntry(requester, id, BLOCKED);
  }

  private setEntry(requester: number, domain: number, words: readonly [bigint, bigint, bigint]): void {
    this.writeEntry(requester, words);
    this.submit(
      [command(Opcode.INVALIDATE_DEVTAB_ENTRY, BigInt(requester)), 0n],
      [command(Opcode.INVALIDATE_IOMMU_PAGES, BigInt(domain) << 32n), EVERYTHING | Pages.S | Pages.PDE],
      [command(Opcode.INVALIDATE_INTERRUPT_TABLE, BigInt(requester)), 0n],
    );
  }

  /** The quarter with V comes last. */
  private writeEntry(requester: number, [translation, domain, interrupts]: readonly [bigint, bigint, bigint]): void {
    const { memory } = this.host;
    const entry = this.deviceTable + requester * DTE_BYTES;
    memory.write64(entry + 16, interrupts);
    memory.write64(entry + 8, domain);
    memory.write64(entry, translation);
  }

  invalidate({ id }: IoDomain, address: number, size: number): void {
    // The address of a larger range has ones from bit 12 to the second highest bit below its size.
    const range = size === SMALL ? BigInt(address) : BigInt(address) | BigInt(size / 2 - 2 ** PAGE_SHIFT) | Pages.S;
    this.submit([command(Opcode.INVALIDATE_IOMMU_PAGES, BigInt(id) << 32n), range | Pages.PDE]);
  }

  // ---- interrupts ----

  private interruptTable(requester: number): number {
    let table = this.interruptTables.get(requester);
    if (table === undefined) this.interruptTables.set(requester, (table = this.host.frames.takeZeroed(this.host.memory)));
    return table;
  }

  /** Guest virtual APIC mode needs AVIC. */
  readonly posting = undefined;

  routeInterrupt(requester: number, index: number, vector: number | undefined): void {
    const entry = this.interruptTable(requester) + index * IRTE32_BYTES;
    this.host.memory.write32(entry, vector === undefined ? 0 : Irte.RemapEn | (HOST_APIC << 8) | (vector << 16));
    this.submit([command(Opcode.INVALIDATE_INTERRUPT_TABLE, BigInt(requester)), 0n]);
  }

  isRouted(requester: number, index: number): boolean {
    return (this.host.memory.read32(this.interruptTable(requester) + index * IRTE32_BYTES) & Irte.RemapEn) !== 0;
  }

  /** The data selects the entry; the table is the device's own. */
  message(index: number): RemappableMessage {
    return { address: MessageAddress.BASE, data: index };
  }

  // ---- faults ----

  takeFaults(): ReportedFault[] {
    const bytes = RING_ENTRIES * EVENT_BYTES;
    const faults: ReportedFault[] = [];
    const tail = Number(this.read(Register.EVENT_TAIL));
    let head = Number(this.read(Register.EVENT_HEAD));
    for (; head !== tail; head = (head + EVENT_BYTES) % bytes) faults.push(this.decode(this.events + head));
    this.write(Register.EVENT_HEAD, BigInt(head));
    const overflow = (Number(this.read(Register.STATUS)) & Status.EventOverflow) !== 0;
    this.write(Register.STATUS, BigInt(Status.EventLogInt | Status.EventOverflow));
    if (!overflow) return faults;
    // "To resume logging, clear EventOverflow, and write a 1 to EventLogEn", which must have been 0.
    this.write(Register.CONTROL, this.read(Register.CONTROL) & ~(1n << BigInt(Control.EventLogEn)));
    this.setControl(Control.EventLogEn);
    return faults;
  }

  /** Device 15:0, I 51, RW 53, code 63:60; then the address. */
  private decode(entry: number): ReportedFault {
    const { memory } = this.host;
    const [low, address] = [memory.read64(entry), Number(memory.read64(entry + 8))];
    const [interrupt, write] = [(low >> 51n) & 1n, (low >> 53n) & 1n];
    return { requester: Number(low & 0xffffn), request: interrupt !== 0n ? 'interrupt' : write !== 0n ? 'write' : 'read', address, code: Number(low >> 60n) };
  }
}

const command = (opcode: number, fields = 0n): bigint => (BigInt(opcode) << OPCODE_SHIFT) | fields;
