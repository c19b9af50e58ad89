/** One interrupt remapping table entry, decoded: VT-d specification, "Interrupt Remapping Table Entry". */
import type { WalkStep } from '../remapping';
import { readEntry, type TableMemory } from '../table-memory';
import { hex, refuse, type Refusal } from './refusal';
import { FaultReason } from './spec/fault-reasons';
import { field } from './spec/descriptors';
import { Irte, PostedIrte, RESERVED_DELIVERY_MODES, SQ_IGNORES, Svt } from './spec/interrupts';

interface EntryHead {
  readonly faultProcessingDisabled: boolean;
  readonly sourceId: number;
  readonly sourceQualifier: number;
  readonly validation: number;
  readonly vector: number;
  readonly walk: readonly WalkStep[];
}

export interface RemappedEntry extends EntryHead {
  readonly kind: 'remapped';
  readonly logical: boolean;
  readonly redirectionHint: boolean;
  readonly level: boolean;
  readonly deliveryMode: number;
  /** 32 bits in extended interrupt mode, otherwise 8. */
  readonly destination: number;
}

export interface PostedEntry extends EntryHead {
  readonly kind: 'posted';
  readonly urgent: boolean;
  /** Physical address of the posted interrupt descriptor. */
  readonly descriptor: number;
}

export type InterruptEntry = RemappedEntry | PostedEntry;

/** @param posting this hardware has CAP.PI. */
export function readInterruptEntry(memory: TableMemory, address: number, extended: boolean, posting: boolean): InterruptEntry | Refusal {
  const step = readEntry(memory, 'interrupt remapping table entry', address, 2);
  const walk = [step];
  if (step.value === undefined) return refuse(FaultReason.IrteAccess, walk, `nothing at ${hex(address)}`);
  const [low, high] = step.value;
  // FPD counts in an entry that is not present, too.
  const faultProcessingDisabled = (low & Irte.FPD) !== 0n;
  if ((low & Irte.P) === 0n) return refuse(FaultReason.IrteNotPresent, walk, hex(low), faultProcessingDisabled);
  const wrong = reservedField(low, high, extended, posting);
  if (wrong !== undefined) return refuse(FaultReason.IrteReserved, walk, `${wrong} in ${hex(high)}, ${hex(low)}`, faultProcessingDisabled);
  const head: EntryHead = {
    faultProcessingDisabled,
    sourceId: Number(high & Irte.SID),
    sourceQualifier: field(high, Number(Irte.SQ_SHIFT), 2),
    validation: field(high, Number(Irte.SVT_SHIFT), 2),
    vector: field(low, Number(Irte.VECTOR_SHIFT), 8),
    walk,
  };
  if ((low & Irte.IM) !== 0n) return { ...head, kind: 'posted', urgent: (low & PostedIrte.URG) !== 0n, descriptor: descriptorAddress(low, high) };
  return {
    ...head,
    kind: 'remapped',
    logical: (low & Irte.DM) !== 0n,
    redirectionHint: (low & Irte.RH) !== 0n,
    level: (low & Irte.TM) !== 0n,
    deliveryMode: field(low, Number(Irte.DLM_SHIFT), 3),
    destination: extended ? field(low, Number(Irte.DESTINATION_SHIFT), 32) : field(low, Number(Irte.XAPIC_DESTINATION_SHIFT), 8),
  };
}

/** 63:38 hold address bits 31:6, the highest 32 bits address bits 63:32. */
const descriptorAddress = (low: bigint, high: bigint): number =>
  Number(((high >> PostedIrte.PDA_HIGH_SHIFT) << 32n) | ((low >> PostedIrte.PDA_LOW_SHIFT) << 6n));

function reservedField(low: bigint, high: bigint, extended: boolean, posting: boolean): string | undefined {
  if (field(high, Number(Irte.SVT_SHIFT), 2) === Svt.Reserved) return 'source validation type 3';
  if ((low & Irte.IM) !== 0n) {
    if (!posting) return 'the posted format, which CAP.PI does not offer,';
    return (low & PostedIrte.RESERVED) !== 0n || (high & PostedIrte.RESERVED_HIGH) !== 0n ? 'reserved bits' : undefined;
  }
  if ((low & Irte.RESERVED) !== 0n || (high & Irte.RESERVED_HIGH) !== 0n) return 'reserved bits';
  if (!extended && (low & Irte.RESERVED_XAPIC) !== 0n) return 'destination bits of extended interrupt mode';
  const mode = field(low, Number(Irte.DLM_SHIFT), 3);
  return RESERVED_DELIVERY_MODES.includes(mode) ? `delivery mode ${mode}` : undefined;
}

/** Why an interrupt of `requester` may not use the entry; undefined: it may. */
export function sourceMismatch({ validation, sourceId, sourceQualifier }: EntryHead, requester: number): string | undefined {
  switch (validation) {
    case Svt.Requester: {
      const counted = 0xffff & ~SQ_IGNORES[sourceQualifier];
      return ((requester ^ sourceId) & counted) === 0 ? undefined : `${hex(requester)} is not ${hex(sourceId)} (qualifier ${sourceQualifier})`;
    }
    case Svt.BusRange: {
      const [start, end, bus] = [sourceId >>> 8, sourceId & 0xff, requester >>> 8];
      return bus >= start && bus <= end ? undefined : `bus ${hex(bus)} is not ${hex(start)} to ${hex(end)}`;
    }
    default:
      return undefined;
  }
}
