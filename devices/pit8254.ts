/** 82C54 programmable interval timer (ports 40h-43h) and port 61h, which holds GATE and OUT of counter 2. */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine, PortBus, Scheduler, Timer } from './bus';
import { BytePorts } from './byte-ports';
import { Frequency } from './frequency';
import { ACCESS, PitCounter, type PitCounterState } from './pit-counter';

export const PIT_HERTZ = 1_193_182;
const PIT_CLOCK = new Frequency(PIT_HERTZ);
/** Counter 1 asked for a DRAM refresh every 18 cycles (15.09 us); port 61h bit 4 toggles with it. */
const REFRESH_CYCLES = 18;
const READ_BACK = 3;
const PORT_61 = { gate2: 0x01, speaker: 0x02, writable: 0x0f, refresh: 0x10, out2: 0x20 } as const;

export interface PitState {
  counters: PitCounterState[];
  port61: number;
  edgeAt: number | null;
  edgeIsStrobe: boolean;
}

export class Pit8254 extends BytePorts implements Stateful<PitState> {
  private readonly counters = [new PitCounter(true), new PitCounter(true), new PitCounter(false)];
  private port61 = 0;
  private readonly timer: Timer;
  /** The next cycle at which OUT of counter 0 changes, and whether a strobe ends there. */
  private edgeAt: number | null = null;
  private edgeIsStrobe = false;

  /** @param irq0 OUT of counter 0. */
  constructor(
    private readonly scheduler: Scheduler,
    private readonly irq0: InterruptLine,
  ) {
    super();
    this.timer = scheduler.timer(() => this.followOutput(), 'PIT');
  }

  attach(ports: PortBus): void {
    ports.register(0x40, 4, this);
    ports.register(0x61, 1, this);
  }

  /** The tone the speaker gives out, in hertz; 0 when silent. */
  get speakerHertz(): number {
    const { mode, loaded, period } = this.counters[2].state;
    return (this.port61 & 3) === 3 && mode === 3 && loaded ? PIT_HERTZ / period : 0;
  }

  private get cycle(): number {
    return PIT_CLOCK.cycles(this.scheduler.clock.now());
  }

  protected readByte(port: number): number {
    if (port === 0x61) return this.readPort61();
    return port < 0x43 ? this.counters[port & 3].read(this.cycle) : 0xff;
  }

  protected writeByte(port: number, value: number): void {
    const cycle = this.cycle;
    if (port === 0x61) {
      this.port61 = value & PORT_61.writable;
      this.counters[2].setGate((value & PORT_61.gate2) !== 0, cycle);
      return;
    }
    this.followOutput();
    if (port === 0x43) this.writeControl(value, cycle);
    else this.counters[port & 3].write(value, cycle);
    this.followOutput();
  }

  private writeControl(value: number, cycle: number): void {
    const select = value >>> 6;
    if (select === READ_BACK) {
      this.counters.forEach((counter, i) => {
        if ((value & (2 << i)) === 0) return;
        // The command bits are active low.
        if ((value & 0x20) === 0) counter.latchCount(cycle);
        if ((value & 0x10) === 0) counter.latchStatus(cycle);
      });
      return;
    }
    const access = (value >>> 4) & 3;
    if (access === ACCESS.latch) this.counters[select].latchCount(cycle);
    else this.counters[select].control(access, (value >>> 1) & 7, (value & 1) !== 0, cycle);
  }

  private readPort61(): number {
    const cycle = this.cycle;
    const refresh = Math.floor(cycle / REFRESH_CYCLES) & 1 ? PORT_61.refresh : 0;
    return this.port61 | refresh | (this.counters[2].out(cycle) ? PORT_61.out2 : 0);
  }

  /**
   * Brings IRQ0 to the level of OUT and asks to be woken at the next edge.
   * DEVIATION: the low strobe of modes 2, 4 and 5 has no length; line down and up again is one event at its end.
   */
  private followOutput(): void {
    const cycle = this.cycle;
    const counter = this.counters[0];
    if (this.edgeIsStrobe && this.edgeAt !== null && cycle >= this.edgeAt) this.irq0.set(false);
    const { mode } = counter.state;
    this.irq0.set(counter.out(cycle) || mode === 2 || mode > 3);
    const edge = counter.nextEdge(cycle);
    this.edgeAt = edge;
    this.edgeIsStrobe = edge !== null && counter.endsStrobe(edge);
    const deadline = edge === null ? Infinity : PIT_CLOCK.time(edge);
    if (deadline !== this.timer.deadline) this.timer.arm(deadline);
  }

  saveState(): PitState {
    const { port61, edgeAt, edgeIsStrobe } = this;
    return { counters: this.counters.map((c) => ({ ...c.state })), port61, edgeAt, edgeIsStrobe };
  }

  restoreState(state: PitState): void {
    this.counters.forEach((counter, i) => (counter.state = { ...state.counters[i] }));
    this.port61 = state.port61;
    this.edgeAt = state.edgeAt;
    this.edgeIsStrobe = state.edgeIsStrobe;
    this.timer.arm(this.edgeAt === null ? Infinity : PIT_CLOCK.time(this.edgeAt));
    // The level of the line belongs to the snapshot of whoever listens.
  }
}
