/**
 * SDM "Virtualizing Memory-Mapped APIC Accesses": which accesses to the APIC-access page go to the virtual-APIC page, and the VM exits
 * of the others.
 *
 * DEVIATION: iterations of a repeated string instruction that the processor makes in one go are one operation: a write is emulated after
 * the last of them, and an iteration that then exits leaves the emulation out.
 */
import type { InterceptedPage } from '../../cpu/interfaces';
import { Access } from '../../cpu/mmu';
import { Primary, Secondary } from '../controls';
import { ExitReason } from '../exit/reason';
import { SavedRf } from '../exit/save';
import { OFFSET } from '../vmcs/layout';
import type { Vmx } from '../vmx';
import { READABLE, WITHOUT_REGISTERS, WITHOUT_REGISTERS_DELIVERING, WRITABLE } from './registers';

/** "Exit Qualification for APIC-Access VM Exits": bits 15:12. Bits 11:0 are the page offset of a linear access. */
export enum ApicAccessType {
  DataRead = 0,
  DataWrite = 1,
  InstructionFetch = 2,
  /** Read or write. */
  EventDelivery = 3,
  GuestPhysicalEventDelivery = 10,
  GuestPhysical = 15,
}
const TYPE_SHIFT = 12;

export class ApicAccessPage implements InterceptedPage {
  constructor(private readonly vmx: Vmx) {}

  permits(offset: number, bytes: number, access: number): boolean {
    if (this.isVirtualized(offset, bytes, access)) return true;
    this.exit(this.typeOf(access), offset);
    return false;
  }

  read(offset: number, bytes: number): number {
    return this.vmx.apic.read(offset, bytes);
  }

  write(offset: number, bytes: number, value: number): void {
    this.vmx.apic.write(offset, value, bytes);
    this.vmx.apic.emulateLater({ offset, bytes });
    this.vmx.cpu.attention = true;
  }

  /** "Guest-Physical Accesses to the APIC-Access Page" are never virtualized. */
  refuseTable(): void {
    this.exit(this.inDelivery ? ApicAccessType.GuestPhysicalEventDelivery : ApicAccessType.GuestPhysical, 0);
  }

  private isVirtualized(offset: number, bytes: number, access: number): boolean {
    const { primary, secondary, apic } = this.vmx;
    if ((primary & Primary.USE_TPR_SHADOW) === 0 || (access & Access.Fetch) !== 0) return false;
    // "More than 32 bits", "not entirely contained within the low 4 bytes of a naturally aligned 16-byte region".
    if (bytes > 4 || (offset & 15) + bytes > 4) return false;
    const read = (access & Access.Read) !== 0,
      write = (access & Access.Write) !== 0;
    const earlier = apic.pendingWrite;
    if (earlier !== undefined && (read || earlier.offset !== offset || earlier.bytes !== bytes)) return false;
    if ((secondary & Secondary.APIC_REGISTER_VIRTUALIZATION) === 0) {
      return ((secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) === 0 ? WITHOUT_REGISTERS : WITHOUT_REGISTERS_DELIVERING).has(offset);
    }
    const register = offset & ~15;
    return (!read || READABLE.has(register)) && (!write || WRITABLE.has(register));
  }

  /** Of a read-modify-write, bit 12 is that of a write, as bit 1 of a page fault's error code would be. */
  private typeOf(access: number): ApicAccessType {
    if (this.inDelivery) return ApicAccessType.EventDelivery;
    if ((access & Access.Fetch) !== 0) return ApicAccessType.InstructionFetch;
    return (access & Access.Write) !== 0 ? ApicAccessType.DataWrite : ApicAccessType.DataRead;
  }

  private get inDelivery(): boolean {
    return this.vmx.cpu.delivering !== undefined || this.vmx.injecting !== undefined;
  }

  private exit(type: ApicAccessType, offset: number): void {
    const { vmx } = this;
    const { cpu } = vmx;
    cpu.materialize();
    const byInstruction = !this.inDelivery;
    // The manual promises the length only for the delivery of software events; processors give it for data accesses, and hypervisors use it.
    if (type === ApicAccessType.DataRead || type === ApicAccessType.DataWrite) vmx.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, cpu.insn.length);
    vmx.exit(ExitReason.ApicAccess, offset | (type << TYPE_SHIFT), 0, 0, 0, byInstruction ? SavedRf.Set : SavedRf.AsIs, cpu.delivering);
    cpu.fault = undefined;
  }
}
