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
import { ApicIdentity } from './apic-identity';
import type { LocalApicOptions, LocalApicState } from './local-apic-options';
import { includesSelf, interruptCommand } from './interrupt-command';
import { InterruptPriority } from './interrupt-priority';
import { LVT_ERROR, LVT_TIMER, LocalVectorTable, type LocalSources } from './local-vector-table';
import { DeliveryMode, Esr, FIRST_VECTOR, LVT_ENTRIES, Lvt, Msr, REGISTERS, Register, Shorthand, Svr, Version } from './registers';

const DEFAULT_TIMER_PERIOD = 40;
const LINT0 = 0;
const LINT1 = 1;

export class LocalApic implements InterruptController, MmioDevice, Stateful<LocalApicState> {
  /** Pins: LINT0 takes the output of the 8259A pair, LINT1 is NMI on a PC. They are INTR and NMI while the APIC is disabled. */
  readonly lint0 = { set: (level: boolean): void => this.lvt.setPin(LINT0, level) };
  readonly lint1 = { set: (level: boolean): void => this.lvt.setPin(LINT1, level) };

  private readonly base: ApicBaseRegister;
  private readonly identity: ApicIdentity;
  private svr = 0xff;
  private readonly priority = new InterruptPriority();
  /** Errors since the last write of ESR, and what that write put into the register. */
  private errors = 0;
  private esr = 0;
  private icrLow = 0;
  private icrHigh = 0;
  private readonly lvt: LocalVectorTable;
  /** An ExtINT message of an I/O APIC waits for its INTA cycle. */
  private externalMessage = false;
  /** Some source asks for an INTA cycle on the bus. */
  private external = false;
  private readonly timer: ApicTimer;
  private readonly version: number;

  constructor(private readonly options: LocalApicOptions) {
    this.identity = new ApicIdentity(options.id ?? 0, () => this.base.x2apic);
    this.base = new ApicBaseRegister({
      x2apic: options.x2apic ?? true,
      bootstrapProcessor: options.bootstrapProcessor ?? true,
      physicalAddressWidth: options.physicalAddressWidth ?? 46,
    });
    this.timer = new ApicTimer(options.timers, options.timerPeriod ?? DEFAULT_TIMER_PERIOD, options.readTsc, () => this.lvt.signal(LVT_TIMER));
    this.lvt = new LocalVectorTable(this.localSources());
    this.version = Version.INTEGRATED | ((LVT_ENTRIES - 1) << Version.MAX_LVT_SHIFT) | Version.EOI_SUPPRESSION;
    this.resetRegisters();
  }

  private localSources(): LocalSources {
    return {
      enabled: () => this.base.enabled,
      softwareEnabled: () => this.softwareEnabled,
      tscDeadline: this.options.tscDeadline !== false,
      accept: (vector, deliveryMode, level) => this.accept(vector, deliveryMode, level),
      raiseNmi: () => this.options.raiseNmi(),
      updateExternal: () => this.updateExternal(),
      configureTimer: (mode, masked) => this.timer.configure(mode, masked),
    };
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
    const { id } = this.identity;
    this.resetRegisters();
    this.identity.id = id;
  }

  /** What firmware leaves behind on a PC: APIC on, the 8259A through LINT0, NMI on LINT1 (MP specification, "Virtual Wire Mode"). */
  enterVirtualWireMode(): void {
    this.write(Register.SVR, Svr.VECTOR | Svr.ENABLE);
    this.write(Register.LVT_LINT0, DeliveryMode.ExtInt << Lvt.MODE_SHIFT);
    this.write(Register.LVT_LINT1, DeliveryMode.Nmi << Lvt.MODE_SHIFT);
  }

  private resetRegisters(): void {
    this.identity.reset();
    this.esr = this.errors = this.icrLow = this.icrHigh = 0;
    this.svr = 0xff;
    this.priority.reset();
    this.lvt.reset();
    this.externalMessage = false;
    this.timer.reset();
    this.updateExternal();
  }

  private get softwareEnabled(): boolean {
    return (this.svr & Svr.ENABLE) !== 0;
  }

  // ---- to the processor ----

  pending(): boolean {
    return this.external || this.priority.pending();
  }

  acknowledge(): number {
    if (this.external) {
      this.externalMessage = false;
      const vector = this.options.acknowledgeExternal();
      this.updateExternal();
      return vector;
    }
    // What was pending is gone: the spurious vector.
    return this.priority.acknowledge() ?? this.svr & Svr.VECTOR;
  }

