/**
 * One counter of an 82C54, derived from elapsed clock cycles instead of counted down.
 *
 * Times are in cycles of the counter's CLK. A count that is written is loaded into the counting element (CE) on the next CLK pulse or,
 * in the periodic modes, at the end of the running period. `start` is the cycle at which CE held the full count.
 */
export const ACCESS = { latch: 0, low: 1, high: 2, lowThenHigh: 3 } as const;

export interface PitCounterState {
  mode: number;
  access: number;
  bcd: boolean;
  gate: boolean;
  /** CR, the 16 bits last written. */
  countRegister: number;
  /** Low byte of a two-byte write whose high byte is still to come. */
  lowByte: number | null;
  /** A whole count was written since the control word. */
  armed: boolean;
  /** Cycle at which CR goes to CE. */
  loadAt: number | null;
  /** Mode 3: that load begins the low half. */
  loadIntoLowHalf: boolean;
  loaded: boolean;
  period: number;
  start: number;
  /** Elapsed cycles at which GATE stopped the count. */
  frozen: number | null;
  /** What CE shows while nothing is loaded. */
  idleCount: number;
  nullCount: boolean;
  readHighNext: boolean;
  latchedCount: number | null;
  latchedStatus: number | null;
}

const fromBcd = (raw: number): number => (raw >>> 12) * 1000 + ((raw >>> 8) & 15) * 100 + ((raw >>> 4) & 15) * 10 + (raw & 15);
const toBcd = (n: number): number => (Math.floor(n / 1000) << 12) | (Math.floor((n % 1000) / 100) << 8) | (Math.floor((n % 100) / 10) << 4) | (n % 10);

export class PitCounter {
  state: PitCounterState;

  constructor(gate: boolean) {
    this.state = {
      mode: 0,
      access: ACCESS.lowThenHigh,
      bcd: false,
      gate,
      countRegister: 0,
      lowByte: null,
      armed: false,
      loadAt: null,
      loadIntoLowHalf: false,
      loaded: false,
      period: 0x1_0000,
      start: 0,
      frozen: null,
      idleCount: 0,
      nullCount: true,
      readHighNext: false,
      latchedCount: null,
      latchedStatus: null,
    };
  }

  private get modulus(): number {
    return this.state.bcd ? 10_000 : 0x1_0000;
  }

  private get gateStopsCounting(): boolean {
    const { mode } = this.state;
    return mode === 0 || mode === 2 || mode === 3 || mode === 4;
  }

  private get gateTriggers(): boolean {
    const { mode } = this.state;
    return mode === 1 || mode === 2 || mode === 3 || mode === 5;
  }

  /** Carries out a load that has become due. */
  sync(cycle: number): void {
    const s = this.state;
    if (s.loadAt === null || cycle < s.loadAt) return;
    s.period = (s.bcd ? fromBcd(s.countRegister) : s.countRegister) || this.modulus;
    s.start = s.loadIntoLowHalf ? s.loadAt - Math.ceil(s.period / 2) : s.loadAt;
    s.loadAt = null;
    s.loaded = true;
    s.nullCount = false;
    s.frozen = this.gateStopsCounting && !s.gate ? 0 : null;
  }

  private elapsed(cycle: number): number {
    return this.state.frozen ?? cycle - this.state.start;
  }

  /** Level of OUT. */
  out(cycle: number): boolean {
    this.sync(cycle);
    const { mode, loaded, period, frozen } = this.state;
    if (!loaded) return mode !== 0;
    const e = this.elapsed(cycle);
    switch (mode) {
      case 0:
      case 1:
        return e >= period;
      case 2: // low while CE is 1; GATE low forces OUT high
        return frozen !== null || e % period !== period - 1;
      case 3:
        return frozen !== null || e % period < Math.ceil(period / 2);
      default: // 4, 5: a strobe of one CLK at terminal count
        return e !== period;
    }
  }

  /** CE as a program reads it. */
  count(cycle: number): number {
    this.sync(cycle);
    const { mode, loaded, period, bcd, idleCount } = this.state;
    // A count read before the CLK pulse that loads it may be the old one or the new one: kernels wait a microsecond, which a read need not take.
    if (!loaded) return this.state.loadAt !== null ? this.state.countRegister : idleCount;
    const e = this.elapsed(cycle);
    let value: number;
    if (mode === 2) {
      value = period - (e % period);
    } else if (mode === 3) {
      // Counts by two. An odd count is loaded minus one, and its high half lasts one CLK longer.
      const high = Math.ceil(period / 2);
      const inHalf = e % period < high ? e % period : (e % period) - high;
      value = period - (period & 1) - 2 * inHalf;
    } else {
      value = period - e;
    }
    const wrapped = ((value % this.modulus) + this.modulus) % this.modulus;
    return bcd ? toBcd(wrapped) : wrapped;
  }

