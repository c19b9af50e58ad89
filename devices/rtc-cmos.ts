/** MC146818 real-time clock with 128 bytes of battery-backed RAM, as in a PC: ports 70h (index) and 71h (data), IRQ8. */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine, PortBus, Scheduler, Timer } from './bus';
import { BytePorts } from './byte-ports';
import { Frequency } from './frequency';
import { advanceCalendar, RTC_REGISTER, secondsToAlarm, writeCalendar, type RtcFormat } from './rtc-calendar';

const SECOND = 1_000_000_000;
const CRYSTAL = new Frequency(32_768);
const A = { UIP: 0x80, dividerReset: 0x60, RS: 0x0f } as const;
const B = { SET: 0x80, PIE: 0x40, AIE: 0x20, UIE: 0x10, DM: 0x04, hours24: 0x02 } as const;
const C = { IRQF: 0x80, PF: 0x40, AF: 0x20, UF: 0x10 } as const;
const D_VRT = 0x80;
/** Update Cycle: UIP comes 244 us before an update, which takes 1984 us with a 32.768 kHz crystal. */
const UIP_LEAD = 244_000 + 1_984_000;
/** "The first update cycle begins one-half second after" the divider is released. */
const FIRST_UPDATE = SECOND / 2;

export interface RtcOptions {
  readonly scheduler: Scheduler;
  readonly interrupt: InterruptLine;
  /** UTC at virtual time 0, in seconds since 1970. */
  readonly startEpochSeconds: number;
  /** RAM below 4 GiB and from 4 GiB on, in bytes, for the size fields that firmware leaves in CMOS. */
  readonly lowRam: number;
  readonly highRam: number;
  /** Further CMOS bytes, by address (for instance the boot order a firmware looks for). */
  readonly nvram?: Readonly<Record<number, number>>;
}

export interface RtcState {
  ram: number[];
  index: number;
  flags: number;
  secondStart: number;
  dividerStart: number;
  checkedAt: number;
}

export class RtcCmos extends BytePorts implements Stateful<RtcState> {
  private readonly ram = new Uint8Array(128);
  private index = 0;
  /** PF, AF and UF of register C. */
  private flags = 0;
  /** The second boundary at which the time bytes in `ram` became current. */
  private secondStart = 0;
  /** When the divider chain last left reset; periodic interrupts count from here. */
  private dividerStart = 0;
  /** Events up to here are in `flags`. */
  private checkedAt = 0;
  private readonly timer: Timer;

  constructor(private readonly options: RtcOptions) {
    super();
    this.ram[RTC_REGISTER.A] = 0x26; // 32.768 kHz, 1024 Hz
    this.ram[RTC_REGISTER.B] = B.hours24;
    const start = Math.floor(options.startEpochSeconds);
    writeCalendar(this.ram, this.format, start, new Date(start * 1000).getUTCDay() + 1);
    writeMemorySizes(this.ram, options.lowRam, options.highRam);
    for (const [address, value] of Object.entries(options.nvram ?? {})) this.ram[Number(address) & 0x7f] = value;
    writeChecksum(this.ram);
    this.timer = options.scheduler.timer(() => this.settle(), 'RTC');
  }

  attach(ports: PortBus): void {
    ports.register(0x70, 2, this);
  }

  private get format(): RtcFormat {
    const b = this.ram[RTC_REGISTER.B];
    return { binary: (b & B.DM) !== 0, hours24: (b & B.hours24) !== 0 };
  }

  private get dividerRuns(): boolean {
    return (this.ram[RTC_REGISTER.A] & A.dividerReset) !== A.dividerReset;
  }

  private get updating(): boolean {
    return this.dividerRuns && (this.ram[RTC_REGISTER.B] & B.SET) === 0;
  }

  /** Cycles of the crystal between periodic interrupts, 0 for none. Rates 1 and 2 repeat 8 and 9. */
  private get periodicCycles(): number {
    const rate = this.ram[RTC_REGISTER.A] & A.RS;
    if (rate === 0 || !this.dividerRuns) return 0;
    return 1 << ((rate < 3 ? rate + 7 : rate) - 1);
  }

  private periods(ns: number, period: number): number {
    return Math.floor(CRYSTAL.cycles(ns - this.dividerStart) / period);
  }

  // ---- time ----

  /** Brings the registers to the present. */
  private sync(now: number): void {
    const period = this.periodicCycles;
    if (period !== 0 && this.periods(now, period) !== this.periods(this.checkedAt, period)) this.flags |= C.PF;
    this.checkedAt = now;
    const seconds = Math.floor((now - this.secondStart) / SECOND);
    if (seconds <= 0) return;
    this.secondStart += seconds * SECOND;
    if (!this.updating) return;
    if (secondsToAlarm(this.ram, this.format) <= seconds) this.flags |= C.AF;
    advanceCalendar(this.ram, this.format, seconds);
    this.flags |= C.UF;
  }

