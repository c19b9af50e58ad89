/** Memory requests through the device table and the host page tables: AMD IOMMU specification, "I/O Page Tables for Host Translations". */
import { keptSteps, type WalkStep } from '../remapping';
import type { TableMemory } from '../table-memory';
import { illegalEntry, illegalForMemory, type DeviceTable } from './device-table';
import { beyondTables, walkPageTables, type WalkResult } from './page-walk';
import { eventFields, hex, type Refusal, type Request } from './refusal';
import type { RegisterFile } from './register-file';
import { HardwareErrorType, InvalidRequestType } from './spec/events';
import { BASE_ADDRESS, Exclusion, Register } from './spec/registers';
import type { CachedDevice, CachedPage, TranslationCaches } from './translation-caches';

/** Writes there are interrupts; nothing can be read. */
const INTERRUPT_RANGE = { first: 0xfee0_0000, last: 0xfeef_ffff } as const;
const PAGE = 4096;

/** `device`, `page`: what the answer was made from, whose tables may have changed since. `pageHit`: the page came out of the IOTLB. */
export type DmaResult = { readonly device?: CachedDevice; readonly page?: CachedPage; readonly pageHit?: boolean } & (
  { readonly kind: 'mapped'; readonly physical: number; readonly length: number } | { readonly kind: 'refused'; readonly refusal: Refusal }
);

export class DmaRemapping {
  constructor(
    private readonly memory: TableMemory,
    private readonly registers: RegisterFile,
    private readonly deviceTable: DeviceTable,
    private readonly caches: TranslationCaches,
  ) {}

  translate(request: Request, length: number, now: number): DmaResult {
    const { address } = request;
    if (address >= INTERRUPT_RANGE.first && address <= INTERRUPT_RANGE.last) return { kind: 'refused', refusal: inInterruptRange(request) };
    const found = this.deviceTable.lookup(request, now);
    if (found.kind === 'refused') return found;
    const { device } = found;
    const { entry } = device;
    const refuse = (refusal: Refusal): DmaResult => ({ kind: 'refused', refusal });
    // DTE.V = 0, exclusion range, Mode 0: "forwarded without translation".
    const unchanged = { kind: 'mapped', physical: address, length, device } as const;
    if (!entry.valid) return unchanged;
    const illegal = illegalForMemory(entry);
    if (illegal !== undefined) return refuse(illegalEntry(request, device, illegal));
    const excluded = this.excluded(address, length, device);
    if (excluded > 0) return { ...unchanged, length: excluded };
    if (!entry.translationValid) return refuse(this.pageFault(request, device, { present: false }, 'TV = 0 in the device table entry'));
    const write = request.kind === 'write';
    const denied = (by: string, walk?: readonly WalkStep[]): Refusal =>
      this.pageFault(request, device, { present: true, permission: true }, `${by} does not permit to ${request.kind}`, walk);
    if (!(write ? entry.write : entry.read)) return refuse(denied('the device table entry'));
    if (entry.mode === 0) return unchanged;

    const cached = this.caches.page(entry.domain, address);
    const pageHit = cached !== undefined;
    const page = cached ?? this.fetch(request, device, now);
    if ('event' in page) return refuse(page);
    if (!(write ? page.write : page.read)) {
      const refusal = denied('an entry of the page tables', [...device.path, ...page.path]);
      return { kind: 'refused', refusal, page, pageHit };
    }
    const offset = address - page.base;
    return { kind: 'mapped', physical: page.physical + offset, length: Math.min(length, 2 ** page.shift - offset), device, page, pageHit };
  }

  /** PREFETCH_IOMMU_PAGES: fills the caches, and reports nothing. Returns the first address after the page, or undefined without one. */
  prefetch(device: number, address: number, now: number): number | undefined {
    const request: Request = { device, kind: 'read', address };
    const found = this.deviceTable.lookup(request, now);
    if (found.kind === 'refused') return undefined;
    const { entry } = found.device;
    if (!entry.valid || !entry.translationValid || entry.mode === 0 || illegalForMemory(entry) !== undefined) return undefined;
    const page = this.caches.page(entry.domain, address) ?? this.fetch(request, found.device, now);
    return 'event' in page ? undefined : page.base + 2 ** page.shift;
  }

