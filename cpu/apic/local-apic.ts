/**
 * Local APIC: xAPIC page and x2APIC MSRs of one processor. SDM "Advanced Programmable Interrupt Controller (APIC)".
 * The same model is silicon of the physical machine and the emulated APIC of a VM: it knows callbacks, not processors.
 */
import type { MmioDevice } from '../../memory/physical-memory';
import type { InterruptController } from '../interfaces';

export const APIC_DEFAULT_BASE = 0xfee0_0000;
const APIC_BASE_MSR = 0x1b;
const TSC_DEADLINE_MSR = 0x6e0;
const X2APIC_FIRST = 0x800;
const BSP = 0x100;
const EXTD = 0x400;
const ENABLE = 0x800;
/** Version 14h, seven LVT entries (highest index 5). */
const VERSION = 0x0005_0014;
const MASKED = 0x1_0000;
const DELIVERY_STATUS = 0x1000;
const SOFTWARE_ENABLE = 0x100;
const TimerMode = { OneShot: 0, Periodic: 1, TscDeadline: 2 } as const;
const Delivery = { Fixed: 0, LowestPriority: 1, Smi: 2, Nmi: 4, Init: 5, StartUp: 6, ExtInt: 7 } as const;
/** Offsets of the register page; x2APIC MSR = 800h + offset / 16. */
const Reg = { Id: 0x20, Version: 0x30, Tpr: 0x80, Apr: 0x90, Ppr: 0xa0, Eoi: 0xb0, Ldr: 0xd0, Dfr: 0xe0, Svr: 0xf0, Isr: 0x100, Tmr: 0x180, Irr: 0x200, Esr: 0x280, Icr: 0x300, IcrHigh: 0x310, Timer: 0x320, Thermal: 0x330, Perf: 0x340, Lint0: 0x350, Lint1: 0x360, Error: 0x370, Initial: 0x380, Current: 0x390, Divide: 0x3e0, SelfIpi: 0x3f0 } as const;
const LVT_OFFSETS = [Reg.Timer, Reg.Thermal, Reg.Perf, Reg.Lint0, Reg.Lint1, Reg.Error] as const;
/** Writable bits of each LVT entry. */
const LVT_BITS: Record<number, number> = { [Reg.Timer]: 0x7_00ff, [Reg.Thermal]: 0x1_07ff, [Reg.Perf]: 0x1_07ff, [Reg.Lint0]: 0x1_a7ff, [Reg.Lint1]: 0x1_a7ff, [Reg.Error]: 0x1_00ff };
const Esr = { IllegalVectorSent: 0x20, IllegalVectorReceived: 0x40, IllegalRegister: 0x80 } as const;

/** A deadline on virtual time. */
export interface ApicTimer {
  arm(deadline: number): void;
  disarm(): void;
}

export interface LocalApicOptions {
  readonly id: number;
  /** Virtual time in ticks; the timer counts them (core crystal clock of 1 GHz before the divider). */
  readonly now: () => number;
  /** Makes the timer; `fire` is called at the deadline. */
  readonly timer: (fire: (deadline: number) => void) => ApicTimer;
  /** Time stamp counter now. One tick is one count. */
  readonly readTsc: () => bigint;
  /** Pending interrupts may have changed. */
  readonly onChange: () => void;
  readonly nmi: () => void;
  /** The 8259 pair behind LINT0. */
  readonly external?: { pending(): boolean; acknowledge(): number };
  /** A level-triggered vector was ended: tells the IOAPIC. */
  readonly broadcastEoi: (vector: number) => void;
  /** IA32_APIC_BASE moved or disabled the page. */
  readonly relocate?: (base: number, enabled: boolean) => void;
}

export class LocalApic implements InterruptController, MmioDevice {
  private base = APIC_DEFAULT_BASE | BSP | ENABLE;
  private tpr = 0;
  private ldr = 0;
  private dfr = 0xffff_ffff;
  private svr = 0xff;
  private esr = 0;
  private errors = 0;
  private icr = 0;
  private icrHigh = 0;
  private readonly lvt: Record<number, number> = {};
  private divide = 0;
  private initial = 0;
  /** Tick at which the running count started, when initial != 0. */
  private started = 0;
  private deadline = 0n;
  private readonly irr = new Uint32Array(8);
  private readonly isr = new Uint32Array(8);
  private readonly tmr = new Uint32Array(8);
  private readonly timer: ApicTimer;

  constructor(private readonly o: LocalApicOptions) {
    this.timer = o.timer((deadline) => this.expired(deadline));
    this.reset();
  }

