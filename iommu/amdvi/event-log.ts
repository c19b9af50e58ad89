/** The event log, a ring in memory: AMD IOMMU specification, "Event Logging". */
import { EVENT_BYTES, HARDWARE_EVENTS, encodeEvent, type IommuEvent } from './spec/events';
import { Control, HardwareEvent, Register, Status } from './spec/registers';
import type { RegisterFile } from './register-file';
import type { TableMemory } from '../table-memory';

export class EventLog {
  constructor(
    private readonly memory: TableMemory,
    private readonly registers: RegisterFile,
  ) {}

  /**
   * IommuEn, EventLogEn or the status changed. "To resume logging, clear EventOverflow (W1C), and write a 1 to EventLogEn": hardware wants
   * to see it go from 0 to 1.
   */
  control(enabledBefore: boolean): void {
    const enabled = this.enabled;
    if (!enabled) this.registers.lower(Status.EventLogRun);
    else if (!enabledBefore && !this.registers.status(Status.EventOverflow)) this.registers.raise(Status.EventLogRun);
  }

  get enabled(): boolean {
    return this.registers.control(Control.IommuEn) && this.registers.control(Control.EventLogEn);
  }

  append(event: IommuEvent): void {
    const [low, high] = encodeEvent(event);
    if (HARDWARE_EVENTS.includes(event.name)) this.keepHardwareEvent(low, high);
    const { registers, memory } = this;
    const entries = registers.entries(Register.EVENT_LOG_BASE);
    if (!registers.status(Status.EventLogRun) || entries === undefined) return;
    const bytes = entries * EVENT_BYTES;
    const tail = Number(registers.get(Register.EVENT_TAIL)) % bytes;
    const next = (tail + EVENT_BYTES) % bytes;
    if (next === Number(registers.get(Register.EVENT_HEAD)) % bytes) {
      registers.raise(Status.EventOverflow);
      registers.lower(Status.EventLogRun);
      return;
    }
    const at = registers.base(Register.EVENT_LOG_BASE) + tail;
    // A log outside RAM: the writes are lost like any to an address that nothing answers.
    if (memory.host(at) !== 0) {
      memory.write64(at, low);
      memory.write64(at + 8, high);
    }
    registers.set(Register.EVENT_TAIL, BigInt(next));
    registers.raise(Status.EventLogInt);
  }

  /** The registers hold the first such event until software clears HEV. */
  private keepHardwareEvent(low: bigint, high: bigint): void {
    const { registers } = this;
    const status = registers.get(Register.HARDWARE_EVENT_STATUS);
    if ((status & BigInt(HardwareEvent.HEV)) !== 0n) {
      registers.set(Register.HARDWARE_EVENT_STATUS, status | BigInt(HardwareEvent.HEO));
      return;
    }
    registers.set(Register.HARDWARE_EVENT_UPPER, low);
    registers.set(Register.HARDWARE_EVENT_LOWER, high);
    registers.set(Register.HARDWARE_EVENT_STATUS, BigInt(HardwareEvent.HEV));
  }
}
