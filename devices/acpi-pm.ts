/** ACPI fixed hardware as an ICH9 has it: PM1a event and control blocks, PM timer, GPE0 block. There is no SMI_CMD. */
import type { Stateful } from '../memory/stateful';
import type { InterruptLine, PortBus, Scheduler, Timer } from './bus';
import { BytePorts } from './byte-ports';
import { Frequency } from './frequency';

/** First port of the block, and the offsets in it, for the FADT. */
export const ACPI_PM_BASE = 0x600;
export const ACPI_PM_SIZE = 0x80;
export const PM1A_EVT_BLK = { offset: 0x00, length: 4 } as const;
export const PM1A_CNT_BLK = { offset: 0x04, length: 2 } as const;
export const PM_TMR_BLK = { offset: 0x08, length: 4 } as const;
export const GPE0_BLK = { offset: 0x20, length: 16 } as const;
/** SLP_TYP of the sleeping states, for the \_Sx packages of the DSDT. */
export const SLEEP_TYPE = { S0: 0, S5: 7 } as const;
export const PM_TIMER_HERTZ = 3_579_545;

const PM_CLOCK = new Frequency(PM_TIMER_HERTZ);
/** PM1 status and enable bits. */
export const PM1 = { TMR: 0x0001, BM: 0x0010, GBL: 0x0020, PWRBTN: 0x0100, SLPBTN: 0x0200, RTC: 0x0400, WAK: 0x8000 } as const;
const PM1_STATUS_IMPLEMENTED = PM1.TMR | PM1.BM | PM1.GBL | PM1.PWRBTN | PM1.SLPBTN | PM1.RTC | PM1.WAK;
const PM1_ENABLE_IMPLEMENTED = PM1.TMR | PM1.GBL | PM1.PWRBTN | PM1.SLPBTN | PM1.RTC;
const PM1_CNT = { SCI_EN: 0x0001, BM_RLD: 0x0002, SLP_TYP: 0x1c00, sleepTypeShift: 10, SLP_EN: 0x2000 } as const;
const GPE_HALF = GPE0_BLK.length / 2;

export interface AcpiPmOptions {
  readonly scheduler: Scheduler;
  /** SCI, level-triggered. */
  readonly sci: InterruptLine;
  /** The guest entered S5. */
  readonly powerOff: () => void;
  /** Width of the timer: 24 (default) or 32, as TMR_VAL_EXT says. */
  readonly timerBits?: 24 | 32;
  readonly base?: number;
}

export interface AcpiPmState {
  status: number;
  enable: number;
  control: number;
  gpeStatus: number[];
  gpeEnable: number[];
  checkedHalves: number;
}

export class AcpiPm extends BytePorts implements Stateful<AcpiPmState> {
  readonly base: number;
  private status = 0;
  private enable = 0;
  /** SCI_EN never clears: a platform without SMI_CMD is always in ACPI mode. */
  private control: number = PM1_CNT.SCI_EN;
  private gpeStatus = new Array<number>(GPE_HALF).fill(0);
  private gpeEnable = new Array<number>(GPE_HALF).fill(0);
  /** Half turns of the counter already accounted for in TMR_STS. */
  private checkedHalves = 0;
  private readonly modulus: number;
  private readonly overflow: Timer;

  constructor(private readonly options: AcpiPmOptions) {
    super();
    this.base = options.base ?? ACPI_PM_BASE;
    this.modulus = 2 ** (options.timerBits ?? 24);
    this.overflow = options.scheduler.timer(() => this.settle(), 'ACPI PM');
  }

  attach(ports: PortBus): void {
    ports.register(this.base, ACPI_PM_SIZE, this);
  }

  /** The user presses the power button. */
  pressPowerButton(): void {
    this.status |= PM1.PWRBTN;
    this.settle();
  }

  /** A general-purpose event, 0 to 63. Its status bit stays until the guest clears it. */
  raiseGpe(event: number): void {
    this.gpeStatus[(event >>> 3) % GPE_HALF] |= 1 << (event & 7);
    this.settle();
  }

