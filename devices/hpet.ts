/**
 * IA-PC HPET (High Precision Event Timers): a 100 MHz 64-bit main counter and three comparators at FED0_0000h.
 * Timer 0 can be periodic; there is no FSB interrupt delivery.
 */
import type { Stateful } from '../memory/stateful';
import type { MmioDevice, InterruptLine, Scheduler, Timer } from './bus';

export const HPET_BASE = 0xfed0_0000;
export const HPET_SIZE = 0x400;
/** Requester id under which an IOMMU knows it: F0:0F.0. Without FSB delivery it sends nothing. */
export const HPET_REQUESTER = 0xf078;
/** Nanoseconds, i.e. ticks of virtual time, a count. */
const PERIOD_NS = 10;
const PERIOD_FS = PERIOD_NS * 1_000_000;
const TIMERS = 3;

const GCAP = { rev: 0x01, numTimCap: (TIMERS - 1) << 8, countSizeCap: 1 << 13, legRtCap: 1 << 15, vendor: 0x8086 * 0x1_0000 } as const;
/** General Capabilities and ID; the ACPI HPET table repeats the low half. */
export const HPET_ID = GCAP.rev + GCAP.numTimCap + GCAP.countSizeCap + GCAP.legRtCap + GCAP.vendor;

const REGISTER = { capabilities: 0x000, configuration: 0x010, interruptStatus: 0x020, mainCounter: 0x0f0, timers: 0x100 } as const;
const TIMER_STRIDE = 0x20;
const GEN_CONF = { ENABLE: 1, LEG_RT: 2 } as const;
/** Timer N Configuration and Capability Register, low half. */
const TN = {
  level: 0x02,
  INT_ENB: 0x04,
  periodic: 0x08,
  PER_INT_CAP: 0x10,
  SIZE_CAP: 0x20,
  VAL_SET: 0x40,
  mode32: 0x100,
  routeShift: 9,
  route: 0x3e00,
} as const;
const TN_WRITABLE = TN.level | TN.INT_ENB | TN.mode32;

const MASK32 = 0xffff_ffffn;
const MASK64 = 0xffff_ffff_ffff_ffffn;
/** Waits beyond this many counts (a hundred days) are not armed. */
const LONGEST_WAIT = 1n << 50n;

interface Comparator {
  config: number;
  comparator: bigint;
  /** Last value written in periodic mode: what is added at each match. */
  period: bigint;
  /** Set for the high half of a comparator write whose low half used VAL_SET. */
  highHalfSetsValue: boolean;
  /** Level mode: the status bit. Edge mode: the line is still up from the last pulse. */
  asserted: boolean;
  timer: Timer;
}

export interface HpetState {
  configuration: number;
  counterBase: string;
  counterStart: number;
  timers: { config: number; comparator: string; period: string; highHalfSetsValue: boolean; asserted: boolean; matchAt: number | null }[];
  pit: boolean;
  rtc: boolean;
}

export interface HpetOptions {
  readonly scheduler: Scheduler;
  /** ISA IRQ0 and IRQ8. They pass the PIT and the RTC through, or carry timers 0 and 1 in the legacy replacement route. */
  readonly irq0: InterruptLine;
  readonly irq8: InterruptLine;
  /** I/O APIC inputs the timers may be routed to, by number (ICH9: 20 to 23). */
  readonly routes: ReadonlyMap<number, InterruptLine>;
}

export class Hpet implements MmioDevice, Stateful<HpetState> {
  /** Where the PIT's counter 0 and the RTC connect. */
  readonly pitInput: InterruptLine;
  readonly rtcInput: InterruptLine;
  private configuration = 0;
  /** Main counter = counterBase while halted, else plus the counts since counterStart. */
  private counterBase = 0n;
  private counterStart = 0;
  private pit = false;
  private rtc = false;
  private readonly routeCapability: number;
  private readonly timers: Comparator[];

  constructor(private readonly options: HpetOptions) {
    let routes = 0;
    for (const input of options.routes.keys()) routes |= 1 << input;
    this.routeCapability = routes >>> 0;
    this.timers = Array.from({ length: TIMERS }, (_, i) => ({
      config: 0,
      comparator: MASK64,
      period: 0n,
      highHalfSetsValue: false,
      asserted: false,
      timer: options.scheduler.timer((deadline) => this.match(i, deadline), `HPET ${i}`),
    }));
    const passThrough = (source: 'pit' | 'rtc'): InterruptLine => ({
      set: (level) => {
        this[source] = level;
        this.driveLegacy();
      },
    });
    this.pitInput = passThrough('pit');
    this.rtcInput = passThrough('rtc');
  }

  // ---- main counter ----

  private get running(): boolean {
    return (this.configuration & GEN_CONF.ENABLE) !== 0;
  }