  private get interruptRequest(): boolean {
    // The flags of register C stand in the same bits as their enables in register B.
    return (this.flags & this.ram[RTC_REGISTER.B] & (C.PF | C.AF | C.UF)) !== 0;
  }

  private settle(): void {
    this.sync(this.options.scheduler.clock.now());
    this.drive();
  }

  /** Drives IRQ8, and asks to be woken at the next event that would raise it. */
  private drive(): void {
    const request = this.interruptRequest;
    this.options.interrupt.set(request);
    const deadline = request ? Infinity : this.nextRequest();
    if (deadline !== this.timer.deadline) this.timer.arm(deadline);
  }

  private nextRequest(): number {
    const b = this.ram[RTC_REGISTER.B];
    let next = Infinity;
    const period = this.periodicCycles;
    if (b & B.PIE && period !== 0) next = this.dividerStart + CRYSTAL.time((this.periods(this.checkedAt, period) + 1) * period);
    if (!this.updating) return next;
    if (b & B.UIE) next = Math.min(next, this.secondStart + SECOND);
    if (b & B.AIE) next = Math.min(next, this.secondStart + secondsToAlarm(this.ram, this.format) * SECOND);
    return next;
  }

  // ---- ports ----

  protected readByte(port: number): number {
    return port === 0x71 ? this.readRegister(this.index) : 0xff;
  }

  protected writeByte(port: number, value: number): void {
    // Bit 7 of port 70h masks NMI; there is no NMI source behind it.
    if (port === 0x70) this.index = value & 0x7f;
    else this.writeRegister(this.index, value);
  }

  private readRegister(index: number): number {
    const now = this.options.scheduler.clock.now();
    this.sync(now);
    switch (index) {
      case RTC_REGISTER.A: {
        const updateInProgress = this.updating && now >= this.secondStart + SECOND - UIP_LEAD;
        return this.ram[index] | (updateInProgress ? A.UIP : 0);
      }
      case RTC_REGISTER.C: {
        const value = this.flags | (this.interruptRequest ? C.IRQF : 0);
        this.flags = 0;
        this.settle();
        return value;
      }
      case RTC_REGISTER.D:
        return D_VRT;
      default:
        return this.ram[index];
    }
  }

  private writeRegister(index: number, value: number): void {
    const now = this.options.scheduler.clock.now();
    this.sync(now);
    switch (index) {
      case RTC_REGISTER.A: {
        const ranBefore = this.dividerRuns;
        this.ram[index] = value & ~A.UIP;
        if (!ranBefore && this.dividerRuns) {
          this.dividerStart = now;
          this.secondStart = now + FIRST_UPDATE - SECOND;
        }
        break;
      }
      case RTC_REGISTER.B:
        // "SET … a 1 … also clears UIE."
        this.ram[index] = value & B.SET ? value & ~B.UIE : value;
        break;
      case RTC_REGISTER.C:
      case RTC_REGISTER.D:
        return; // read-only
      default:
        this.ram[index] = value;
    }
    this.settle();
  }

  saveState(): RtcState {
    const { index, flags, secondStart, dividerStart, checkedAt } = this;
    return { ram: [...this.ram], index, flags, secondStart, dividerStart, checkedAt };
  }

  restoreState(state: RtcState): void {
    this.ram.set(state.ram);
    this.index = state.index;
    this.flags = state.flags;
    this.secondStart = state.secondStart;
    this.dividerStart = state.dividerStart;
    this.checkedAt = state.checkedAt;
    this.drive();
  }
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** The size fields of a PC's CMOS map, as firmware leaves them after it has sized memory. */
function writeMemorySizes(ram: Uint8Array, lowRam: number, highRam: number): void {
  const word = (address: number, value: number): void => {
    ram[address] = value & 0xff;
    ram[address + 1] = (value >>> 8) & 0xff;
  };
  const capped = (value: number): number => Math.max(0, Math.min(0xffff, Math.floor(value)));
  ram[0x14] = 0x06; // equipment: FPU, PS/2 pointing device port
  word(0x15, 640); // base memory, KiB
  word(0x17, capped((lowRam - MIB) / KIB)); // extended memory, KiB
  word(0x30, capped((lowRam - MIB) / KIB));
  word(0x34, capped((lowRam - 16 * MIB) / (64 * KIB))); // above 16 MiB, 64 KiB units
  const high = Math.floor(highRam / (64 * KIB));
  ram[0x5b] = high & 0xff; // above 4 GiB, 64 KiB units, 24 bits
  ram[0x5c] = (high >>> 8) & 0xff;
  ram[0x5d] = (high >>> 16) & 0xff;
}

/** Sum of bytes 10h-2Dh, most significant byte first, at 2Eh. */
function writeChecksum(ram: Uint8Array): void {
  let sum = 0;
  for (let address = 0x10; address <= 0x2d; address++) sum += ram[address];
  ram[0x2e] = (sum >>> 8) & 0xff;
  ram[0x2f] = sum & 0xff;
}
