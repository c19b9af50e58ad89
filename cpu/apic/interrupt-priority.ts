/** What waits for the processor and what it serves: SDM "Interrupt Acceptance for Fixed Interrupts", "Task and Processor Priorities". */
import { Register } from './registers';
import { VectorSet } from './vector-set';

export interface InterruptPriorityState {
  tpr: number;
  irr: number[];
  isr: number[];
  tmr: number[];
}

export class InterruptPriority {
  private readonly irr = new VectorSet();
  private readonly isr = new VectorSet();
  private readonly tmr = new VectorSet();
  private task = 0;
  private processor = 0;

  reset(): void {
    for (const set of [this.irr, this.isr, this.tmr]) set.clearAll();
    this.tpr = 0;
  }

  get tpr(): number {
    return this.task;
  }
  set tpr(value: number) {
    this.task = value;
    this.update();
  }
  get ppr(): number {
    return this.processor;
  }

  private update(): void {
    const inService = this.isr.highest;
    this.processor = this.task >>> 4 >= inService >>> 4 ? this.task : inService & 0xf0;
  }

  /** "Upon acceptance of an interrupt into the IRR, the corresponding TMR bit is cleared for edge-triggered interrupts and set for level." */
  request(vector: number, level: boolean): void {
    if (level) this.tmr.set(vector);
    else this.tmr.clear(vector);
    this.irr.set(vector);
  }

  /** Some request has a higher priority class than the processor. */
  pending(): boolean {
    return this.irr.highest >>> 4 > this.processor >>> 4;
  }

  /** Takes the vector of highest priority into service; undefined: none is pending any more. */
  acknowledge(): number | undefined {
    const vector = this.irr.highest;
    if (vector >>> 4 <= this.processor >>> 4) return undefined;
    this.irr.clear(vector);
    this.isr.set(vector);
    this.update();
    return vector;
  }

  /** EOI: what was served, and whether it was level-triggered; undefined: nothing was. */
  end(): { readonly vector: number; readonly level: boolean } | undefined {
    const vector = this.isr.highest;
    if (vector === 0) return undefined;
    this.isr.clear(vector);
    this.update();
    return { vector, level: this.tmr.has(vector) };
  }

  /** Registers ISR, TMR and IRR, eight words each; undefined: another one. */
  read(register: number): number | undefined {
    if (register < Register.ISR || register >= Register.ESR) return undefined;
    if (register < Register.TMR) return this.isr.word(register - Register.ISR);
    if (register < Register.IRR) return this.tmr.word(register - Register.TMR);
    return this.irr.word(register - Register.IRR);
  }

  saveState(): InterruptPriorityState {
    return { tpr: this.task, irr: this.irr.saveState(), isr: this.isr.saveState(), tmr: this.tmr.saveState() };
  }
  restoreState({ tpr, irr, isr, tmr }: InterruptPriorityState): void {
    this.irr.restoreState(irr);
    this.isr.restoreState(isr);
    this.tmr.restoreState(tmr);
    this.tpr = tpr;
  }
}
