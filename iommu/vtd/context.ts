/** From a requester to its domain: VT-d specification, "Root Table" and "Context Entry". */
import type { WalkStep } from '../remapping';
import { readEntry, type TableMemory } from '../table-memory';
import type { VtdCapabilities } from './capabilities';
import { hex, refuse, type Refusal } from './refusal';
import { FaultReason } from './spec/fault-reasons';
import { ContextEntry, RootEntry, TranslationType, agawOf } from './spec/tables';

export interface Context {
  readonly domain: number;
  readonly passThrough: boolean;
  readonly levels: number;
  /** Width of guest addresses: the least of MGAW and the adjusted guest address width. */
  readonly width: number;
  /** Physical address of the first second-level table. */
  readonly table: number;
  readonly faultProcessingDisabled: boolean;
  readonly walk: readonly WalkStep[];
}

const TYPES = ['multi-level tables', 'multi-level tables and device-TLB', 'pass-through', 'reserved'];

export function readContext(memory: TableMemory, capabilities: VtdCapabilities, rootTable: number, requester: number): Context | Refusal {
  const root = readEntry(memory, 'root entry', rootTable + (requester >>> 8) * RootEntry.BYTES, 2);
  if (root.value === undefined) return refuse(FaultReason.RootTableAccess, [root], `nothing at ${hex(root.address)}`);
  const [rootLow, rootHigh] = root.value;
  if ((rootLow & RootEntry.P) === 0n) return refuse(FaultReason.RootNotPresent, [root], `bus ${requester >>> 8}`);
  if ((rootLow & (RootEntry.RESERVED | beyond(capabilities))) !== 0n || rootHigh !== 0n)
    return refuse(FaultReason.RootReserved, [root], `${hex(rootLow)}, ${hex(rootHigh)}`);

  const contextTable = Number(rootLow & RootEntry.CTP);
  const entry = readEntry(memory, 'context entry', contextTable + (requester & 0xff) * ContextEntry.BYTES, 2);
  const walk = [root, entry];
  if (entry.value === undefined) return refuse(FaultReason.ContextTableAccess, walk, `nothing at ${hex(entry.address)}`, false, root);
  return decodeContext(capabilities, entry.value[0], entry.value[1], walk);
}

function decodeContext(capabilities: VtdCapabilities, low: bigint, high: bigint, walk: readonly WalkStep[]): Context | Refusal {
  // "FPD: this field is evaluated by hardware irrespective of the setting of the Present field."
  const fpd = (low & ContextEntry.FPD) !== 0n;
  if ((low & ContextEntry.P) === 0n) return refuse(FaultReason.ContextNotPresent, walk, '', fpd);
  if ((low & (ContextEntry.RESERVED | beyond(capabilities))) !== 0n || (high & ContextEntry.RESERVED_HIGH) !== 0n)
    return refuse(FaultReason.ContextReserved, walk, `${hex(low)}, ${hex(high)}`, fpd);
  const type = Number((low >> ContextEntry.TT_SHIFT) & 3n);
  const aw = Number(high & ContextEntry.AW);
  const levels = capabilities.levelsOf(aw);
  if (type !== TranslationType.MultiLevel && type !== TranslationType.PassThrough)
    return refuse(FaultReason.ContextInvalid, walk, `translation type ${type} (${TYPES[type]})`, fpd);
  if (levels === undefined) return refuse(FaultReason.ContextInvalid, walk, `address width ${aw} is not in CAP.SAGAW`, fpd);
  // "When the translation type is pass-through, AW must be programmed to indicate the largest AGAW value supported by hardware."
  if (type === TranslationType.PassThrough && levels !== Math.max(...capabilities.levels))
    return refuse(FaultReason.ContextInvalid, walk, `pass-through with address width ${aw}, which is not the largest`, fpd);
  return {
    domain: Number((high >> ContextEntry.DID_SHIFT) & 0xffffn),
    passThrough: type === TranslationType.PassThrough,
    levels,
    width: Math.min(capabilities.mgaw, agawOf(levels)),
    table: Number(low & ContextEntry.SLPTPTR),
    faultProcessingDisabled: fpd,
    walk,
  };
}

/** In root and context entries everything above the host address width is reserved, up to bit 63. */
const beyond = ({ hostAddressWidth }: VtdCapabilities): bigint => (0xffff_ffff_ffff_ffffn >> BigInt(hostAddressWidth)) << BigInt(hostAddressWidth);
