/** What the registers of the unit say, read as software reads them. */
import { loggedFault, namesOf, type IommuReport } from '../report';
import { FAULT_REASONS, isInterruptReason, type FaultReasonCode } from './spec/fault-reasons';
import { FRCD_BYTES, Frcd, Global, Register } from './spec/registers';

const HALF = 2 ** 32;
const offsets = new Set<number>(Object.values(Register));
/** Fields of the Global Status Register. */
const STATUS: Readonly<Record<string, number>> = {
  'DMA remapping (TES)': Global.TE,
  'root table pointer set (RTPS)': Global.SRTP,
  'queued invalidation (QIES)': Global.QIE,
  'interrupt remapping (IRES)': Global.IRE,
  'interrupt table pointer set (IRTPS)': Global.SIRTP,
  'compatibility format interrupts (CFIS)': Global.CFI,
};

/** @param read a dword of the register window. @param records fault recording registers. */
export function vtdReport(read: (offset: number) => number, records: number): Omit<IommuReport, 'cached'> {
  const registers = Object.entries(Register).flatMap(([name, offset]): [string, bigint][] => {
    if (offset === Register.FRCD) return [];
    const value = BigInt(read(offset)) | (offsets.has(offset + 4) ? 0n : BigInt(read(offset + 4)) << 32n);
    return value === 0n ? [] : [[name, value]];
  });
  const faults = Array.from({ length: records }, (_, i) => faultRecord(read, Register.FRCD + FRCD_BYTES * i)).filter((fault) => fault !== undefined);
  return { unit: 'VT-d', enabled: namesOf(STATUS, read(Register.GSTS)), faults, registers };
}

/** undefined: F is 0. */
function faultRecord(read: (offset: number) => number, at: number): string | undefined {
  const [low, high, third, fourth] = [0, 4, 8, 12].map((i) => read(at + i));
  if ((fourth & Frcd.F) === 0) return undefined;
  const reason = fourth & Frcd.FR;
  const interrupt = isInterruptReason(reason as FaultReasonCode);
  const why = `${FAULT_REASONS[reason as FaultReasonCode].text} (0x${reason.toString(16)})`;
  const requester = third & Frcd.SID;
  // "Interrupt index in bits 63:48."
  if (interrupt) return loggedFault('interrupt', BigInt(high >>> 16), requester, why);
  return loggedFault((fourth & Frcd.T1) !== 0 ? 'read' : 'write', BigInt(high) * BigInt(HALF) + BigInt(low), requester, why);
}
