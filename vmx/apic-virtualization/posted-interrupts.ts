/** SDM "Posted-Interrupt Processing". */
import { PinBased } from '../controls';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { Offset } from './registers';
import { evaluatePending } from './virtual-interrupts';

/** The posted-interrupt descriptor: 256 posted requests (PIR), and bit 256, "outstanding notification". The rest is software's. */
const CONTROL = 32;
const OUTSTANDING = 1;
const WORDS = 8;

/** Is `vector`, which the local APIC has delivered, the notification? */
export function isNotification(vmx: Vmx, vector: number): boolean {
  return (vmx.pinBased & PinBased.PROCESS_POSTED_INTERRUPTS) !== 0 && vector === (vmx.vmcs.low(OFFSET.POSTED_INTERRUPT_NOTIFICATION_VECTOR) & 0xff);
}

/** Steps 3 to 7, "in an uninterruptible manner". */
export function processPostedInterrupts(vmx: Vmx): void {
  const { apic, cpu, vmcs } = vmx;
  const { memory } = cpu;
  const descriptor = vmcs.number(OFFSET.POSTED_INTERRUPT_DESCRIPTOR_ADDRESS);
  memory.write32(descriptor + CONTROL, (memory.read32(descriptor + CONTROL) & ~OUTSTANDING) >>> 0);
  cpu.interrupts?.endOfInterrupt?.();
  let highest = 0;
  for (let word = 0; word < WORDS; word++) {
    const requests = memory.read32(descriptor + word * 4);
    if (requests === 0) continue;
    highest = word * 32 + 31 - Math.clz32(requests);
    apic.write(Offset.IRR + word * 16, apic.read(Offset.IRR + word * 16) | requests);
    memory.write32(descriptor + word * 4, 0);
  }
  apic.setStatus(Math.max(apic.rvi, highest), apic.svi);
  evaluatePending(vmx);
}
