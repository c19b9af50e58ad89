/** SDM "Evaluation and Delivery of Virtual Interrupts". */
import { Activity } from '../../cpu/cpu';
import { EventType } from '../../cpu/interfaces';
import { Primary } from '../controls';
import type { Vmx } from '../vmx';
import { Offset } from './registers';

/** Caused by VM entry, TPR, EOI and self-IPI virtualization and posted-interrupt processing; by nothing else, even if RVI or VPPR change. */
export function evaluatePending(vmx: Vmx): void {
  const { apic, cpu } = vmx;
  const window = (vmx.primary & Primary.INTERRUPT_WINDOW_EXITING) !== 0;
  apic.recognized = !window && apic.rvi >>> 4 > ((apic.read(Offset.PPR) >>> 4) & 15);
  if (apic.recognized) cpu.attention = true;
}

/** A virtual interrupt is recognized, and nothing blocks it. Blocking by STI and MOV SS is the caller's to see. */
export function deliverable({ apic, cpu }: Vmx): boolean {
  return apic.recognized && cpu.interruptsEnabled && (cpu.activity === Activity.Active || cpu.activity === Activity.Halted);
}

/** "Virtual-Interrupt Delivery". It wakes the processor as an external interrupt would. */
export function deliverVirtualInterrupt(vmx: Vmx): void {
  const { apic, cpu } = vmx;
  const vector = apic.rvi;
  apic.setVector(Offset.ISR, vector);
  apic.write(Offset.PPR, vector & 0xf0);
  apic.clearVector(Offset.IRR, vector);
  apic.setStatus(apic.highestVector(Offset.IRR), vector);
  apic.recognized = false;
  cpu.activity = Activity.Active;
  vmx.deliver(cpu, { vector, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 });
}
