/**
 * The local APIC: SDM "Advanced Programmable Interrupt Controller (APIC)", xAPIC and x2APIC modes. It is part of a physical processor,
 * or the APIC that a hypervisor shows to a VM; the two do not differ.
 *
 * Lines carry assertion: the polarity bits are kept and mean nothing.
 */
import type { MmioDevice } from '../../memory/physical-memory';
import type { Stateful } from '../../memory/stateful';
import type { InterruptController } from '../interfaces';
import { ApicBaseRegister } from './apic-base';
import { ApicTimer, TimerMode } from './apic-timer';
import { BROADCAST32, BROADCAST8, matchesX2apic, matchesXapic, x2apicLogicalId } from './destination';
import type { LocalApicOptions, LocalApicState } from './local-apic-options';
import { DeliveryMode, Esr, Icr, LVT_ENTRIES, Lvt, Msr, REGISTERS, Register, Shorthand, Svr, Version } from './registers';
import { VectorSet } from './vector-set';

const DEFAULT_TIMER_PERIOD = 40;
const LVT_RESET = Lvt.MASKED;
const FIRST_VECTOR = 16;
const LINT0 = 0;
const LINT1 = 1;
/** Index of an entry in `lvt`. */
const entry = (register: number): number => register - Register.LVT_TIMER;
const LVT_TIMER = entry(Register.LVT_TIMER);
const LVT_LINT = entry(Register.LVT_LINT0);
const LVT_ERROR = entry(Register.LVT_ERROR);
const EXT_INT = DeliveryMode.ExtInt << Lvt.MODE_SHIFT;

export class LocalApic implements InterruptController, MmioDevice, Stateful<LocalApicState> {
  /** Pins: LINT0 takes the output of the 8259A pair, LINT1 is NMI on a PC. They are INTR and NMI while the APIC is disabled. */
  readonly lint0 = { set: (level: boolean): void => this.setLine(LINT0, level) };
  readonly lint1 = { set: (level: boolean): void => this.setLine(LINT1, level) };

  private readonly base: ApicBaseRegister;
  private readonly initialId: number;
  private id = 0;
  private tpr = 0;
  private ppr = 0;
  private ldr = 0;
  private dfr = 0xffff_ffff;
  private svr = 0xff;
  private readonly irr = new VectorSet();
  private readonly isr = new VectorSet();
  private readonly tmr = new VectorSet();
  /** Errors since the last write of ESR, and what that write put into the register. */
  private errors = 0;
  private esr = 0;
  private icrLow = 0;
  private icrHigh = 0;
  private readonly lvt = new Uint32Array(LVT_ENTRIES);
  private readonly lines = [false, false];
  /** An ExtINT message of an I/O APIC waits for its INTA cycle. */
  private externalMessage = false;
  /** Some source asks for an INTA cycle on the bus. */
  private external = false;
  private readonly timer: ApicTimer;
  private readonly version: number;

  constructor(private readonly options: LocalApicOptions) {
    this.initialId = options.id ?? 0;
    this.base = new ApicBaseRegister({
      x2apic: options.x2apic ?? true,
      bootstrapProcessor: options.bootstrapProcessor ?? true,
      physicalAddressWidth: options.physicalAddressWidth ?? 46,
    });
    this.timer = new ApicTimer(options.timers, options.timerPeriod ?? DEFAULT_TIMER_PERIOD, options.readTsc, () => this.signal(LVT_TIMER));
    this.version = Version.INTEGRATED | ((LVT_ENTRIES - 1) << Version.MAX_LVT_SHIFT) | Version.EOI_SUPPRESSION;
    this.resetRegisters();
  }

  // ---- state ----

  /** Power-up: "Local APIC State After Power-Up or Reset". IA32_APIC_BASE included; tells onMove, which the constructor does not. */
  reset(): void {
    this.base.reset();
    this.resetRegisters();
    this.options.onMove?.(this.base.mmio);
  }

  /** "Local APIC State After It Receives an INIT Reset": everything but the id and IA32_APIC_BASE. */
  initReset(): void {
    const { id } = this;
    this.resetRegisters();
    this.id = id;
  }

  /** What firmware leaves behind on a PC: APIC on, the 8259A through LINT0, NMI on LINT1 (MP specification, "Virtual Wire Mode"). */
  enterVirtualWireMode(): void {
    this.write(Register.SVR, Svr.VECTOR | Svr.ENABLE);
    this.write(Register.LVT_LINT0, EXT_INT);
    this.write(Register.LVT_LINT1, DeliveryMode.Nmi << Lvt.MODE_SHIFT);
  }