  /**
   * The next cycle after `cycle` at which OUT rises, or falls and stays down for longer than a CLK; null when never.
   * The one-CLK low strobes of modes 2, 4 and 5 are given by their rising edge alone.
   */
  nextEdge(cycle: number): number | null {
    this.sync(cycle);
    const { mode, loaded, period, start, frozen, loadAt } = this.state;
    let edge: number | null = null;
    if (loaded && frozen === null) {
      const e = cycle - start;
      const inPeriod = e % period;
      if (mode === 0 || mode === 1) edge = e < period ? start + period : null;
      else if (mode === 2) edge = period > 1 ? cycle - inPeriod + period : null;
      else if (mode === 3) edge = period > 1 ? cycle - inPeriod + (inPeriod < Math.ceil(period / 2) ? Math.ceil(period / 2) : period) : null;
      else edge = e <= period ? start + period + 1 : null;
    }
    return loadAt !== null && (edge === null || loadAt < edge) ? loadAt : edge;
  }

  /** True when the edge that {@link nextEdge} announced for `edge` ends a strobe. Ask before time reaches it. */
  endsStrobe(edge: number): boolean {
    const { mode, loaded, period, start, frozen } = this.state;
    if (!loaded || frozen !== null) return false;
    if (mode === 2) return period > 1 && (edge - start) % period === 0;
    return (mode === 4 || mode === 5) && edge - start === period + 1;
  }

  setGate(gate: boolean, cycle: number): void {
    this.sync(cycle);
    const s = this.state;
    if (gate === s.gate) return;
    s.gate = gate;
    if (!gate) {
      if (!this.gateStopsCounting || !s.loaded || s.frozen !== null) return;
      s.frozen = cycle - s.start;
      // In the periodic modes a new count now waits for the trigger.
      if (s.mode === 2 || s.mode === 3) s.loadAt = null;
    } else if (this.gateTriggers) {
      if (!s.armed) return;
      s.loadAt = cycle + 1;
      s.loadIntoLowHalf = false;
    } else if (s.frozen !== null) {
      s.start = cycle - s.frozen;
      s.frozen = null;
    }
  }

  control(access: number, mode: number, bcd: boolean, cycle: number): void {
    const s = this.state;
    s.idleCount = this.count(cycle);
    s.access = access;
    s.mode = mode > 5 ? mode - 4 : mode;
    s.bcd = bcd;
    s.lowByte = null;
    s.armed = false;
    s.loadAt = null;
    s.loadIntoLowHalf = false;
    s.loaded = false;
    s.frozen = null;
    s.nullCount = true;
    s.readHighNext = false;
    s.latchedCount = null;
    s.latchedStatus = null;
  }

  write(value: number, cycle: number): void {
    this.sync(cycle);
    const s = this.state;
    if (s.mode === 0 && s.loaded) {
      // Mode 0: the first byte stops the count and OUT goes low at once.
      s.idleCount = this.count(cycle);
      s.loaded = false;
      s.loadAt = null;
    }
    if (s.access === ACCESS.lowThenHigh && s.lowByte === null) {
      s.lowByte = value;
      // A count of which the first byte is rewritten is not loaded half old, half new.
      if (s.mode === 0) s.loadAt = null;
      return;
    }
    if (s.access === ACCESS.low) s.countRegister = value;
    else if (s.access === ACCESS.high) s.countRegister = value << 8;
    else s.countRegister = (value << 8) | s.lowByte!;
    s.lowByte = null;
    s.armed = true;
    s.nullCount = true;
    this.scheduleLoad(cycle);
  }

  private scheduleLoad(cycle: number): void {
    const s = this.state;
    if (s.loadAt === cycle + 1) return;
    if (s.mode === 1 || s.mode === 5) return; // waits for the trigger
    if ((s.mode === 2 || s.mode === 3) && s.loaded) {
      if (s.frozen !== null) return; // waits for the trigger too
      const inPeriod = (cycle - s.start) % s.period;
      const high = Math.ceil(s.period / 2);
      const inHighHalf = s.mode === 3 && s.period > 1 && inPeriod < high;
      s.loadIntoLowHalf = inHighHalf;
      s.loadAt = cycle - inPeriod + (inHighHalf ? high : s.period);
      return;
    }
    s.loadAt = cycle + 1;
    s.loadIntoLowHalf = false;
  }

  latchCount(cycle: number): void {
    this.state.latchedCount ??= this.count(cycle);
  }

  latchStatus(cycle: number): void {
    const s = this.state;
    const out = this.out(cycle);
    s.latchedStatus ??= (out ? 0x80 : 0) | (s.nullCount ? 0x40 : 0) | (s.access << 4) | (s.mode << 1) | (s.bcd ? 1 : 0);
  }

  read(cycle: number): number {
    const s = this.state;
    if (s.latchedStatus !== null) {
      const status = s.latchedStatus;
      s.latchedStatus = null;
      return status;
    }
    const count = s.latchedCount ?? this.count(cycle);
    const high = s.access === ACCESS.high || (s.access === ACCESS.lowThenHigh && s.readHighNext);
    if (s.access === ACCESS.lowThenHigh) s.readHighNext = !s.readHighNext;
    // The latch is held until it is read whole.
    if (s.access !== ACCESS.lowThenHigh || high) s.latchedCount = null;
    return high ? count >>> 8 : count & 0xff;
  }
}