  private reset(): void {
    for (const r of LVT_OFFSETS) this.lvt[r] = MASKED;
    // As firmware leaves it: the 8259 through LINT0, NMI on LINT1.
    this.lvt[Reg.Lint0] = Delivery.ExtInt << 8;
    this.lvt[Reg.Lint1] = Delivery.Nmi << 8;
    this.svr = 0xff | SOFTWARE_ENABLE;
    this.tpr = this.ldr = this.esr = this.errors = this.icr = this.icrHigh = this.divide = this.initial = 0;
    this.dfr = 0xffff_ffff;
    this.deadline = 0n;
    this.irr.fill(0);
    this.isr.fill(0);
    this.tmr.fill(0);
    this.timer.disarm();
  }

  // ---- acceptance and delivery ----

  private get enabled(): boolean { return (this.base & ENABLE) !== 0; }
  private get x2(): boolean { return (this.base & EXTD) !== 0; }
  private get softwareEnabled(): boolean { return (this.svr & SOFTWARE_ENABLE) !== 0; }

  /** A message from the IOAPIC, an MSI or an IPI. `level`: level-triggered. */
  accept(vector: number, delivery: number, level: boolean): void {
    if (!this.enabled) return;
    switch (delivery) {
      case Delivery.Fixed:
      case Delivery.LowestPriority:
        if (vector < 16) return this.error(Esr.IllegalVectorReceived);
        if (!this.softwareEnabled) return;
        this.irr[vector >>> 5] |= 1 << (vector & 31);
        if (level) this.tmr[vector >>> 5] |= 1 << (vector & 31);
        else this.tmr[vector >>> 5] &= ~(1 << (vector & 31));
        return this.o.onChange();
      case Delivery.Nmi:
        return this.o.nmi();
      // INIT and SIPI to the only running processor, SMI without SMM, ExtINT by message: nothing to do.
      default:
        return;
    }
  }

  /** Physical or logical destination of a message, as this processor sees it. */
  isDestination(destination: number, logical: boolean): boolean {
    if (!logical) return destination === this.o.id || destination === 0xff || destination === 0xffff_ffff;
    if (this.x2) {
      const id = (((this.o.id >>> 4) << 16) | (1 << (this.o.id & 15))) >>> 0;
      return destination >>> 16 === id >>> 16 && (destination & id & 0xffff) !== 0;
    }
    const mine = this.ldr >>> 24;
    if (this.dfr >>> 28 === 0xf) return (mine & destination & 0xff) !== 0;
    return mine >>> 4 === (destination >>> 4 & 15) && (mine & destination & 15) !== 0;
  }

  private static highest(bits: Uint32Array): number {
    for (let i = 7; i >= 0; i--) if (bits[i] !== 0) return i * 32 + 31 - Math.clz32(bits[i]);
    return -1;
  }
  private ppr(): number {
    const inService = LocalApic.highest(this.isr);
    const isrClass = inService < 0 ? 0 : inService & 0xf0;
    return (this.tpr & 0xf0) >= isrClass ? this.tpr : isrClass;
  }
  /** ExtINT through LINT0, or the whole APIC off: the 8259's output reaches the processor. */
  private externalPending(): boolean {
    if (this.o.external === undefined || !this.o.external.pending()) return false;
    if (!this.enabled) return true;
    const lint0 = this.lvt[Reg.Lint0];
    return (lint0 & MASKED) === 0 && ((lint0 >>> 8) & 7) === Delivery.ExtInt;
  }
  private deliverable(): number {
    if (!this.enabled) return -1;
    const vector = LocalApic.highest(this.irr);
    return vector >= 0 && (vector & 0xf0) > (this.ppr() & 0xf0) ? vector : -1;
  }
  pending(): boolean {
    return this.deliverable() >= 0 || this.externalPending();
  }
  acknowledge(): number {
    if (this.externalPending()) return this.o.external!.acknowledge();
    const vector = this.deliverable();
    if (vector < 0) return this.svr & 0xff;
    this.irr[vector >>> 5] &= ~(1 << (vector & 31));
    this.isr[vector >>> 5] |= 1 << (vector & 31);
    return vector;
  }
  private eoi(): void {
    const vector = LocalApic.highest(this.isr);
    if (vector < 0) return;
    this.isr[vector >>> 5] &= ~(1 << (vector & 31));
    if (((this.tmr[vector >>> 5] >>> (vector & 31)) & 1) !== 0) this.o.broadcastEoi(vector);
    this.o.onChange();
  }
  private error(bit: number): void {
    this.errors |= bit;
    const e = this.lvt[Reg.Error];
    if ((e & MASKED) === 0) this.accept(e & 0xff, Delivery.Fixed, false);
  }
  /** LINT1 as the NMI pin. */
  raiseLint1(): void {
    const l = this.lvt[Reg.Lint1];
    if ((l & MASKED) === 0) this.accept(l & 0xff, (l >>> 8) & 7, false);
  }

