/**
 * What a device model may see of the world: ports, memory-mapped ranges, an interrupt line, timers on virtual time.
 * The same models are silicon of the physical machine and emulated devices of a VM.
 */
import type { DeviceObserver } from '../memory/physical-memory';
import type { Stateful } from '../memory/stateful';

export type AccessSize = 1 | 2 | 4;

/** A device on I/O ports. `port` is the absolute port number. Values are unsigned; reads of nothing return all ones. */
export interface PortDevice {
  readPort(port: number, size: AccessSize): number;
  writePort(port: number, size: AccessSize, value: number): void;
}

export type { MmioDevice } from '../memory/physical-memory';

/** A wire. Level-triggered semantics are the receiver's; `set` with an unchanged level is a no-op there. */
export interface InterruptLine {
  set(level: boolean): void;
}

/** Two devices want the same port. The message says which. */
export class PortConflict extends Error {
  override readonly name = 'PortConflict';
}

/** 64 Ki ports. Accesses wider than a device's registered range are split into bytes. */
export class PortBus {
  private readonly map = new Array<PortDevice | undefined>(65536);
  onDevice: DeviceObserver | undefined;

  register(first: number, count: number, device: PortDevice): void {
    for (let p = first; p < first + count; p++) this.map[p] = device;
  }

  unregister(first: number, count: number): void {
    for (let p = first; p < first + count; p++) this.map[p] = undefined;
  }

  /** Who answers at `port`. */
  at(port: number): PortDevice | undefined {
    return this.map[port];
  }

  read(port: number, size: AccessSize): number {
    const value = this.input(port, size);
    this.onDevice?.(port, size, value, false);
    return value;
  }

  write(port: number, size: AccessSize, value: number): void {
    this.onDevice?.(port, size, value >>> 0, true);
    this.output(port, size, value);
  }

  private input(port: number, size: AccessSize): number {
    const device = this.map[port];
    if (device !== undefined && (size === 1 || this.map[(port + size - 1) & 0xffff] === device)) return device.readPort(port, size) >>> 0;
    if (size === 1) return 0xff;
    const half = (size >> 1) as AccessSize;
    return (this.input(port, half) + this.input((port + half) & 0xffff, half) * 2 ** (half * 8)) >>> 0;
  }

  private output(port: number, size: AccessSize, value: number): void {
    const device = this.map[port];
    if (device !== undefined && (size === 1 || this.map[(port + size - 1) & 0xffff] === device)) return device.writePort(port, size, value >>> 0);
    if (size === 1) return;
    const half = (size >> 1) as AccessSize;
    this.output(port, half, size === 4 ? value & 0xffff : value & 0xff);
    this.output((port + half) & 0xffff, half, value >>> (half * 8));
  }
}

/** Virtual time in ticks: one retired instruction, one nanosecond. A safe integer. */
export interface Clock {
  now(): number;
}

/** One deadline of one device. */
export class Timer {
  /** Tick at which it fires, Infinity when disarmed. */
  deadline = Infinity;
  constructor(
    private readonly owner: Scheduler,
    readonly name: string,
    /** Called with the deadline that was reached (time is then at or after it). The timer is disarmed before the call. */
    readonly fire: (deadline: number) => void,
  ) {}
  arm(deadline: number): void {
    this.deadline = deadline;
    this.owner.changed();
  }
  disarm(): void {
    this.deadline = Infinity;
    this.owner.changed();
  }
}

/** Name and deadline of each timer in order of creation; null: disarmed. */
export type SchedulerState = (readonly [name: string, deadline: number | null])[];

/** The timers of one machine (or one VM). Fires in order of deadline, then of creation. */
export class Scheduler implements Stateful<SchedulerState> {
  private readonly timers: Timer[] = [];
  /** Earliest deadline, Infinity when none. */
  next = Infinity;
  /** Called when `next` may have moved, so that a running processor can shorten its budget. */
  onChange: () => void = () => {};

  constructor(readonly clock: Clock) {}

  /** @param name whose it is, for snapshots and people. */
  timer(fire: (deadline: number) => void, name = `timer ${this.timers.length}`): Timer {
    const t = new Timer(this, name, fire);
    this.timers.push(t);
    return t;
  }

  changed(): void {
    let next = Infinity;
    for (const t of this.timers) if (t.deadline < next) next = t.deadline;
    if (next === this.next) return;
    this.next = next;
    this.onChange();
  }

  /** Fires everything that is due at `now`. */
  run(now: number): void {
    while (this.next <= now) {
      const due = this.timers.find((t) => t.deadline === this.next)!;
      const deadline = due.deadline;
      due.disarm();
      due.fire(deadline);
    }
  }

  saveState(): SchedulerState {
    return this.timers.map((t) => [t.name, t.deadline === Infinity ? null : t.deadline] as const);
  }

  /** Restore the timers' owners before: what they arm on the way does not count. Throws Error when the machine has other timers. */
  restoreState(state: SchedulerState): void {
    const [mine, saved] = [this.timers.map((t) => t.name).join(', '), state.map(([name]) => name).join(', ')];
    if (mine !== saved) throw new Error(`the snapshot has the timers ${saved}; this machine has ${mine}: build it with the same devices`);
    state.forEach(([, deadline], i) => (this.timers[i].deadline = deadline ?? Infinity));
    this.changed();
  }
}
