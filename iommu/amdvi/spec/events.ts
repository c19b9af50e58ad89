/** Event log entries, 128 bits: AMD IOMMU specification, "Event Logging". Bit positions are of the lower 64-bit half. */

export const EVENT_BYTES = 16;

export const EventCode = {
  ILLEGAL_DEV_TABLE_ENTRY: 1,
  IO_PAGE_FAULT: 2,
  DEV_TAB_HARDWARE_ERROR: 3,
  PAGE_TAB_HARDWARE_ERROR: 4,
  ILLEGAL_COMMAND_ERROR: 5,
  COMMAND_HARDWARE_ERROR: 6,
  IOTLB_INV_TIMEOUT: 7,
  INVALID_DEVICE_REQUEST: 8,
} as const;
export type EventName = keyof typeof EventCode;

const Position = { DOMAIN: 32n, I: 51n, PR: 52n, RW: 53n, PE: 54n, RZ: 55n, TYPE: 57n, CODE: 60n } as const;

/** Hardware errors: the model's memory has one way to fail, which is that nothing answers. */
export const HardwareErrorType = { MasterAbort: 1, TargetAbort: 2, DataError: 3 } as const;

/** INVALID_DEVICE_REQUEST: what was asked. The other types concern address ranges and translation requests that this bus does not have. */
export const InvalidRequestType = { ReadInInterruptRange: 0, InterruptWithIntCtl0: 5, WriteInReservedInterruptRange: 6 } as const;

export interface IommuEvent {
  readonly name: EventName;
  readonly device?: number;
  readonly domain?: number;
  /** An interrupt, not a memory request. */
  readonly interrupt?: boolean;
  readonly present?: boolean;
  readonly write?: boolean;
  readonly permission?: boolean;
  /** A reserved bit is not zero; clear: an invalid level encoding. */
  readonly reserved?: boolean;
  readonly type?: number;
  readonly address: bigint;
}

const flag = (set: boolean | undefined, position: bigint): bigint => (set ? 1n << position : 0n);

export function encodeEvent(event: IommuEvent): [low: bigint, high: bigint] {
  const low =
    BigInt(event.device ?? 0) |
    (BigInt(event.domain ?? 0) << Position.DOMAIN) |
    flag(event.interrupt, Position.I) |
    flag(event.present, Position.PR) |
    flag(event.write, Position.RW) |
    flag(event.permission, Position.PE) |
    flag(event.reserved, Position.RZ) |
    (BigInt(event.type ?? 0) << Position.TYPE) |
    (BigInt(EventCode[event.name]) << Position.CODE);
  return [low, event.address];
}

const NAMES = new Map(Object.entries(EventCode).map(([name, code]): [number, EventName] => [code, name as EventName]));

/** What the lower half of an entry tells of every event that a device causes. */
export function decodeEvent(low: bigint): { code: number; name: EventName | undefined; device: number; interrupt: boolean; write: boolean } {
  const code = Number(low >> Position.CODE);
  const bit = (position: bigint): boolean => ((low >> position) & 1n) !== 0n;
  return { code, name: NAMES.get(code), device: Number(low & 0xffffn), interrupt: bit(Position.I), write: bit(Position.RW) };
}

/** Events that the hardware event registers keep too (HESup). */
export const HARDWARE_EVENTS: readonly EventName[] = ['DEV_TAB_HARDWARE_ERROR', 'PAGE_TAB_HARDWARE_ERROR', 'COMMAND_HARDWARE_ERROR'];

/** Guest virtual APIC log entry, 64 bits: a guest that does not run has an interrupt. */
export const GA_ENTRY_BYTES = 8;
const GA_GUEST_NOT_RUNNING = 1n;
export const encodeGaEntry = (device: number, tag: number): bigint => (GA_GUEST_NOT_RUNNING << 60n) | (BigInt(device) << 32n) | BigInt(tag);