  private counterAt(now: number): bigint {
    if (!this.running) return this.counterBase;
    return (this.counterBase + BigInt(Math.floor((now - this.counterStart) / PERIOD_NS))) & MASK64;
  }

  private get now(): number {
    return this.options.scheduler.clock.now();
  }

  private setCounter(value: bigint): void {
    this.counterBase = value;
    this.counterStart = this.now;
    for (const t of this.timers) this.arm(t);
  }

  // ---- comparators ----

  private mask(t: Comparator): bigint {
    return t.config & TN.mode32 ? MASK32 : MASK64;
  }

  /** Arms the scheduler for the next equality of counter and comparator. An equality that holds already has passed. */
  private arm(t: Comparator): void {
    const now = this.now;
    const wait = this.running ? (t.comparator - this.counterAt(now)) & this.mask(t) : 0n;
    const counts = wait === 0n ? this.mask(t) + 1n : wait;
    if (!this.running || counts > LONGEST_WAIT) {
      if (t.timer.deadline !== Infinity) t.timer.disarm();
      return;
    }
    const phase = (now - this.counterStart) % PERIOD_NS;
    t.timer.arm(now - phase + Number(counts) * PERIOD_NS);
  }

  private match(index: number, deadline: number): void {
    const t = this.timers[index];
    // Events that time has already left behind merge into this one.
    const late = this.counterAt(this.now) - this.counterAt(deadline);
    if (t.config & TN.periodic && t.period !== 0n) {
      const periods = late > 0n ? late / t.period + 1n : 1n;
      t.comparator = (t.comparator + t.period * periods) & this.mask(t);
    }
    if ((t.config & TN.level) === 0) {
      // An edge: down and up again. The line then stays up, as inputs must until they are acknowledged.
      t.asserted = false;
      this.drive();
    }
    // Only a level-triggered timer has a status bit to keep while its interrupt is disabled.
    t.asserted = (t.config & (TN.level | TN.INT_ENB)) !== 0;
    this.drive();
    this.arm(t);
  }

  // ---- interrupt routing ----

  private get legacyReplacement(): boolean {
    return (this.configuration & GEN_CONF.LEG_RT) !== 0;
  }

  private signals(t: Comparator): boolean {
    return t.asserted && this.running && (t.config & TN.INT_ENB) !== 0;
  }

  private driveLegacy(): void {
    const [timer0, timer1] = this.timers;
    this.options.irq0.set(this.legacyReplacement ? this.signals(timer0) : this.pit);
    this.options.irq8.set(this.legacyReplacement ? this.signals(timer1) : this.rtc);
  }

  private drive(): void {
    this.driveLegacy();
    let raised = 0;
    this.timers.forEach((t, i) => {
      if (this.signals(t) && !(this.legacyReplacement && i < 2)) raised |= 1 << ((t.config & TN.route) >>> TN.routeShift);
    });
    for (const [input, line] of this.options.routes) line.set((raised & (1 << input)) !== 0);
  }

  // ---- registers ----

  readMmio(offset: number, size: 1 | 2 | 4): number {
    const dword = this.readDword(offset & 0x3fc);
    const shift = (offset & 3) * 8;
    const value = dword >>> shift;
    return size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff;
  }

  /** Only dword (and, as two halves, qword) accesses that are naturally aligned are defined; narrower writes are dropped. */
  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void {
    if (size === 4 && (offset & 3) === 0) this.writeDword(offset & 0x3fc, value >>> 0);
  }

  private readDword(offset: number): number {
    const half = (value: bigint): number => Number(offset & 4 ? value >> 32n : value & MASK32);
    if (offset >= REGISTER.timers) return this.readTimer(offset - REGISTER.timers);
    switch (offset & ~4) {
      case REGISTER.capabilities:
        return offset & 4 ? PERIOD_FS : HPET_ID;
      case REGISTER.configuration:
        return offset & 4 ? 0 : this.configuration;
      case REGISTER.interruptStatus:
        return offset & 4 ? 0 : this.timers.reduce((bits, t, i) => bits | (t.asserted && t.config & TN.level ? 1 << i : 0), 0);
      case REGISTER.mainCounter:
        return half(this.counterAt(this.now));
      default:
        return 0;
    }
  }

  private writeDword(offset: number, value: number): void {
    // A match that is due but not yet fired came before this write.
    const { now } = this;
    this.timers.forEach((t, i) => {
      const { deadline } = t.timer;
      if (deadline <= now) this.match(i, deadline);
    });
    if (offset >= REGISTER.timers) return this.writeTimer(offset - REGISTER.timers, value);
    switch (offset) {
      case REGISTER.configuration:
        return this.writeConfiguration(value);
      case REGISTER.interruptStatus:
        this.timers.forEach((t, i) => {
          if (value & (1 << i) && t.config & TN.level) t.asserted = false;
        });
        return this.drive();
      case REGISTER.mainCounter:
      case REGISTER.mainCounter + 4:
        return this.setCounter(replaceHalf(this.counterAt(this.now), offset, value));
    }
  }

