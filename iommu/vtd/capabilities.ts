/** What this hardware has: the values of CAP and ECAP, from one description. What is not here reads as absent. */
import { Cap, Ecap, Register } from './spec/registers';
import { DID_BITS, LEVELS_BY_AW, SlEntry, agawOf } from './spec/tables';

export interface VtdOptions {
  /** Physical address width of the machine: 36 to 52. Default 46. */
  readonly hostAddressWidth?: number;
  /** Depths of second-level tables. Default 3, 4 and 5. */
  readonly levels?: readonly (3 | 4 | 5)[];
  readonly largePages?: boolean;
  readonly interruptRemapping?: boolean;
  /** x2APIC destinations of 32 bits. Default true. */
  readonly extendedInterruptMode?: boolean;
  readonly postedInterrupts?: boolean;
  /** Fault recording registers: 1 to 256 that fit into the register window. Default 8. */
  readonly faultRecords?: number;
}

/** Guest addresses are JS numbers: 52 bits, whatever the tables could hold. */
const WIDEST_ADDRESS = 52;
export const LARGEST_MASK = 18;
const MAX_FAULT_RECORDS = 64;
const bit = (position: number, present: boolean): bigint => (present ? 1n << BigInt(position) : 0n);
const at = (position: number, value: number): bigint => BigInt(value) << BigInt(position);

export class VtdCapabilities {
  readonly hostAddressWidth: number;
  readonly levels: readonly number[];
  readonly largePages: boolean;
  readonly interruptRemapping: boolean;
  readonly extendedInterruptMode: boolean;
  readonly postedInterrupts: boolean;
  readonly faultRecords: number;
  /** Maximum guest address width. */
  readonly mgaw: number;
  /** Largest AM of a page-selective invalidation. */
  readonly maximumAddressMask = LARGEST_MASK;
  /** Bits of an address in a table entry that are beyond the machine. */
  readonly beyondHost: bigint;
  readonly cap: bigint;
  readonly ecap: bigint;

  /** Throws RangeError for what no hardware is. */
  constructor(options: VtdOptions = {}) {
    this.hostAddressWidth = options.hostAddressWidth ?? 46;
    this.levels = options.levels ?? [3, 4, 5];
    this.largePages = options.largePages ?? true;
    this.interruptRemapping = options.interruptRemapping ?? true;
    this.extendedInterruptMode = this.interruptRemapping && (options.extendedInterruptMode ?? true);
    this.postedInterrupts = this.interruptRemapping && (options.postedInterrupts ?? true);
    this.faultRecords = options.faultRecords ?? 8;
    if (this.hostAddressWidth < 36 || this.hostAddressWidth > 52) throw new RangeError(`a host address width of ${this.hostAddressWidth} is not 36 to 52`);
    if (this.levels.length === 0) throw new RangeError('VT-d needs at least one depth of second-level tables: 3, 4 or 5');
    if (!Number.isInteger(this.faultRecords) || this.faultRecords < 1 || this.faultRecords > MAX_FAULT_RECORDS)
      throw new RangeError(`${this.faultRecords} fault recording registers: give 1 to ${MAX_FAULT_RECORDS}`);
    this.mgaw = Math.min(WIDEST_ADDRESS, agawOf(Math.max(...this.levels)));
    this.beyondHost = SlEntry.ADDRESS & ~((1n << BigInt(this.hostAddressWidth)) - 1n);
    this.cap = this.capability();
    this.ecap = this.extendedCapability();
  }

  /** Levels of the tables for AW of a context entry; undefined where this hardware does not walk such tables. */
  levelsOf(aw: number): number | undefined {
    const levels = LEVELS_BY_AW[aw];
    return levels !== undefined && this.levels.includes(levels) ? levels : undefined;
  }

  private capability(): bigint {
    const sagaw = Object.entries(LEVELS_BY_AW).reduce((bits, [aw, levels]) => (this.levels.includes(levels!) ? bits | (1 << Number(aw)) : bits), 0);
    return (
      at(Cap.ND, (DID_BITS - 4) / 2) |
      bit(Cap.PLMR, true) |
      bit(Cap.PHMR, true) |
      at(Cap.SAGAW, sagaw) |
      at(Cap.MGAW, this.mgaw - 1) |
      bit(Cap.ZLR, true) |
      at(Cap.FRO, Register.FRCD / 16) |
      at(Cap.SLLPS, this.largePages ? 0b0011 : 0) |
      bit(Cap.PSI, true) |
      at(Cap.NFR, this.faultRecords - 1) |
      at(Cap.MAMV, this.maximumAddressMask) |
      bit(Cap.DWD, true) |
      bit(Cap.DRD, true) |
      bit(Cap.PI, this.postedInterrupts)
    );
  }

  private extendedCapability(): bigint {
    return (
      bit(Ecap.C, true) |
      bit(Ecap.QI, true) |
      bit(Ecap.IR, this.interruptRemapping) |
      bit(Ecap.EIM, this.extendedInterruptMode) |
      bit(Ecap.PT, true) |
      bit(Ecap.SC, true) |
      at(Ecap.IRO, Register.IVA / 16) |
      at(Ecap.MHMV, this.interruptRemapping ? 15 : 0)
    );
  }
}
