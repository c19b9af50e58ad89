/**
 * The posted-interrupt descriptor of a virtual processor: the IOMMU puts the guest's vectors into it, and one host vector, the notification,
 * says that there are some. VT-d specification, "Interrupt Posting"; SDM "Posted-Interrupt Processing".
 *
 * The guest's local APIC is emulated here, so its VMCS does not ask the processor to process notifications: they are external interrupts
 * that make the guest exit, as they are for a virtual processor that does not run, and the hypervisor takes what was posted.
 */
import type { Cpu } from '../../cpu/cpu';
import { readMsr } from '../../cpu/system/msr';
import { PostedDescriptor as Pid } from '../../iommu/vtd/spec/interrupts';
import { VmxMsr } from '../../vmx/capabilities';
import { PinBased } from '../../vmx/controls';
import type { HostInterrupts } from './host-interrupts';
import { HOST_APIC, type HostMemory } from './iommu-driver';

const WORDS = 8;
/** In xAPIC mode NDST has the id in bits 15:8. */
const XAPIC_SHIFT = 8;

/** The 1-setting of "process posted interrupts" is allowed. */
export function processorPosts(cpu: Cpu): boolean {
  const allowed1 = Number((readMsr(cpu, VmxMsr.IA32_VMX_PINBASED_CTLS) ?? 0n) >> 32n);
  return (allowed1 & PinBased.PROCESS_POSTED_INTERRUPTS) !== 0;
}

export class PostedInterrupts {
  /** Physical address. */
  readonly descriptor: number;

  /** @param deliver gives a vector of the guest to its interrupt controller. */
  constructor(
    private readonly host: HostMemory,
    interrupts: HostInterrupts,
    private readonly deliver: (vector: number) => void,
  ) {
    const { memory, frames } = host;
    this.descriptor = frames.takeZeroed(memory);
    memory.write32(this.descriptor + Pid.CONTROL, interrupts.allocate(() => this.drain()) << Pid.NV_SHIFT);
    memory.write32(this.descriptor + Pid.NDST, HOST_APIC << XAPIC_SHIFT);
  }

  /** Takes what was posted. The outstanding notification goes first: what comes later is announced again. */
  drain(): void {
    const { memory } = this.host;
    const { descriptor } = this;
    memory.write32(descriptor + Pid.CONTROL, (memory.read32(descriptor + Pid.CONTROL) & ~Pid.ON) >>> 0);
    for (let word = 0; word < WORDS; word++) {
      const at = descriptor + Pid.PIR + 4 * word;
      const requests = memory.read32(at);
      if (requests === 0) continue;
      memory.write32(at, 0);
      for (let bit = 0; bit < 32; bit++) if ((requests >>> bit) & 1) this.deliver(word * 32 + bit);
    }
  }
}
