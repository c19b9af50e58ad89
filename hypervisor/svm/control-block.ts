/**
 * A VMCB in host memory as the hypervisor writes and reads it. Fields are offsets of svm/vmcb/layout.ts. What is written since the last
 * #VMEXIT is taken out of the clean bits, so that the processor reads it again.
 */
import type { PhysicalMemory } from '../../memory/physical-memory';
import { FIELDS } from '../../svm/vmcb/fields';
import { VMCB, VMCB_SIZE } from '../../svm/vmcb/layout';

const ALL_CLEAN = FIELDS.reduce((mask, f) => (f.cleanBit === undefined ? mask : mask | (1 << f.cleanBit)), 0);
/** By offset: the clean bit that a write to the field clears, as a mask; 0: none. */
const CLEAN_MASK = new Uint16Array(VMCB_SIZE);
for (const f of FIELDS) if (f.cleanBit !== undefined) CLEAN_MASK[f.offset] = 1 << f.cleanBit;

export class ControlBlock {
  private clean = 0;
  private readonly host: number;
  private readonly u16: Uint16Array;
  private readonly u32: Uint32Array;

  /** @param address host-physical, of a cleared page in RAM. */
  constructor(
    private readonly memory: PhysicalMemory,
    readonly address: number,
  ) {
    this.host = memory.host(address);
    this.u16 = memory.u16;
    this.u32 = memory.u32;
  }

  get8(offset: number): number {
    return this.memory.u8[this.host + offset];
  }
  get16(offset: number): number {
    return this.u16[(this.host + offset) >>> 1];
  }
  get32(offset: number): number {
    return this.u32[(this.host + offset) >>> 2];
  }
  /** Bits 63:32 of a 64-bit field. */
  high32(offset: number): number {
    return this.u32[(this.host + offset + 4) >>> 2];
  }
  get64(offset: number): bigint {
    return this.memory.u64[(this.host + offset) >>> 3];
  }
  /** Exact below 2^53. */
  number(offset: number): number {
    return this.get32(offset) + this.high32(offset) * 0x1_0000_0000;
  }

  set8(offset: number, value: number): void {
    this.changing(offset);
    this.memory.u8[this.host + offset] = value;
  }
  set16(offset: number, value: number): void {
    this.changing(offset);
    this.u16[(this.host + offset) >>> 1] = value;
  }
  /** A 32-bit field, or the low half of a longer one. */
  set32(offset: number, value: number): void {
    this.changing(offset);
    this.u32[(this.host + offset) >>> 2] = value;
  }
  setWords(offset: number, low: number, high: number): void {
    this.set32(offset, low);
    this.u32[(this.host + offset + 4) >>> 2] = high;
  }
  set64(offset: number, value: bigint): void {
    this.changing(offset);
    this.memory.u64[(this.host + offset) >>> 3] = value;
  }

  private changing(offset: number): void {
    this.clean &= ~CLEAN_MASK[offset];
    this.memory.aboutToWrite(this.address, this.host, VMCB_SIZE);
  }

  /** Clean bits that the next VMRUN will find: what of the block is not in memory. */
  saveState(): number {
    return this.clean;
  }
  restoreState(clean: number): void {
    this.clean = clean;
  }

  /** Before VMRUN. */
  publishClean(): void {
    if (this.get32(VMCB.VMCB_CLEAN) !== this.clean) this.set32(VMCB.VMCB_CLEAN, this.clean);
  }
  /** After a #VMEXIT (not VMEXIT_INVALID): the processor knows every field as it stands. */
  allClean(): void {
    this.clean = ALL_CLEAN;
  }
}
