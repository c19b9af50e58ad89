/** Device table entries, from the cache or from memory: AMD IOMMU specification, "Device Table". */
import { keptSteps } from '../remapping';
import { readEntry, type TableMemory } from '../table-memory';
import { eventFields, hex, type Refusal, type Request } from './refusal';
import type { RegisterFile } from './register-file';
import { DTES_PER_PAGE, DTE_BYTES, Dte0, Dte1, Dte2, Dte3, IntCtl, LARGEST_INT_TAB_LEN, decodeDte, type DeviceTableEntry } from './spec/device-table';
import { HardwareErrorType } from './spec/events';
import { DEVICE_TABLE_SIZE, MAX_LEVELS, Register } from './spec/registers';
import type { CachedDevice, TranslationCaches } from './translation-caches';

export type DeviceLookup = { readonly kind: 'device'; readonly device: CachedDevice } | { readonly kind: 'refused'; readonly refusal: Refusal };

export class DeviceTable {
  constructor(
    private readonly memory: TableMemory,
    private readonly registers: RegisterFile,
    private readonly caches: TranslationCaches,
  ) {}

  lookup(request: Request, now: number): DeviceLookup {
    const cached = this.caches.devices.get(request.device);
    if (cached !== undefined) return { kind: 'device', device: cached };
    const base = this.registers.get(Register.DEVICE_TABLE_BASE);
    const entries = (Number(base & DEVICE_TABLE_SIZE) + 1) * DTES_PER_PAGE;
    if (request.device >= entries) return refused(beyondTable(request, entries));
    const step = readEntry(this.memory, 'device table entry', this.registers.base(Register.DEVICE_TABLE_BASE) + request.device * DTE_BYTES, 4);
    if (step.value === undefined) return refused(unreadable(request, step.address));
    const [w0, w1, w2, w3] = step.value;
    const entry = decodeDte([w0, w1, w2, w3]);
    const device: CachedDevice = { entry, filledBy: request.device, filledAt: now, path: [step] };
    this.caches.faulted.delete(request.device);
    if (entry.valid || entry.interruptsValid) this.caches.devices.set(request.device, { ...device, path: keptSteps(device.path, request.device, now) });
    return { kind: 'device', device };
  }
}

const refused = (refusal: Refusal): DeviceLookup => ({ kind: 'refused', refusal });

function beyondTable(request: Request, entries: number): Refusal {
  return {
    event: { name: 'IO_PAGE_FAULT', ...eventFields(request) },
    reason: `the device table has ${entries} entries, and the requester is ${hex(request.device)}`,
    walk: [],
  };
}

function unreadable(request: Request, address: number): Refusal {
  const step = { table: 'device table entry', address, value: undefined };
  return {
    event: { name: 'DEV_TAB_HARDWARE_ERROR', ...eventFields(request), type: HardwareErrorType.MasterAbort, address: BigInt(address) },
    reason: `the device table entry at ${hex(address)} cannot be read`,
    walk: [step],
    refusedBy: step,
  };
}

/** Why an entry with V = 1 cannot serve memory requests: reserved bits, or a level encoding. */
export function illegalForMemory({ words, mode }: DeviceTableEntry): IllegalEntry | undefined {
  const reserved = (words[0] & Dte0.RESERVED) | (words[1] & Dte1.RESERVED);
  if (reserved !== 0n) return { reserved: true, reason: 'reserved bits are set in bits 127:0 of the device table entry' };
  if (mode > MAX_LEVELS) return { reserved: false, reason: `Mode ${mode} is reserved` };
  return undefined;
}

/** Why an entry with IV = 1 cannot serve interrupts. */
export function illegalForInterrupts({ words, intCtl, interruptEntries }: DeviceTableEntry): IllegalEntry | undefined {
  const reserved = (words[2] & Dte2.RESERVED) | (words[3] & Dte3.RESERVED);
  if (reserved !== 0n) return { reserved: true, reason: 'reserved bits are set in bits 255:128 of the device table entry' };
  if (intCtl === IntCtl.Reserved) return { reserved: true, reason: 'IntCtl 3 is reserved' };
  if (intCtl === IntCtl.Remap && interruptEntries > 2 ** LARGEST_INT_TAB_LEN)
    return { reserved: false, reason: `IntTabLen ${Math.log2(interruptEntries)} is reserved` };
  return undefined;
}

export interface IllegalEntry {
  /** RZ of the event. */
  readonly reserved: boolean;
  readonly reason: string;
}

export function illegalEntry(request: Request, { path }: CachedDevice, { reserved, reason }: IllegalEntry): Refusal {
  // Bits 1:0 of the address are reserved in this event.
  const address = BigInt(request.address - (request.address % 4));
  return { event: { name: 'ILLEGAL_DEV_TABLE_ENTRY', ...eventFields(request), address, reserved }, reason, walk: path, refusedBy: path[0] };
}
