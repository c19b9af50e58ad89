/** Why a request was refused, before it is logged. */
import type { WalkStep } from '../remapping';
import type { IommuEvent } from './spec/events';

export interface Refusal {
  readonly event: IommuEvent;
  /** In words, with the offending values. */
  readonly reason: string;
  readonly walk: readonly WalkStep[];
  /** What refused: the last entry of the walk unless no entry was at fault. */
  readonly refusedBy?: WalkStep;
  /** Software asked for no event. */
  readonly suppressed?: boolean;
}

/** What a request is, as far as events are concerned. */
export interface Request {
  readonly device: number;
  readonly kind: 'read' | 'write' | 'interrupt';
  /** As events give it: of a memory request the device virtual address, of an interrupt the address of the message. */
  readonly address: number;
}

export const isInterrupt = (request: Request): boolean => request.kind === 'interrupt';

/** Fields of an event that follow from the request. RW means nothing for an interrupt. */
export const eventFields = (request: Request) => ({
  device: request.device,
  interrupt: isInterrupt(request),
  write: request.kind === 'write',
  address: BigInt(request.address),
});

export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
