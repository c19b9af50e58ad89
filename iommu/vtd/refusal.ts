/** Why remapping hardware refused, before it is known for whom: a value on its way to the fault log. */
import type { WalkStep } from '../remapping';
import type { Fill } from './translation-caches';
import { FAULT_REASONS, type FaultReasonCode } from './spec/fault-reasons';

export interface Refusal {
  readonly refused: FaultReasonCode;
  /** The reason in words, with the values. */
  readonly text: string;
  readonly walk: readonly WalkStep[];
  readonly by: WalkStep | undefined;
  /** FPD of the entry that governs the request. */
  readonly faultProcessingDisabled: boolean;
  /** The walk is that of a cached translation: who filled it. */
  readonly translation?: Fill;
}

/** @param by the entry at fault; it is the last of the walk. */
export function refuse(reason: FaultReasonCode, walk: readonly WalkStep[], detail: string, fpd = false, by = walk.at(-1)): Refusal {
  const { text, qualified } = FAULT_REASONS[reason];
  return { refused: reason, text: detail === '' ? text : `${text}: ${detail}`, walk, by, faultProcessingDisabled: fpd && qualified };
}

export const isRefusal = (value: object): value is Refusal => 'refused' in value;

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