  private resetRegisters(): void {
    this.id = this.initialId;
    this.tpr = this.esr = this.errors = this.icrLow = this.icrHigh = 0;
    this.ldr = this.base.x2apic ? x2apicLogicalId(this.initialId) : 0;
    this.dfr = 0xffff_ffff;
    this.svr = 0xff;
    for (const set of [this.irr, this.isr, this.tmr]) set.clearAll();
    this.lvt.fill(LVT_RESET);
    this.externalMessage = false;
    this.timer.reset();
    this.updatePriority();
    this.updateExternal();
  }

  private get softwareEnabled(): boolean {
    return (this.svr & Svr.ENABLE) !== 0;
  }

  // ---- to the processor ----

  pending(): boolean {
    return this.external || this.irr.highest >>> 4 > this.ppr >>> 4;
  }

  acknowledge(): number {
    if (this.external) {
      this.externalMessage = false;
      const vector = this.options.acknowledgeExternal();
      this.updateExternal();
      return vector;
    }
    const vector = this.irr.highest;
    if (vector >>> 4 <= this.ppr >>> 4) return this.svr & Svr.VECTOR;
    this.irr.clear(vector);
    this.isr.set(vector);
    this.updatePriority();
    return vector;
  }

  readCr8(): number {
    return this.tpr >>> 4;
  }

  writeCr8(value: number): void {
    this.setTpr((value & 15) << 4);
  }

  private setTpr(value: number): void {
    this.tpr = value;
    this.updatePriority();
    if (this.pending()) this.options.onChange();
  }

  /** SDM "Task and Processor Priorities". */
  private updatePriority(): void {
    const inService = this.isr.highest;
    this.ppr = this.tpr >>> 4 >= inService >>> 4 ? this.tpr : inService & 0xf0;
  }

  private updateExternal(): void {
    const was = this.external;
    this.external = this.base.enabled ? this.externalMessage || this.lineIsExternal(LINT0) || this.lineIsExternal(LINT1) : this.lines[LINT0];
    if (this.external && !was) this.options.onChange();
  }

  private lineIsExternal(line: number): boolean {
    return this.lines[line] && (this.lvt[LVT_LINT + line] & (Lvt.MASKED | Lvt.MODE)) === EXT_INT;
  }

  // ---- interrupts in ----

  /** Is a message to `destination` for this processor? `wide`: the 32 bits of an x2APIC, otherwise the 8 bits of the bus. */
  matches(destination: number, logical: boolean, wide = false): boolean {
    if (destination === (wide ? BROADCAST32 : BROADCAST8)) return true;
    return this.base.x2apic ? matchesX2apic(destination, logical, this.initialId, this.ldr) : matchesXapic(destination, logical, this.id, this.ldr, this.dfr);
  }

  /** An interrupt message that is for this processor. False: not accepted, the APIC is switched off. */
  accept(vector: number, deliveryMode: number, level: boolean): boolean {
    if (!this.base.enabled) return false;
    switch (deliveryMode) {
      case DeliveryMode.Fixed:
      case DeliveryMode.LowestPriority:
        return this.request(vector & 0xff, level);
      case DeliveryMode.Smi:
        this.options.onSmi?.();
        return true;
      case DeliveryMode.Nmi:
        this.options.raiseNmi();
        return true;
      case DeliveryMode.Init:
        this.options.onInit?.();
        return true;
      case DeliveryMode.StartUp:
        this.options.onStartUp?.(vector & 0xff);
        return true;
      case DeliveryMode.ExtInt:
        this.externalMessage = true;
        this.updateExternal();
        return true;
      default:
        return false;
    }
  }

  private request(vector: number, level: boolean): boolean {
    if (!this.softwareEnabled) return false;
    if (vector < FIRST_VECTOR) {
      this.error(Esr.RECEIVE_ILLEGAL_VECTOR);
      return true;
    }
    // "Upon acceptance of an interrupt into the IRR, the corresponding TMR bit is cleared for edge-triggered interrupts and set for level."
    if (level) this.tmr.set(vector);
    else this.tmr.clear(vector);
    this.irr.set(vector);
    if (this.pending()) this.options.onChange();
    return true;
  }

  private error(bit: number): void {
    if ((this.errors & bit) !== 0) return;
    this.errors |= bit;
    this.signal(LVT_ERROR);
  }

