/** Interrupt messages through the interrupt tables: AMD IOMMU specification, "Interrupt Remapping Tables, Guest Virtual APIC Not Enabled". */
import { MessageAddress, MessageData, decodeMessage, type InterruptMessage } from '../../devices/interrupt-message';
import { keptSteps, type WalkStep } from '../remapping';
import type { TableMemory } from '../table-memory';
import { illegalEntry, illegalForInterrupts, type DeviceTable } from './device-table';
import { composeMessage } from './message';
import { eventFields, hex, type Refusal, type Request } from './refusal';
import type { RegisterFile } from './register-file';
import { IntCtl, type DeviceTableEntry } from './spec/device-table';
import { HardwareErrorType, InvalidRequestType, type IommuEvent } from './spec/events';
import {
  INDEX_MASK,
  IRTE128_BYTES,
  IRTE32_BYTES,
  IRTE32_NAME,
  decodeIrte128,
  decodeIrte32,
  remapEnabled,
  suppressesFaults,
  type InterruptEntry,
} from './spec/interrupt-table';
import { Control, GuestApicMode } from './spec/registers';
import type { CachedDevice, CachedInterrupt, TranslationCaches } from './translation-caches';

/** `device`, `interrupt`: what the answer was made from, whose tables may have changed since. */
export type InterruptResult = { readonly device?: CachedDevice; readonly interrupt?: CachedInterrupt } & (
  | /** Nothing changes: the device has no interrupt table, or the message passes it. */ { readonly kind: 'pass' }
  | { readonly kind: 'remapped'; readonly message: InterruptMessage }
  | { readonly kind: 'guest'; readonly entry: Extract<InterruptEntry, { kind: 'guest' }>; readonly path: readonly WalkStep[] }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
);

/** Delivery modes of a message. */
const Mode = { Fixed: 0, LowestPriority: 1, Smi: 2, Nmi: 4, Init: 5, ExtInt: 7 } as const;

export const indexOf = (message: InterruptMessage): number => message.data & INDEX_MASK;

export class InterruptRemapping {
  constructor(
    private readonly memory: TableMemory,
    private readonly registers: RegisterFile,
    private readonly deviceTable: DeviceTable,
    private readonly caches: TranslationCaches,
  ) {}

  remap(message: InterruptMessage, now: number): InterruptResult {
    // Not in the interrupt range: nobody takes it for an interrupt.
    if (decodeMessage(message) === undefined) return { kind: 'pass' };
    const request: Request = { device: message.source, kind: 'interrupt', address: message.address };
    const found = this.deviceTable.lookup(request, now);
    if (found.kind === 'refused') return found;
    return { ...this.byDevice(message, request, found.device, now), device: found.device };
  }

  private byDevice(message: InterruptMessage, request: Request, device: CachedDevice, now: number): InterruptResult {
    const { entry } = device;
    if (!entry.interruptsValid) return { kind: 'pass' };
    const illegal = illegalForInterrupts(entry);
    if (illegal !== undefined) return refused(illegalEntry(request, device, illegal));

    const mode = (message.data >>> MessageData.MODE_SHIFT) & 7;
    if (mode !== Mode.Fixed && mode !== Mode.LowestPriority) return this.special(request, device, mode);
    if (entry.intCtl === IntCtl.Forward) return { kind: 'pass' };
    if (entry.intCtl === IntCtl.Abort) return refused(invalidRequest(request, device, InvalidRequestType.InterruptWithIntCtl0, 'IntCtl 0 aborts interrupts'));
    return this.throughTable(message, request, device, now);
  }

  /** "INIT, ExtInt and NMI pass by bits of the device table entry; SMIs are not filtered" (SmiFSup = 0). */
  private special(request: Request, device: CachedDevice, mode: number): InterruptResult {
    const { entry } = device;
    if (mode === Mode.Smi) return { kind: 'pass' };
    if (mode === Mode.Nmi || mode === Mode.Init || mode === Mode.ExtInt) {
      const passes = mode === Mode.Nmi ? entry.nmiPass : mode === Mode.Init ? entry.initPass : entry.extIntPass;
      if (passes) return { kind: 'pass' };
      return refused(interruptFault(request, device, { present: false }, `the device table entry lets no interrupt of delivery mode ${mode} pass`));
    }
    return refused(invalidRequest(request, device, InvalidRequestType.WriteInReservedInterruptRange, `delivery mode ${mode} is reserved`));
  }