  /** Bytes from `address` on that lie in the exclusion range and that this device may use; 0: it is translated. */
  private excluded(address: number, length: number, { entry }: CachedDevice): number {
    const base = this.registers.get(Register.EXCLUSION_BASE);
    const flags = Number(base & 0xfffn);
    if ((flags & Exclusion.EN) === 0 || ((flags & Exclusion.ALLOW) === 0 && !entry.exclusion)) return 0;
    // The limit is a page, and all of it is in the range.
    const end = this.registers.base(Register.EXCLUSION_LIMIT) + PAGE;
    return address >= Number(base & BASE_ADDRESS) && address < end ? Math.min(length, end - address) : 0;
  }

  private fetch(request: Request, device: CachedDevice, now: number): CachedPage | Refusal {
    const { domain, mode, root } = device.entry;
    const { address } = request;
    const virtual = BigInt(address);
    if (beyondTables(virtual, mode)) return this.pageFault(request, device, { present: false }, `the address is beyond tables of ${mode} levels`);
    // What the entry of the device permits is not the page's: other devices of the domain may have other permissions.
    const top = { level: mode, table: root, read: true, write: true, path: [] };
    const start = this.caches.table(domain, address, mode) ?? top;
    const result = walkPageTables(this.memory, virtual, start, (table) => this.caches.fillTable(domain, address, table, request.device, now));
    if (result.kind !== 'page') return this.walkFailed(request, device, result);
    const { base, physical, shift, read, write, path } = result;
    const page: CachedPage = { base: Number(base), physical: Number(physical), shift, read, write, path, filledBy: request.device, filledAt: now };
    this.caches.fillPage(domain, { ...page, path: keptSteps(path, request.device, now) });
    return page;
  }

  private walkFailed(request: Request, device: CachedDevice, result: Exclude<WalkResult, { kind: 'page' }>): Refusal {
    const walk = [...device.path, ...result.path];
    if (result.kind === 'fault') return this.pageFault(request, device, result, result.reason, walk);
    const event = { ...eventFields(request), domain: device.entry.domain, address: BigInt(result.address), type: HardwareErrorType.MasterAbort };
    const reason = `the page table entry at ${hex(result.address)} cannot be read`;
    return { event: { name: 'PAGE_TAB_HARDWARE_ERROR', ...event }, reason, walk, refusedBy: walk.at(-1) };
  }

  private pageFault(
    request: Request,
    { entry, path }: CachedDevice,
    { present, permission, reserved }: { readonly present: boolean; readonly permission?: boolean; readonly reserved?: boolean },
    reason: string,
    walk: readonly WalkStep[] = path,
  ): Refusal {
    const suppressed = entry.suppressAll || (entry.suppressRepeated && this.caches.faulted.has(request.device));
    this.caches.faulted.add(request.device);
    const event = { name: 'IO_PAGE_FAULT' as const, ...eventFields(request), domain: entry.domain, present, permission, reserved };
    return { event, reason, walk, refusedBy: walk.at(-1), suppressed };
  }
}

/** An aligned dword written there is an interrupt and never comes this way: what does is a read, or a write that no interrupt is made of. */
function inInterruptRange(request: Request): Refusal {
  const type = request.kind === 'read' ? InvalidRequestType.ReadInInterruptRange : InvalidRequestType.WriteInReservedInterruptRange;
  const { device } = request;
  return {
    event: { name: 'INVALID_DEVICE_REQUEST', device, type, address: BigInt(request.address) },
    reason: `${hex(request.address)} is in the interrupt address range`,
    walk: [],
  };
}
