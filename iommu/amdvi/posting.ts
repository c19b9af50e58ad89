/** Interrupts for guests: AMD IOMMU specification, "Interrupt Virtualization Tables with Guest Virtual APIC Enabled". */
import type { WalkStep } from '../remapping';
import type { TableMemory } from '../table-memory';
import { eventFields, hex, type Refusal, type Request } from './refusal';
import { HardwareErrorType } from './spec/events';
import { BACKING_PAGE_IRR, type InterruptEntry } from './spec/interrupt-table';

/** Sets the vector in the IRR of the guest's virtual APIC backing page. Returns why not, where the page cannot be written. */
export function postToGuest(
  memory: TableMemory,
  { vector, backingPage }: Extract<InterruptEntry, { kind: 'guest' }>,
  request: Request,
  walk: readonly WalkStep[],
): Refusal | undefined {
  const register = backingPage + BACKING_PAGE_IRR + 16 * (vector >>> 5);
  if (memory.host(register) === 0) {
    const event = { ...eventFields(request), type: HardwareErrorType.MasterAbort, address: BigInt(register) };
    return {
      event: { name: 'PAGE_TAB_HARDWARE_ERROR', ...event },
      reason: `the virtual APIC backing page at ${hex(backingPage)} cannot be written`,
      walk,
      refusedBy: walk.at(-1),
    };
  }
  memory.write32(register, (memory.read32(register) | (1 << (vector & 31))) >>> 0);
  return undefined;
}
