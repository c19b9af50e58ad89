/** A local APIC alone: a clock turned by hand, and what it told the outside. */
import { LocalApic } from '../../../cpu/apic/local-apic';
import type { LocalApicOptions, OutgoingIpi } from '../../../cpu/apic/local-apic-options';
import { TestBench } from '../../devices/test-bench';

export const PAGE = {
  ID: 0x20, VERSION: 0x30, TPR: 0x80, APR: 0x90, PPR: 0xa0, EOI: 0xb0, LDR: 0xd0, DFR: 0xe0, SVR: 0xf0, ISR: 0x100, TMR: 0x180, IRR: 0x200,
  ESR: 0x280, ICR: 0x300, ICR2: 0x310, LVT_TIMER: 0x320, LVT_THERMAL: 0x330, LVT_PERF: 0x340, LINT0: 0x350, LINT1: 0x360, LVT_ERROR: 0x370,
  INITIAL: 0x380, CURRENT: 0x390, DIVIDE: 0x3e0,
} as const; // prettier-ignore
export const FIXED = 0;
export const MASKED = 0x1_0000;

export class ApicBench {
  readonly bench = new TestBench();
  /** TSC minus ticks. */
  tscOffset = 0n;
  nmis = 0;
  changes = 0;
  readonly eois: number[] = [];
  readonly ipis: OutgoingIpi[] = [];
  readonly moves: (number | undefined)[] = [];
  readonly inits: string[] = [];
  externalVectors: number[] = [];
  readonly apic: LocalApic;

  constructor(options: Partial<LocalApicOptions> = {}) {
    this.apic = new LocalApic({
      timers: this.bench.scheduler,
      readTsc: () => BigInt.asUintN(64, BigInt(this.bench.now) + this.tscOffset),
      onChange: () => void this.changes++,
      raiseNmi: () => void this.nmis++,
      acknowledgeExternal: () => this.externalVectors.shift() ?? 0xff,
      onEoi: (vector) => void this.eois.push(vector),
      onMove: (base) => void this.moves.push(base),
      onInit: () => void this.inits.push('init'),
      onStartUp: (vector) => void this.inits.push(`sipi ${vector}`),
      onIpi: (ipi) => void this.ipis.push(ipi),
      ...options,
    });
  }

  /** With the APIC enabled by software, as every kernel does first. */
  static enabled(options: Partial<LocalApicOptions> = {}): ApicBench {
    const bench = new ApicBench(options);
    bench.set(PAGE.SVR, 0x1ff);
    return bench;
  }

  get(offset: number): number {
    return this.apic.readMmio(offset, 4) >>> 0;
  }
  set(offset: number, value: number): void {
    this.apic.writeMmio(offset, 4, value);
  }
  /** Vectors taken one after the other without an EOI between them. */
  takeAll(): number[] {
    const taken: number[] = [];
    while (this.apic.pending()) taken.push(this.apic.acknowledge());
    return taken;
  }
  errors(): number {
    this.set(PAGE.ESR, 0);
    return this.get(PAGE.ESR);
  }
}