  private writeConfiguration(value: number): void {
    const counter = this.counterAt(this.now);
    const was = this.configuration;
    this.configuration = value & (GEN_CONF.ENABLE | GEN_CONF.LEG_RT);
    // Neither a halt nor another route may leave an old edge behind.
    if (was !== this.configuration) for (const t of this.timers) if ((t.config & TN.level) === 0) t.asserted = false;
    if ((was ^ this.configuration) & GEN_CONF.ENABLE) this.setCounter(counter);
    this.drive();
  }

  private readTimer(offset: number): number {
    const index = Math.floor(offset / TIMER_STRIDE);
    const t = this.timers[index];
    if (t === undefined) return 0;
    switch (offset % TIMER_STRIDE) {
      case 0x00:
        return t.config | TN.SIZE_CAP | (index === 0 ? TN.PER_INT_CAP : 0);
      case 0x04:
        return this.routeCapability;
      case 0x08:
        return Number(t.comparator & MASK32);
      case 0x0c:
        return t.config & TN.mode32 ? 0 : Number(t.comparator >> 32n);
      default:
        return 0;
    }
  }

  private writeTimer(offset: number, value: number): void {
    const index = Math.floor(offset / TIMER_STRIDE);
    const t = this.timers[index];
    if (t === undefined) return;
    switch (offset % TIMER_STRIDE) {
      case 0x00:
        return this.writeTimerConfiguration(index, value);
      case 0x08:
      case 0x0c:
        return this.writeComparator(t, offset, value);
    }
  }

  private writeTimerConfiguration(index: number, value: number): void {
    const t = this.timers[index];
    const writable = TN_WRITABLE | (index === 0 ? TN.periodic | TN.VAL_SET : 0);
    const route = (value & TN.route) >>> TN.routeShift;
    // An input that is not in the capability field does not stick: software reads back to find out.
    const routeBits = (this.routeCapability & (1 << route)) !== 0 ? value & TN.route : t.config & TN.route;
    const was = t.config;
    t.config = (value & writable) | routeBits;
    t.highHalfSetsValue = false;
    // The latch of one trigger mode means nothing in the other, and an old edge nothing on another route or once it is disabled.
    const edge = (t.config & TN.level) === 0;
    if ((was ^ t.config) & TN.level || (edge && ((was ^ t.config) & TN.route || (t.config & TN.INT_ENB) === 0))) t.asserted = false;
    if (t.config & TN.mode32) {
      t.comparator &= MASK32;
      t.period &= MASK32;
    }
    this.arm(t);
    this.drive();
  }

  private writeComparator(t: Comparator, offset: number, value: number): void {
    const high = (offset & 4) !== 0;
    if (high && t.config & TN.mode32) return;
    const setsValue = (t.config & TN.periodic) === 0 || (t.config & TN.VAL_SET) !== 0 || (high && t.highHalfSetsValue);
    t.highHalfSetsValue = !high && (t.config & TN.VAL_SET) !== 0;
    t.config &= ~TN.VAL_SET; // clears itself
    if (setsValue) t.comparator = replaceHalf(t.comparator, offset, value) & this.mask(t);
    if (t.config & TN.periodic) t.period = replaceHalf(t.period, offset, value) & this.mask(t);
    this.arm(t);
  }

  saveState(): HpetState {
    const { configuration, counterStart, pit, rtc } = this;
    const timers = this.timers.map(({ config, comparator, period, highHalfSetsValue, asserted, timer }) => {
      const matchAt = timer.deadline === Infinity ? null : timer.deadline;
      return { config, comparator: comparator.toString(), period: period.toString(), highHalfSetsValue, asserted, matchAt };
    });
    return { configuration, counterBase: this.counterBase.toString(), counterStart, pit, rtc, timers };
  }

  restoreState(state: HpetState): void {
    const { configuration, counterStart, pit, rtc } = state;
    Object.assign(this, { configuration, counterStart, pit, rtc });
    this.counterBase = BigInt(state.counterBase);
    state.timers.forEach(({ comparator, period, matchAt, ...rest }, i) => {
      Object.assign(this.timers[i], rest, { comparator: BigInt(comparator), period: BigInt(period) });
      this.timers[i].timer.arm(matchAt ?? Infinity);
    });
    this.drive();
  }
}

/** `value` with the half that `offset` (bit 2) names replaced. */
function replaceHalf(value: bigint, offset: number, half: number): bigint {
  return offset & 4 ? (value & MASK32) | (BigInt(half) << 32n) : (value & ~MASK32) | BigInt(half);
}