  /** A local source with an entry in the local vector table has something to say (edge). */
  private signal(index: number): void {
    const lvt = this.lvt[index];
    if ((lvt & Lvt.MASKED) !== 0) return;
    // The timer and error entries have no delivery mode.
    const mode = index === LVT_TIMER || index === LVT_ERROR ? DeliveryMode.Fixed : (lvt & Lvt.MODE) >>> Lvt.MODE_SHIFT;
    this.accept(lvt & Lvt.VECTOR, mode, false);
  }

  private setLine(line: number, level: boolean): void {
    const rising = level && !this.lines[line];
    if (level === this.lines[line]) return;
    this.lines[line] = level;
    if (!this.base.enabled) {
      if (line === LINT1 && rising) this.options.raiseNmi();
    } else {
      const lvt = this.lvt[LVT_LINT + line];
      const mode = lvt & Lvt.MODE;
      const levelTriggered = (lvt & Lvt.LEVEL) !== 0 && mode === DeliveryMode.Fixed;
      if (levelTriggered) this.settleLine(line);
      else if (rising && mode !== EXT_INT) this.signal(LVT_LINT + line);
    }
    this.updateExternal();
  }

  /** A level-triggered local pin requests again whenever its remote IRR is clear. */
  private settleLine(line: number): void {
    const index = LVT_LINT + line;
    const lvt = this.lvt[index];
    if (!this.lines[line] || (lvt & (Lvt.MASKED | Lvt.REMOTE_IRR | Lvt.MODE)) !== 0 || (lvt & Lvt.LEVEL) === 0) return;
    if (this.accept(lvt & Lvt.VECTOR, DeliveryMode.Fixed, true)) this.lvt[index] |= Lvt.REMOTE_IRR;
  }

  private endOfInterrupt(): void {
    const vector = this.isr.highest;
    if (vector === 0) return;
    this.isr.clear(vector);
    this.updatePriority();
    if (this.tmr.has(vector)) this.endOfLevel(vector);
    if (this.pending()) this.options.onChange();
  }

  private endOfLevel(vector: number): void {
    for (const line of [LINT0, LINT1]) {
      const index = LVT_LINT + line;
      if ((this.lvt[index] & Lvt.REMOTE_IRR) === 0 || (this.lvt[index] & Lvt.VECTOR) !== vector) continue;
      this.lvt[index] &= ~Lvt.REMOTE_IRR;
      this.settleLine(line);
    }
    if ((this.svr & Svr.SUPPRESS_EOI) === 0) this.options.onEoi?.(vector);
  }

  // ---- interrupts out ----

  private sendIpi(): void {
    const shorthand = this.icrLow >>> Icr.SHORTHAND_SHIFT;
    const vector = this.icrLow & Icr.VECTOR;
    const mode = (this.icrLow & Icr.MODE) >>> Icr.MODE_SHIFT;
    if ((mode === DeliveryMode.Fixed || mode === DeliveryMode.LowestPriority) && vector < FIRST_VECTOR) return this.error(Esr.SEND_ILLEGAL_VECTOR);
    // "INIT Level De-assert" synchronises arbitration ids, which no longer exist.
    if (mode === DeliveryMode.Init && (this.icrLow & (Icr.LEVEL | Icr.ASSERT)) === Icr.LEVEL) return;
    // "Valid Combinations for the Local APIC ICR": to oneself only fixed interrupts go by shorthand; there are no ExtINT messages.
    const toSelfByShorthand = shorthand === Shorthand.Self || shorthand === Shorthand.AllIncludingSelf;
    if (mode === DeliveryMode.ExtInt || (toSelfByShorthand && mode !== DeliveryMode.Fixed)) return;
    const wide = this.base.x2apic;
    const destination = wide ? this.icrHigh : this.icrHigh >>> 24;
    const logical = (this.icrLow & Icr.LOGICAL) !== 0;
    const forSelf = toSelfByShorthand || (shorthand === Shorthand.None && this.matches(destination, logical, wide));
    if (forSelf) this.accept(vector, mode, false);
    if (shorthand !== Shorthand.Self) this.options.onIpi?.({ vector, deliveryMode: mode, destination, logical, shorthand });
  }

  // ---- registers ----