  private throughTable(message: InterruptMessage, request: Request, device: CachedDevice, now: number): InterruptResult {
    const index = indexOf(message);
    const found = this.caches.interrupt(request.device, index) ?? this.fetch(request, device, index, now);
    if ('event' in found) return refused(found);
    const { entry } = found;
    const path = [...device.path, ...found.path];
    if (entry.kind === 'invalid') return refused(interruptFault(request, device, { present: true, reserved: true }, entry.reason, path));
    if (entry.kind === 'guest') return { kind: 'guest', entry, path, interrupt: found };
    const { type: deliveryMode, logical, destination, vector } = entry;
    const extended = this.registers.control(Control.GAEn) && this.registers.control(Control.XTEn);
    // "Trigger mode and level come with the request."
    const passed = message.data & (MessageData.LEVEL | MessageData.ASSERT);
    const hint = message.address & MessageAddress.REDIRECTION_HINT;
    return {
      kind: 'remapped',
      message: composeMessage({ destination, logical, vector, deliveryMode, extended, passed, hint }, message.source),
      interrupt: found,
    };
  }

  private fetch(request: Request, device: CachedDevice, index: number, now: number): CachedInterrupt | Refusal {
    const { entry } = device;
    if (index >= entry.interruptEntries)
      return interruptFault(request, device, { present: false }, `index ${index} is beyond the ${entry.interruptEntries} entries of the interrupt table`);
    const read = this.read(entry, index);
    const walk = [...device.path, read.step];
    if (read.entry === 'unreadable') return unreadable(request, device, read.step.address, walk);
    if (read.entry === undefined)
      return interruptFault(request, device, { present: false }, `entry ${index} of the interrupt table is not enabled (RemapEn = 0)`, walk, read.suppressed);
    const filled: CachedInterrupt = { entry: read.entry, filledBy: request.device, filledAt: now, path: [read.step] };
    this.caches.fillInterrupt(request.device, index, { ...filled, path: keptSteps(filled.path, request.device, now) });
    return filled;
  }

  /** The entry; undefined: RemapEn is 0. */
  private read(dte: DeviceTableEntry, index: number): { step: WalkStep; entry: InterruptEntry | 'unreadable' | undefined; suppressed: boolean } {
    const { memory, registers } = this;
    const wide = registers.control(Control.GAEn);
    const address = dte.interruptRoot + index * (wide ? IRTE128_BYTES : IRTE32_BYTES);
    const table = wide ? 'interrupt remapping table entry' : IRTE32_NAME;
    if (memory.host(address) === 0) return { step: { table, address, value: undefined }, entry: 'unreadable', suppressed: false };
    if (!wide) {
      const value = memory.read32(address);
      return {
        step: { table, address, value: [BigInt(value)] },
        entry: remapEnabled(value) ? decodeIrte32(value) : undefined,
        suppressed: suppressesFaults(value),
      };
    }
    const [low, high] = [memory.read64(address), memory.read64(address + 8)];
    const dword = Number(low & 0xffff_ffffn);
    const guestMode = registers.guestApicMode === GuestApicMode.Log;
    const entry = remapEnabled(dword) ? decodeIrte128(low, high, guestMode, registers.control(Control.XTEn)) : undefined;
    return { step: { table, address, value: [low, high] }, entry, suppressed: suppressesFaults(dword) };
  }
}

const refused = (refusal: Refusal): InterruptResult => ({ kind: 'refused', refusal });

function invalidRequest(request: Request, { path }: CachedDevice, type: number, reason: string): Refusal {
  const event: IommuEvent = { name: 'INVALID_DEVICE_REQUEST', device: request.device, type, address: BigInt(request.address) };
  return { event, reason, walk: path, refusedBy: path.at(-1) };
}

/** "IG: suppress event logging for interrupt messages causing IO_PAGE_FAULT." SupIOPF of the table entry does the same for one entry. */
export function interruptFault(
  request: Request,
  { entry, path }: CachedDevice,
  bits: { readonly present: boolean; readonly reserved?: boolean },
  reason: string,
  walk: readonly WalkStep[] = path,
  suppressed = false,
): Refusal {
  const event: IommuEvent = { name: 'IO_PAGE_FAULT', ...eventFields(request), domain: entry.domain, ...bits };
  return { event, reason, walk, refusedBy: walk.at(-1), suppressed: suppressed || entry.ignoreUnmapped };
}

function unreadable(request: Request, { entry }: CachedDevice, address: number, walk: readonly WalkStep[]): Refusal {
  const event: IommuEvent = {
    name: 'PAGE_TAB_HARDWARE_ERROR',
    ...eventFields(request),
    domain: entry.domain,
    type: HardwareErrorType.MasterAbort,
    address: BigInt(address),
  };
  return { event, reason: `the interrupt remapping table entry at ${hex(address)} cannot be read`, walk, refusedBy: walk.at(-1) };
}
