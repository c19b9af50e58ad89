/** A clock that tests turn by hand, and wires that remember their edges. */
import { PortBus, Scheduler, type InterruptLine } from '../../devices/bus';

export class TestBench {
  private time = 0;
  readonly ports = new PortBus();
  readonly scheduler = new Scheduler({ now: () => this.time });

  get now(): number {
    return this.time;
  }

  /** Moves time on, stopping at every deadline on the way. */
  advanceTo(time: number): void {
    while (this.scheduler.next <= time) {
      this.time = Math.max(this.time, this.scheduler.next);
      this.scheduler.run(this.time);
    }
    this.time = time;
  }

  advance(nanoseconds: number): void {
    this.advanceTo(this.time + nanoseconds);
  }

  in(port: number): number {
    return this.ports.read(port, 1);
  }

  out(port: number, value: number): void {
    this.ports.write(port, 1, value);
  }
}

export class Wire implements InterruptLine {
  level = false;
  rises = 0;
  readonly riseTimes: number[] = [];

  constructor(private readonly bench?: TestBench) {}

  set(level: boolean): void {
    if (level && !this.level) {
      this.rises++;
      if (this.bench) this.riseTimes.push(this.bench.now);
    }
    this.level = level;
  }
}