  // ---- timer ----

  private get mode(): number { return (this.lvt[Reg.Timer] >>> 17) & 3; }
  private get divisor(): number {
    const code = ((this.divide >>> 1) & 4) | (this.divide & 3);
    return code === 7 ? 1 : 2 << code;
  }
  private current(): number {
    if (this.initial === 0 || this.mode === TimerMode.TscDeadline) return 0;
    const passed = Math.floor((this.o.now() - this.started) / this.divisor);
    if (this.mode === TimerMode.Periodic) return this.initial - (passed % this.initial);
    return passed >= this.initial ? 0 : this.initial - passed;
  }
  private armTimer(): void {
    if (this.mode === TimerMode.TscDeadline) {
      if (this.deadline === 0n) return this.timer.disarm();
      const wait = this.deadline - this.o.readTsc();
      return this.timer.arm(this.o.now() + Math.max(0, wait > 2n ** 52n ? 2 ** 52 : Number(wait)));
    }
    if (this.initial === 0) return this.timer.disarm();
    this.started = this.o.now();
    this.timer.arm(this.started + this.initial * this.divisor);
  }
  private expired(deadline: number): void {
    if (this.mode === TimerMode.Periodic) {
      this.started = deadline;
      this.timer.arm(deadline + this.initial * this.divisor);
    } else if (this.mode === TimerMode.TscDeadline) this.deadline = 0n;
    const l = this.lvt[Reg.Timer];
    if ((l & MASKED) === 0) this.accept(l & 0xff, Delivery.Fixed, false);
  }

  // ---- registers ----

  private read(offset: number): number {
    if (offset >= Reg.Isr && offset < Reg.Esr) {
      const bank = offset < Reg.Tmr ? this.isr : offset < Reg.Irr ? this.tmr : this.irr;
      return bank[(offset >>> 4) & 7] >>> 0;
    }
    switch (offset) {
      case Reg.Id: return this.x2 ? this.o.id : (this.o.id << 24) >>> 0;
      case Reg.Version: return VERSION;
      case Reg.Tpr: return this.tpr;
      case Reg.Ppr: return this.ppr();
      case Reg.Ldr: return this.x2 ? (((this.o.id >>> 4) << 16) | (1 << (this.o.id & 15))) >>> 0 : this.ldr;
      case Reg.Dfr: return this.dfr;
      case Reg.Svr: return this.svr;
      case Reg.Esr: return this.esr;
      case Reg.Icr: return this.icr;
      case Reg.IcrHigh: return this.icrHigh;
      case Reg.Initial: return this.mode === TimerMode.TscDeadline ? 0 : this.initial;
      case Reg.Current: return this.current();
      case Reg.Divide: return this.divide;
      default: return this.lvt[offset] ?? 0;
    }
  }

  private write(offset: number, value: number): void {
    switch (offset) {
      case Reg.Tpr:
        this.tpr = value & 0xff;
        return this.o.onChange();
      case Reg.Eoi: return this.eoi();
      case Reg.Ldr:
        this.ldr = (value & 0xff00_0000) >>> 0;
        return;
      case Reg.Dfr:
        this.dfr = (value | 0x0fff_ffff) >>> 0;
        return;
      case Reg.Svr:
        this.svr = value & 0x1ff;
        if (!this.softwareEnabled) for (const r of LVT_OFFSETS) this.lvt[r] |= MASKED;
        return;
      case Reg.Esr:
        this.esr = this.errors;
        this.errors = 0;
        return;
      case Reg.Icr: return this.sendIpi(value);
      case Reg.IcrHigh:
        this.icrHigh = (value & 0xff00_0000) >>> 0;
        return;
      case Reg.Initial:
        if (this.mode === TimerMode.TscDeadline) return;
        this.initial = value >>> 0;
        return this.armTimer();
      case Reg.Divide:
        this.divide = value & 0xb;
        if (this.mode !== TimerMode.TscDeadline && this.initial !== 0) this.armTimer();
        return;
      case Reg.SelfIpi:
        return this.accept(value & 0xff, Delivery.Fixed, false);
      default:
        if (LVT_BITS[offset] !== undefined) return this.writeLvt(offset, value);
        if (!(offset === Reg.Id || offset === Reg.Version)) this.error(Esr.IllegalRegister);
    }
  }
  private writeLvt(offset: number, value: number): void {
    const old = this.mode;
    this.lvt[offset] = (value & LVT_BITS[offset] & ~DELIVERY_STATUS) | (this.softwareEnabled ? 0 : MASKED);
    if (offset === Reg.Timer && this.mode !== old) {
      // Entering or leaving TSC-deadline mode disarms the timer.
      if (this.mode === TimerMode.TscDeadline || old === TimerMode.TscDeadline) {
        this.initial = 0;
        this.deadline = 0n;
        this.timer.disarm();
      }
    }
    this.o.onChange();
  }

