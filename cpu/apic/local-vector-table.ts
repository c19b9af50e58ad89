/** The local vector table with the pins LINT0 and LINT1: SDM "Local Vector Table". */
import { TimerMode } from './apic-timer';
import { DeliveryMode, LVT_ENTRIES, Lvt, REGISTERS, Register } from './registers';

const RESET = Lvt.MASKED;
/** Index of an entry in the table. */
const entry = (register: number): number => register - Register.LVT_TIMER;
export const LVT_TIMER = entry(Register.LVT_TIMER);
export const LVT_ERROR = entry(Register.LVT_ERROR);
const LINT = entry(Register.LVT_LINT0);
const PINS = 2;
const LINT0 = 0;
const LINT1 = 1;
const EXT_INT = DeliveryMode.ExtInt << Lvt.MODE_SHIFT;

/** The APIC around the table. */
export interface LocalSources {
  /** IA32_APIC_BASE: without it the pins are INTR and NMI. */
  enabled(): boolean;
  softwareEnabled(): boolean;
  readonly tscDeadline: boolean;
  accept(vector: number, deliveryMode: number, level: boolean): boolean;
  raiseNmi(): void;
  /** What a pin asks of the 8259A may be different now. */
  updateExternal(): void;
  configureTimer(mode: number, masked: boolean): void;
}

export class LocalVectorTable {
  private readonly entries = new Uint32Array(LVT_ENTRIES).fill(RESET);
  private readonly pins = [false, false];

  constructor(private readonly apic: LocalSources) {}

  reset(): void {
    this.entries.fill(RESET);
  }

  has(register: number): boolean {
    return register >= Register.LVT_TIMER && register <= Register.LVT_ERROR;
  }
  read(register: number): number {
    return this.entries[entry(register)];
  }
  write(register: number, value: number): void {
    this.writeEntry(entry(register), value);
  }

  /** "The mask bits for all the LVT entries are set. Attempts to reset these bits will be ignored." */
  softwareDisabled(): void {
    for (let i = 0; i < LVT_ENTRIES; i++) this.writeEntry(i, this.entries[i]);
  }

  private writeEntry(index: number, value: number): void {
    const { writable } = REGISTERS[Register.LVT_TIMER + index]!;
    if (!this.apic.softwareEnabled()) value |= Lvt.MASKED;
    if (index === LVT_TIMER && !this.apic.tscDeadline) value &= ~(TimerMode.TscDeadline << Lvt.TIMER_MODE_SHIFT);
    this.entries[index] = (value & writable) | (this.entries[index] & Lvt.REMOTE_IRR);
    if (index === LVT_TIMER) {
      // Mode 3 is reserved; it counts as the timer counts without bit 18.
      const mode = (value & Lvt.TIMER_MODE) >>> Lvt.TIMER_MODE_SHIFT;
      this.apic.configureTimer(mode === 3 ? TimerMode.Periodic : mode, (value & Lvt.MASKED) !== 0);
      return;
    }
    if (index !== LINT + LINT0 && index !== LINT + LINT1) return;
    if ((value & Lvt.LEVEL) === 0) this.entries[index] &= ~Lvt.REMOTE_IRR;
    this.settle(index - LINT);
    this.apic.updateExternal();
  }

  /** A local source has something to say (edge). */
  signal(index: number): void {
    const lvt = this.entries[index];
    if ((lvt & Lvt.MASKED) !== 0) return;
    // The timer and error entries have no delivery mode.
    const mode = index === LVT_TIMER || index === LVT_ERROR ? DeliveryMode.Fixed : (lvt & Lvt.MODE) >>> Lvt.MODE_SHIFT;
    this.apic.accept(lvt & Lvt.VECTOR, mode, false);
  }

  // ---- the pins ----

  setPin(pin: number, level: boolean): void {
    const rising = level && !this.pins[pin];
    if (level === this.pins[pin]) return;
    this.pins[pin] = level;
    if (!this.apic.enabled()) {
      if (pin === LINT1 && rising) this.apic.raiseNmi();
    } else {
      const lvt = this.entries[LINT + pin];
      const mode = lvt & Lvt.MODE;
      const levelTriggered = (lvt & Lvt.LEVEL) !== 0 && mode === DeliveryMode.Fixed;
      if (levelTriggered) this.settle(pin);
      else if (rising && mode !== EXT_INT) this.signal(LINT + pin);
    }
    this.apic.updateExternal();
  }

  /** A pin asks for an INTA cycle on the bus. */
  get external(): boolean {
    if (!this.apic.enabled()) return this.pins[LINT0];
    return this.isExternal(LINT0) || this.isExternal(LINT1);
  }
  private isExternal(pin: number): boolean {
    return this.pins[pin] && (this.entries[LINT + pin] & (Lvt.MASKED | Lvt.MODE)) === EXT_INT;
  }

  /** A level-triggered local pin requests again whenever its remote IRR is clear. */
  private settle(pin: number): void {
    const index = LINT + pin;
    const lvt = this.entries[index];
    if (!this.pins[pin] || (lvt & (Lvt.MASKED | Lvt.REMOTE_IRR | Lvt.MODE)) !== 0 || (lvt & Lvt.LEVEL) === 0) return;
    if (this.apic.accept(lvt & Lvt.VECTOR, DeliveryMode.Fixed, true)) this.entries[index] |= Lvt.REMOTE_IRR;
  }

  /** A level-triggered interrupt has been served. */
  endOfLevel(vector: number): void {
    for (let pin = 0; pin < PINS; pin++) {
      const index = LINT + pin;
      if ((this.entries[index] & Lvt.REMOTE_IRR) === 0 || (this.entries[index] & Lvt.VECTOR) !== vector) continue;
      this.entries[index] &= ~Lvt.REMOTE_IRR;
      this.settle(pin);
    }
  }

  // ---- snapshots ----

  saveState(): { lvt: number[]; lines: boolean[] } {
    return { lvt: [...this.entries], lines: [...this.pins] };
  }
  restoreState({ lvt, lines }: { readonly lvt: readonly number[]; readonly lines: readonly boolean[] }): void {
    this.entries.set(lvt);
    lines.forEach((level, pin) => (this.pins[pin] = level));
  }
}
