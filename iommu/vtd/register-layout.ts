/** Every register of the unit with its reset value, its writable bits and what it does. VT-d specification, "Register Descriptions". */
import type { VtdCapabilities } from './capabilities';
import type { EventMessage } from './event-message';
import type { FaultLog } from './fault-log';
import type { InvalidationRegisters } from './invalidation-registers';
import { qword, type DwordRegister } from './register-file';
import { FRCD_BYTES, Irta, Iqa, Iva, Pmen, QUEUE_POINTER, Register, Rtaddr, VERSION } from './spec/registers';

export interface RegisterParts {
  readonly capabilities: VtdCapabilities;
  readonly faults: FaultLog;
  readonly faultEvent: EventMessage;
  readonly completionEvent: EventMessage;
  readonly invalidation: () => InvalidationRegisters;
  /** GCMD was written. */
  readonly command: (value: number) => void;
  /** PMEN was written. */
  readonly protect: () => void;
}

const ALL = 0xffff_ffff;
/** Protected memory comes in pieces of 1 MiB. */
const PROTECTED_ADDRESS = 0xfff0_0000;
const EVENT_DATA = 0xffff;
const EVENT_ADDRESS = 0xffff_fffc;

export function registersOf(parts: RegisterParts): DwordRegister[] {
  const { capabilities, faults, faultEvent, completionEvent, invalidation, command, protect } = parts;
  /** An address register: `low` names the writable bits of its low half, the host address width those of the high one. */
  const address = (low: number): bigint => BigInt(low >>> 0) | ((((1n << BigInt(capabilities.hostAddressWidth)) - 1n) >> 32n) << 32n);
  const extended = capabilities.extendedInterruptMode;
  return [
    { offset: Register.VER, reset: VERSION },
    ...qword(Register.CAP, { reset: capabilities.cap }),
    ...qword(Register.ECAP, { reset: capabilities.ecap }),
    // Write-only: it reads as 0, and GSTS tells.
    { offset: Register.GCMD, written: command },
    { offset: Register.GSTS },
    ...qword(Register.RTADDR, { writable: address(Rtaddr.ADDRESS | Rtaddr.TTM) }),
    ...qword(Register.CCMD, { writable: 0xe000_0003_ffff_ffffn, highWritten: (value) => invalidation().contextCommand(value) }),
    {
      offset: Register.FSTS,
      read: () => faults.readStatus(),
      written: (value) => {
        faults.writeStatus(value);
        invalidation().run();
      },
    },
    ...event(Register.FECTL, faultEvent, extended),
    ...qword(Register.AFLOG, {}),
    { offset: Register.PMEN, writable: Pmen.EPM, written: protect },
    { offset: Register.PLMBASE, writable: PROTECTED_ADDRESS },
    { offset: Register.PLMLIMIT, writable: PROTECTED_ADDRESS },
    ...qword(Register.PHMBASE, { writable: address(PROTECTED_ADDRESS) }),
    ...qword(Register.PHMLIMIT, { writable: address(PROTECTED_ADDRESS) }),
    ...qword(Register.IQH, {}),
    { offset: Register.IQT, writable: QUEUE_POINTER, written: () => invalidation().run() },
    { offset: Register.IQT + 4 },
    ...qword(Register.IQA, { writable: address(Iqa.ADDRESS | Iqa.QS) }),
    { offset: Register.ICS, written: (value) => invalidation().completionStatus(value) },
    ...event(Register.IECTL, completionEvent, extended),
    { offset: Register.IQERCD, read: () => faults.readQueueError() },
    ...(capabilities.interruptRemapping ? qword(Register.IRTA, { writable: address(Irta.ADDRESS | Irta.S | (extended ? Irta.EIME : 0)) }) : []),
    ...qword(Register.IVA, { writable: BigInt((Iva.ADDRESS | Iva.IH | Iva.AM) >>> 0) | (BigInt(ALL) << 32n) }),
    ...qword(Register.IOTLB, { writable: 0xb003_ffffn << 32n, highWritten: (value) => invalidation().iotlbCommand(value) }),
    ...records(faults, capabilities.faultRecords),
  ];
}

/** Control, data, address and upper address of an event, one after the other. */
function event(first: number, message: EventMessage, extended: boolean): DwordRegister[] {
  return [
    { offset: first, read: () => message.readControl(), written: (value) => message.writeControl(value) },
    { offset: first + 4, read: () => message.data, written: (value) => void (message.data = value & EVENT_DATA) },
    { offset: first + 8, read: () => message.address, written: (value) => void (message.address = (value & EVENT_ADDRESS) >>> 0) },
    { offset: first + 12, read: () => message.upperAddress, written: (value) => void (message.upperAddress = extended ? value >>> 0 : 0) },
  ];
}

function records(faults: FaultLog, count: number): DwordRegister[] {
  return Array.from({ length: (count * FRCD_BYTES) / 4 }, (_, dword) => ({
    offset: Register.FRCD + 4 * dword,
    read: () => faults.readRecord(dword),
    written: (value: number) => faults.writeRecord(dword, value),
  }));
}
