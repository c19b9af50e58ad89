/** What the registers of the unit and its event log say. */
import { requesterName } from '../remapping';
import { loggedFault, namesOf, type IommuReport } from '../report';
import { readQwords, type TableMemory } from '../table-memory';
import type { RegisterFile } from './register-file';
import { EVENT_BYTES, decodeEvent, type EventName } from './spec/events';
import { Control, REGISTERS, Register, Status } from './spec/registers';

const NAMES = new Map<number, string>(Object.entries(Register).map(([name, offset]) => [offset, name]));
const COMMAND_EVENTS: readonly EventName[] = ['ILLEGAL_COMMAND_ERROR', 'COMMAND_HARDWARE_ERROR'];
/** GAMEn is a field. */
const CONTROL_BITS = Object.entries(Control).filter(([name]) => name !== 'GAMEn');

export function amdViReport(memory: TableMemory, registers: RegisterFile): Omit<IommuReport, 'cached'> {
  const enabled = CONTROL_BITS.flatMap(([name, bit]) => (registers.control(bit) ? [name] : []));
  if (registers.guestApicMode !== 0) enabled.push(`GAMEn ${registers.guestApicMode}`);
  return {
    unit: 'AMD-Vi',
    enabled: [...enabled, ...namesOf(Status, Number(registers.get(Register.STATUS)))],
    faults: events(memory, registers),
    registers: REGISTERS.flatMap(({ offset }): [string, bigint][] => {
      const value = registers.get(offset);
      return value === 0n ? [] : [[NAMES.get(offset) ?? `register at 0x${offset.toString(16)}`, value]];
    }),
  };
}

function event(low: bigint, address: bigint): string {
  const { code, name, device, interrupt, write } = decodeEvent(low);
  const what = `${name ?? 'no event of this unit'} (0x${code.toString(16)})`;
  // Events of the command buffer name no device, and invalid requests are told apart by TYPE instead of RW and I.
  if (name === undefined || COMMAND_EVENTS.includes(name)) return `0x${address.toString(16)}: ${what}`;
  if (name === 'INVALID_DEVICE_REQUEST') return `0x${address.toString(16)} by ${requesterName(device)}: ${what}`;
  return loggedFault(interrupt ? 'interrupt' : write ? 'write' : 'read', address, device, what);
}

/** From head to tail. */
function events(memory: TableMemory, registers: RegisterFile): string[] {
  const entries = registers.entries(Register.EVENT_LOG_BASE);
  if (entries === undefined) return [];
  const bytes = entries * EVENT_BYTES;
  const tail = Number(registers.get(Register.EVENT_TAIL)) % bytes;
  const found: string[] = [];
  for (let at = Number(registers.get(Register.EVENT_HEAD)) % bytes; at !== tail; at = (at + EVENT_BYTES) % bytes) {
    const words = readQwords(memory, registers.base(Register.EVENT_LOG_BASE) + at, 2);
    if (words === undefined) return [...found, 'the rest of the log is not in RAM'];
    found.push(event(words[0], words[1]));
  }
  return found;
}