  private read(register: number): number {
    switch (register) {
      case Register.ID:
        return this.base.x2apic ? this.initialId : this.id << 24;
      case Register.VERSION:
        return this.version;
      case Register.TPR:
        return this.tpr;
      case Register.PPR:
        return this.ppr;
      case Register.LDR:
        return this.ldr;
      case Register.DFR:
        return this.dfr;
      case Register.SVR:
        return this.svr;
      case Register.ESR:
        return this.esr;
      case Register.ICR_LOW:
        return this.icrLow;
      case Register.ICR_HIGH:
        return this.icrHigh;
      case Register.INITIAL_COUNT:
        return this.timer.initialCount;
      case Register.CURRENT_COUNT:
        return this.timer.currentCount;
      case Register.DIVIDE:
        return this.timer.divideConfiguration;
    }
    if (register >= Register.ISR && register < Register.TMR) return this.isr.word(register - Register.ISR);
    if (register >= Register.TMR && register < Register.IRR) return this.tmr.word(register - Register.TMR);
    if (register >= Register.IRR && register < Register.ESR) return this.irr.word(register - Register.IRR);
    if (register >= Register.LVT_TIMER && register <= Register.LVT_ERROR) return this.lvt[entry(register)];
    return 0;
  }

  /** `value` holds only writable bits. */
  private write(register: number, value: number): void {
    switch (register) {
      case Register.ID:
        this.id = value >>> 24;
        return;
      case Register.TPR:
        return this.setTpr(value);
      case Register.EOI:
        return this.endOfInterrupt();
      case Register.LDR:
        this.ldr = value;
        return;
      case Register.DFR:
        this.dfr = (value | 0x0fff_ffff) >>> 0;
        return;
      case Register.SVR:
        return this.writeSvr(value);
      case Register.ESR:
        // "A write … clears the error bits [that it latches] and re-arms the mechanism."
        this.esr = this.errors;
        this.errors = 0;
        return;
      case Register.ICR_LOW:
        this.icrLow = value;
        return this.sendIpi();
      case Register.ICR_HIGH:
        this.icrHigh = value;
        return;
      case Register.INITIAL_COUNT:
        this.timer.initialCount = value;
        return;
      case Register.DIVIDE:
        this.timer.divideConfiguration = value;
        return;
      case Register.SELF_IPI:
        if (value < FIRST_VECTOR) this.error(Esr.SEND_ILLEGAL_VECTOR);
        else this.accept(value, DeliveryMode.Fixed, false);
        return;
    }
    if (register >= Register.LVT_TIMER && register <= Register.LVT_ERROR) this.writeLvt(entry(register), value);
  }

  private writeSvr(value: number): void {
    this.svr = value;
    // "The mask bits for all the LVT entries are set. Attempts to reset these bits will be ignored."
    if (!this.softwareEnabled) for (let i = 0; i < LVT_ENTRIES; i++) this.writeLvt(i, this.lvt[i]);
  }

  private writeLvt(index: number, value: number): void {
    const { writable } = REGISTERS[Register.LVT_TIMER + index]!;
    if (!this.softwareEnabled) value |= Lvt.MASKED;
    if (index === LVT_TIMER && this.options.tscDeadline === false) value &= ~(TimerMode.TscDeadline << Lvt.TIMER_MODE_SHIFT);
    this.lvt[index] = (value & writable) | (this.lvt[index] & Lvt.REMOTE_IRR);
    if (index === LVT_TIMER) {
      // Mode 3 is reserved; it counts as the timer counts without bit 18.
      const mode = (value & Lvt.TIMER_MODE) >>> Lvt.TIMER_MODE_SHIFT;
      this.timer.configure(mode === 3 ? TimerMode.Periodic : mode, (value & Lvt.MASKED) !== 0);
      return;
    }
    if (index !== LVT_LINT + LINT0 && index !== LVT_LINT + LINT1) return;
    if ((value & Lvt.LEVEL) === 0) this.lvt[index] &= ~Lvt.REMOTE_IRR;
    this.settleLine(index - LVT_LINT);
    this.updateExternal();
  }

  // ---- xAPIC: 4 KiB of memory ----

  readMmio(offset: number, size: 1 | 2 | 4): number {
    const value = this.readPage(offset);
    const shift = (offset & 3) * 8;
    return size === 4 ? value : size === 2 ? (value >>> shift) & 0xffff : (value >>> shift) & 0xff;
  }

  private readPage(offset: number): number {
    const register = offset >>> 4;
    if (REGISTERS[register]?.xapic === true) return (offset & 15) < 4 ? this.read(register) >>> 0 : 0;
    this.error(Esr.ILLEGAL_REGISTER);
    return 0;
  }

