/** MSI-X: PCI Local Bus Specification, "MSI-X Capability and Table Structures". Table and pending bits stand behind a base address. */
import type { Stateful } from '../../memory/stateful';
import type { AccessSize } from '../bus';
import type { RegisterWindow } from './base-address';
import type { Message, SendMessage } from './msi';
import type { MessageCapability } from './pci-device';

export const MSIX_CAPABILITY = 0x11;
const CONTROL = 2;
const Control = { FUNCTION_MASK: 0x4000, ENABLE: 0x8000 } as const;
const ENTRY = 16;
const Entry = { ADDRESS: 0, UPPER_ADDRESS: 4, DATA: 8, VECTOR_CONTROL: 12 } as const;
/** Bit 0 of Vector Control. The other bits are reserved and read 0. */
const MASK = 1;
const TWO32 = 0x1_0000_0000;

/** Where the table and the pending bit array stand. Offsets are multiples of 8. */
export interface MsixPlace {
  /** 1 to 2048. */
  readonly vectors: number;
  /** Index of the base address (BIR). */
  readonly bar: number;
  readonly table: number;
  readonly pending: number;
}

export interface MsixState {
  table: Uint8Array;
  pending: Uint8Array;
}

export function msixLayout({ vectors, bar, table, pending }: MsixPlace): { body: number[]; masks: number[] } {
  const dword = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
  const size = vectors - 1;
  return { body: [size & 0xff, size >>> 8, ...dword(table | bar), ...dword(pending | bar)], masks: [0, (Control.FUNCTION_MASK | Control.ENABLE) >>> 8] };
}

/** Bytes of the pending bit array: whole quadwords. */
const pendingBytes = (vectors: number): number => 8 * Math.ceil(vectors / 64);

export class MsixCapability implements MessageCapability, Stateful<MsixState> {
  private readonly table: Uint8Array;
  private readonly entries: DataView;
  private readonly pending: Uint8Array;
  readonly tableWindow: RegisterWindow;
  readonly pendingWindow: RegisterWindow;

  /** @param config configuration space, which holds Message Control; @param offset of the capability in it. */
  constructor(
    private readonly config: Uint8Array,
    private readonly offset: number,
    readonly vectors: number,
    private readonly send: SendMessage,
  ) {
    this.table = new Uint8Array(vectors * ENTRY);
    this.entries = new DataView(this.table.buffer);
    this.pending = new Uint8Array(pendingBytes(vectors));
    this.tableWindow = { read: (at, size) => bytes(this.table, at, size), write: (at, size, value) => this.writeTable(at, size, value) };
    // "If software writes to Pending Bits, the result is undefined": nothing happens.
    this.pendingWindow = { read: (at, size) => bytes(this.pending, at, size), write: () => {} };
    this.reset();
  }

  /** After reset every vector is masked. Message Control is the function's. */
  reset(): void {
    this.table.fill(0);
    this.pending.fill(0);
    for (let v = 0; v < this.vectors; v++) this.table[v * ENTRY + Entry.VECTOR_CONTROL] = MASK;
  }

  private get control(): number {
    return this.config[this.offset + CONTROL + 1] << 8;
  }

  get enabled(): boolean {
    return (this.control & Control.ENABLE) !== 0;
  }

  signal(vector: number): void {
    if (!this.enabled || vector >= this.vectors) return;
    if (this.masked(vector)) this.pending[vector >>> 3] |= 1 << (vector & 7);
    else this.message(vector);
  }

  /** What signal() would send now; undefined: nothing, messages are off or this one is masked. */
  outgoing(vector: number): Message | undefined {
    return this.enabled && vector < this.vectors && !this.masked(vector) ? this.messageOf(vector) : undefined;
  }

  /** Software may have removed masks: what waited behind them goes out. */
  settle(): void {
    if (!this.enabled) return;
    for (let v = 0; v < this.vectors; v++) {
      const bit = 1 << (v & 7);
      if ((this.pending[v >>> 3] & bit) === 0 || this.masked(v)) continue;
      this.pending[v >>> 3] &= ~bit;
      this.message(v);
    }
  }

  private masked(vector: number): boolean {
    return (this.control & Control.FUNCTION_MASK) !== 0 || (this.table[vector * ENTRY + Entry.VECTOR_CONTROL] & MASK) !== 0;
  }

  private message(vector: number): void {
    const { address, data } = this.messageOf(vector);
    this.send(address, data);
  }

  private messageOf(vector: number): Message {
    const get = (field: number): number => this.entries.getUint32(vector * ENTRY + field, true);
    return { address: get(Entry.UPPER_ADDRESS) * TWO32 + get(Entry.ADDRESS), data: get(Entry.DATA) };
  }

  private writeTable(at: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size && at + i < this.table.length; i++) this.table[at + i] = writable((at + i) % ENTRY, (value >>> (8 * i)) & 0xff);
    this.settle();
  }

  saveState(): MsixState {
    return { table: this.table.slice(), pending: this.pending.slice() };
  }

  restoreState({ table, pending }: MsixState): void {
    this.table.set(table);
    this.pending.set(pending);
  }
}

/** The bits of a byte of an entry that exist: addresses are of dwords, Vector Control has one bit. */
function writable(byte: number, value: number): number {
  if (byte === Entry.ADDRESS) return value & 0xfc;
  if (byte < Entry.VECTOR_CONTROL) return value;
  return byte === Entry.VECTOR_CONTROL ? value & MASK : 0;
}

function bytes(from: Uint8Array, at: number, size: AccessSize): number {
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + (from[at + i] ?? 0);
  return value;
}