  private sendIpi(value: number): void {
    this.icr = value & 0xc_cfff & ~DELIVERY_STATUS;
    const delivery = (value >>> 8) & 7;
    const vector = value & 0xff;
    const shorthand = (value >>> 18) & 3;
    const destination = this.x2 ? this.icrHigh : this.icrHigh >>> 24;
    const self = shorthand === 1 || shorthand === 2 || (shorthand === 0 && this.isDestination(destination, (value & 0x800) !== 0));
    if (delivery === Delivery.Fixed && vector < 16) return this.error(Esr.IllegalVectorSent);
    if (self) this.accept(vector, delivery, false);
  }

  // ---- CR8, memory, MSRs ----

  readCr8(): number { return this.tpr >>> 4; }
  writeCr8(value: number): void {
    this.tpr = (value & 15) << 4;
    this.o.onChange();
  }

  /** Registers are 32 bits at 16-byte steps; narrower reads deliver the part, narrower writes are taken as 32-bit ones. */
  readMmio(offset: number, size: 1 | 2 | 4): number {
    if (!this.enabled || this.x2) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    const value = this.read(offset & 0xff0) >>> (8 * (offset & 3));
    return size === 4 ? value : size === 2 ? value & 0xffff : value & 0xff;
  }
  writeMmio(offset: number, _size: 1 | 2 | 4, value: number): void {
    if (!this.enabled || this.x2 || (offset & 15) !== 0) return;
    this.write(offset & 0xff0, value >>> 0);
  }

  readMsr(index: number): bigint | undefined {
    if (index === APIC_BASE_MSR) return BigInt(this.base >>> 0);
    if (index === TSC_DEADLINE_MSR) return this.mode === TimerMode.TscDeadline ? this.deadline : 0n;
    if (!this.x2) return undefined;
    const offset = (index - X2APIC_FIRST) << 4;
    if (offset === Reg.Icr) return (BigInt(this.icrHigh) << 32n) | BigInt(this.icr);
    if (!X2_READABLE.has(offset)) return undefined;
    return BigInt(this.read(offset) >>> 0);
  }
  writeMsr(index: number, value: bigint): boolean {
    if (index === APIC_BASE_MSR) return this.writeBase(value);
    if (index === TSC_DEADLINE_MSR) {
      if (this.mode !== TimerMode.TscDeadline) return true;
      this.deadline = value;
      this.armTimer();
      return true;
    }
    if (!this.x2) return false;
    const offset = (index - X2APIC_FIRST) << 4;
    if (!X2_WRITABLE.has(offset)) return false;
    if (offset === Reg.Icr) {
      this.icrHigh = Number(value >> 32n);
      this.sendIpi(Number(value & 0xffff_ffffn));
      return true;
    }
    if (value >> 32n !== 0n) return false;
    const v = Number(value);
    if ((offset === Reg.Eoi || offset === Reg.Esr) && v !== 0) return false;
    this.write(offset, v);
    return true;
  }
  private writeBase(value: bigint): boolean {
    const v = Number(value & 0xf_ffff_ffffn);
    if (value >> 36n !== 0n || (v & 0x2ff) !== 0) return false;
    const low = v >>> 0;
    const enable = (low & ENABLE) !== 0;
    const extended = (low & EXTD) !== 0;
    // Illegal: x2APIC without enable; xAPIC or disabled straight from the other end of x2APIC. SDM "x2APIC State Transitions".
    if (extended && !enable) return false;
    if (this.x2 && enable && !extended) return false;
    if (!this.enabled && enable && extended) return false;
    const was = this.enabled;
    this.base = ((low & ~BSP) | BSP) | 0;
    if (was && !enable) {
      this.reset();
      this.svr = 0xff;
    }
    this.o.relocate?.((low & 0xffff_f000) >>> 0, enable && !extended);
    this.o.onChange();
    return true;
  }
}

const X2_READABLE = new Set<number>([Reg.Id, Reg.Version, Reg.Tpr, Reg.Ppr, Reg.Ldr, Reg.Svr, Reg.Esr, Reg.Initial, Reg.Current, Reg.Divide, ...LVT_OFFSETS]);
for (let i = Reg.Isr as number; i < Reg.Esr; i += 16) X2_READABLE.add(i);
const X2_WRITABLE = new Set<number>([Reg.Tpr, Reg.Eoi, Reg.Svr, Reg.Esr, Reg.Icr, Reg.Initial, Reg.Divide, Reg.SelfIpi, ...LVT_OFFSETS]);