  /** "All 32-bit registers should be accessed using 128-bit aligned 32-bit loads or stores": other stores are dropped. */
  writeMmio(offset: number, size: 1 | 2 | 4, value: number): void {
    if (size !== 4 || (offset & 15) !== 0) return;
    const register = offset >>> 4;
    const layout = REGISTERS[register];
    if (layout?.xapic !== true) this.error(Esr.ILLEGAL_REGISTER);
    else this.write(register, (value & layout.writable) >>> 0);
  }

  // ---- MSRs ----

  readMsr(index: number): bigint | undefined {
    if (index === Msr.APIC_BASE) return this.base.value;
    if (index === Msr.TSC_DEADLINE) return this.options.tscDeadline === false ? undefined : this.timer.deadline;
    const register = index - Msr.X2APIC_FIRST;
    const access = this.base.x2apic ? REGISTERS[register]?.x2apic : undefined;
    if (access === undefined || access === 'wo') return undefined;
    const low = BigInt(this.read(register) >>> 0);
    return register === Register.ICR_LOW ? low | (BigInt(this.icrHigh) << 32n) : low;
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index === Msr.APIC_BASE) return this.writeBase(value);
    if (index === Msr.TSC_DEADLINE) {
      if (this.options.tscDeadline === false) return false;
      this.timer.deadline = value;
      return true;
    }
    return this.base.x2apic && this.writeX2apic(index - Msr.X2APIC_FIRST, value);
  }

  private writeX2apic(register: number, value: bigint): boolean {
    const layout = REGISTERS[register];
    if (layout?.x2apic === undefined || layout.x2apic === 'ro') return false;
    const high = Number(value >> 32n);
    if (high !== 0 && register !== Register.ICR_LOW) return false;
    const low = Number(value & 0xffff_ffffn);
    let legal = layout.writable | layout.readOnly;
    if (register === Register.LVT_TIMER && this.options.tscDeadline === false) legal &= ~(TimerMode.TscDeadline << Lvt.TIMER_MODE_SHIFT);
    if ((low & ~legal) !== 0) return false;
    if (register === Register.ICR_LOW) this.icrHigh = high;
    this.write(register, (low & layout.writable) >>> 0);
    return true;
  }

  private writeBase(value: bigint): boolean {
    const before = { mmio: this.base.mmio, enabled: this.base.enabled, x2apic: this.base.x2apic };
    if (!this.base.write(value)) return false;
    if (before.enabled && !this.base.enabled) this.resetRegisters();
    if (!before.x2apic && this.base.x2apic) {
      // "State Changes From xAPIC Mode to x2APIC Mode": id, LDR and the high half of the ICR are not preserved.
      this.id = this.initialId;
      this.ldr = x2apicLogicalId(this.initialId);
      this.icrHigh = 0;
    }
    if (before.enabled !== this.base.enabled) this.updateExternal();
    if (before.mmio !== this.base.mmio) this.options.onMove?.(this.base.mmio);
    return true;
  }

  // ---- snapshots ----

  saveState(): LocalApicState {
    const { id, tpr, ldr, dfr, svr, esr, errors, icrLow, icrHigh, externalMessage } = this;
    return {
      base: this.base.value.toString(),
      ...{ id, tpr, ldr, dfr, svr, esr, errors, icrLow, icrHigh, externalMessage },
      irr: this.irr.saveState(),
      isr: this.isr.saveState(),
      tmr: this.tmr.saveState(),
      lvt: [...this.lvt],
      lines: [...this.lines],
      timer: this.timer.saveState(),
    };
  }

  restoreState(state: LocalApicState): void {
    const { id, tpr, ldr, dfr, svr, esr, errors, icrLow, icrHigh, externalMessage } = state;
    this.base.restore(BigInt(state.base));
    Object.assign(this, { id, tpr, ldr, dfr, svr, esr, errors, icrLow, icrHigh, externalMessage });
    this.irr.restoreState(state.irr);
    this.isr.restoreState(state.isr);
    this.tmr.restoreState(state.tmr);
    this.lvt.set(state.lvt);
    state.lines.forEach((level, i) => (this.lines[i] = level));
    this.timer.restoreState(state.timer);
    this.updatePriority();
    this.updateExternal();
    this.options.onMove?.(this.base.mmio);
    if (this.pending()) this.options.onChange();
  }
}
