/** The guest virtual APIC log: interrupts for guests that do not run. AMD IOMMU specification, "Guest Virtual APIC Log". */
import { GA_ENTRY_BYTES, encodeGaEntry } from './spec/events';
import { Control, Register, Status } from './spec/registers';
import type { RegisterFile } from './register-file';
import type { TableMemory } from '../table-memory';

export class GuestApicLog {
  constructor(
    private readonly memory: TableMemory,
    private readonly registers: RegisterFile,
  ) {}

  get enabled(): boolean {
    return this.registers.control(Control.IommuEn) && this.registers.control(Control.GALogEn);
  }

  /** IommuEn or GALogEn changed. */
  control(enabledBefore: boolean): void {
    const enabled = this.enabled;
    if (!enabled) this.registers.lower(Status.GALogRun);
    else if (!enabledBefore && !this.registers.status(Status.GALOverflow)) this.registers.raise(Status.GALogRun);
  }

  append(device: number, tag: number): void {
    const { registers, memory } = this;
    const entries = registers.entries(Register.GA_LOG_BASE);
    if (!registers.status(Status.GALogRun) || entries === undefined) return;
    const bytes = entries * GA_ENTRY_BYTES;
    const tail = Number(registers.get(Register.GA_TAIL)) % bytes;
    const next = (tail + GA_ENTRY_BYTES) % bytes;
    if (next === Number(registers.get(Register.GA_HEAD)) % bytes) {
      registers.raise(Status.GALOverflow);
      registers.lower(Status.GALogRun);
      return;
    }
    const at = registers.base(Register.GA_LOG_BASE) + tail;
    if (memory.host(at) !== 0) memory.write64(at, encodeGaEntry(device, tag));
    registers.set(Register.GA_TAIL, BigInt(next));
    // Software finds the tail in memory too, without a read of the register.
    const shadow = Number(registers.get(Register.GA_LOG_TAIL_ADDRESS));
    if (shadow !== 0 && memory.host(shadow) !== 0) memory.write64(shadow, BigInt(next));
    registers.raise(Status.GALogInt);
  }
}