  readCr8(): number {
    return this.priority.tpr >>> 4;
  }

  writeCr8(value: number): void {
    this.setTpr((value & 15) << 4);
  }

  private setTpr(value: number): void {
    this.priority.tpr = value;
    if (this.pending()) this.options.onChange();
  }

  private updateExternal(): void {
    const was = this.external;
    this.external = (this.base.enabled && this.externalMessage) || this.lvt.external;
    if (this.external && !was) this.options.onChange();
  }

  // ---- interrupts in ----

  /** Is a message to `destination` for this processor? `wide`: the 32 bits of an x2APIC, otherwise the 8 bits of the bus. */
  matches(destination: number, logical: boolean, wide = false): boolean {
    return this.identity.matches(destination, logical, wide);
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
    this.priority.request(vector, level);
    if (this.pending()) this.options.onChange();
    return true;
  }

  private error(bit: number): void {
    if ((this.errors & bit) !== 0) return;
    this.errors |= bit;
    this.lvt.signal(LVT_ERROR);
  }

  endOfInterrupt(): void {
    const served = this.priority.end();
    if (served === undefined) return;
    if (served.level) {
      this.lvt.endOfLevel(served.vector);
      if ((this.svr & Svr.SUPPRESS_EOI) === 0) this.options.onEoi?.(served.vector);
    }
    if (this.pending()) this.options.onChange();
  }

  // ---- interrupts out ----

  private sendIpi(): void {
    const wide = this.base.x2apic;
    const ipi = interruptCommand(this.icrLow, this.icrHigh, wide);
    if (ipi === undefined) return;
    if (ipi === 'illegal vector') return this.error(Esr.SEND_ILLEGAL_VECTOR);
    const { vector, deliveryMode, destination, logical, shorthand } = ipi;
    if (includesSelf(shorthand) || (shorthand === Shorthand.None && this.matches(destination, logical, wide))) this.accept(vector, deliveryMode, false);
    if (shorthand !== Shorthand.Self) this.options.onIpi?.(ipi);
  }

  // ---- registers ----

  private read(register: number): number {
    switch (register) {
      case Register.ID:
        return this.identity.idRegister;
      case Register.VERSION:
        return this.version;
      case Register.TPR:
        return this.priority.tpr;
      case Register.PPR:
        return this.priority.ppr;
      case Register.LDR:
        return this.identity.ldr;
      case Register.DFR:
        return this.identity.dfr;
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
    return this.lvt.has(register) ? this.lvt.read(register) : (this.priority.read(register) ?? 0);
  }

  /** `value` holds only writable bits. */
  private write(register: number, value: number): void {
    switch (register) {
      case Register.ID:
        this.identity.id = value >>> 24;
        return;
      case Register.TPR:
        return this.setTpr(value);
      case Register.EOI:
        return this.endOfInterrupt();
      case Register.LDR:
        this.identity.ldr = value;
        return;
      case Register.DFR:
        this.identity.dfr = value;
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
    if (this.lvt.has(register)) this.lvt.write(register, value);
  }

  private writeSvr(value: number): void {
    this.svr = value;
    if (!this.softwareEnabled) this.lvt.softwareDisabled();
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
      // The high half of the ICR is not preserved either.
      this.identity.enterX2apic();
      this.icrHigh = 0;
    }
    if (before.enabled !== this.base.enabled) this.updateExternal();
    if (before.mmio !== this.base.mmio) this.options.onMove?.(this.base.mmio);
    return true;
  }

  // ---- snapshots ----

  saveState(): LocalApicState {
    const { svr, esr, errors, icrLow, icrHigh, externalMessage } = this;
    return {
      base: this.base.value.toString(),
      ...{ svr, esr, errors, icrLow, icrHigh, externalMessage },
      ...this.identity.saveState(),
      ...this.priority.saveState(),
      ...this.lvt.saveState(),
      timer: this.timer.saveState(),
    };
  }

  restoreState(state: LocalApicState): void {
    const { svr, esr, errors, icrLow, icrHigh, externalMessage } = state;
    this.base.restore(BigInt(state.base));
    Object.assign(this, { svr, esr, errors, icrLow, icrHigh, externalMessage });
    this.identity.restoreState(state);
    this.priority.restoreState(state);
    this.lvt.restoreState(state);
    this.timer.restoreState(state.timer);
    this.updateExternal();
    this.options.onMove?.(this.base.mmio);
    if (this.pending()) this.options.onChange();
  }
}