  private get cycles(): number {
    return PM_CLOCK.cycles(this.options.scheduler.clock.now());
  }

  /** TMR_STS is set whenever the most significant bit of the counter changes. */
  private syncTimer(): void {
    const halves = Math.floor(this.cycles / (this.modulus / 2));
    if (halves === this.checkedHalves) return;
    this.checkedHalves = halves;
    this.status |= PM1.TMR;
  }

  private settle(): void {
    this.syncTimer();
    this.drive();
  }

  /** Drives SCI, and asks to be woken when TMR_STS would raise it. */
  private drive(): void {
    const gpe = this.gpeStatus.some((status, i) => (status & this.gpeEnable[i]) !== 0);
    this.options.sci.set(gpe || (this.status & this.enable) !== 0);
    const wanted = (this.enable & ~this.status & PM1.TMR) !== 0;
    const deadline = wanted ? PM_CLOCK.time((this.checkedHalves + 1) * (this.modulus / 2)) : Infinity;
    if (deadline !== this.overflow.deadline) this.overflow.arm(deadline);
  }

  protected readByte(port: number): number {
    const offset = port - this.base;
    if (offset < 4) {
      this.syncTimer();
      return (offset < 2 ? this.status : this.enable) >>> ((offset & 1) * 8);
    }
    if (offset < 6) return this.control >>> ((offset & 1) * 8);
    if (offset >= PM_TMR_BLK.offset && offset < PM_TMR_BLK.offset + PM_TMR_BLK.length) {
      return Math.floor((this.cycles % this.modulus) / 2 ** (8 * (offset - PM_TMR_BLK.offset))) & 0xff;
    }
    const gpe = offset - GPE0_BLK.offset;
    if (gpe >= 0 && gpe < GPE_HALF) return this.gpeStatus[gpe];
    if (gpe >= GPE_HALF && gpe < GPE0_BLK.length) return this.gpeEnable[gpe - GPE_HALF];
    return 0;
  }

  protected writeByte(port: number, value: number): void {
    const offset = port - this.base;
    const shift = (offset & 1) * 8;
    const gpe = offset - GPE0_BLK.offset;
    this.syncTimer();
    if (offset < 2) this.status &= ~((value << shift) & PM1_STATUS_IMPLEMENTED);
    else if (offset < 4) this.enable = ((this.enable & (0xff00 >>> shift)) | (value << shift)) & PM1_ENABLE_IMPLEMENTED;
    else if (offset < 6) this.writeControl(value, shift);
    else if (gpe >= 0 && gpe < GPE_HALF) this.gpeStatus[gpe] &= ~value;
    else if (gpe >= GPE_HALF && gpe < GPE0_BLK.length) this.gpeEnable[gpe - GPE_HALF] = value;
    this.settle();
  }

  private writeControl(value: number, shift: number): void {
    const written = (this.control & (0xff00 >>> shift)) | (value << shift);
    this.control = (written & (PM1_CNT.SLP_TYP | PM1_CNT.BM_RLD)) | PM1_CNT.SCI_EN;
    // DEVIATION: there are no sleeping states but S5; SLP_EN with another type does nothing.
    const sleep = shift === 8 && (written & PM1_CNT.SLP_EN) !== 0;
    if (sleep && (written & PM1_CNT.SLP_TYP) >>> PM1_CNT.sleepTypeShift === SLEEP_TYPE.S5) this.options.powerOff();
  }

  saveState(): AcpiPmState {
    const { status, enable, control, checkedHalves } = this;
    return { status, enable, control, gpeStatus: [...this.gpeStatus], gpeEnable: [...this.gpeEnable], checkedHalves };
  }

  restoreState(state: AcpiPmState): void {
    const { status, enable, control, checkedHalves } = state;
    Object.assign(this, { status, enable, control, checkedHalves });
    this.gpeStatus = [...state.gpeStatus];
    this.gpeEnable = [...state.gpeEnable];
    this.drive();
  }
}
