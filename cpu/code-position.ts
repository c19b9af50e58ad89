/**
 * Where compiled code is while it has called TypeScript. Inside a block neither R.RIP nor the budget is kept up to date: both follow from
 * the record of the current instruction, and are put right only when somebody needs them.
 */
import type { CodeCache } from './code-cache';
import type { Cpu } from './cpu';
import { R } from './layout';

const TWO32 = 0x1_0000_0000;

export class CodePosition {
  /** Record of the current instruction, 0 when there is none. */
  record = 0;
  private materialized = false;
  private savedRipLow = 0;
  private savedRipHigh = 0;
  private readonly state: number;

  constructor(
    private readonly cpu: Cpu,
    private readonly code: CodeCache,
  ) {
    this.state = cpu.base >>> 2;
    cpu.indexInBlock = () => (this.record !== 0 && !this.materialized ? code.indexInBlock(this.record) : 0);
    cpu.materialize = () => this.materialize();
    cpu.dematerialize = () => this.dematerialize();
    cpu.currentRip = () => this.currentRip();
  }

  /** The instruction of `record` is in TypeScript's hands. */
  enter(record: number): void {
    this.record = record;
    this.materialized = false;
  }
  leave(): void {
    this.record = 0;
    this.materialized = false;
  }

  /** R.RIP = page base + offset - code base. */
  setRip(offset: number): void {
    const u32 = this.cpu.u32;
    const s = this.state;
    const low = u32[s + R.PAGE_BASE / 4] + offset;
    if (this.cpu.codeSize === 64) {
      u32[s + R.RIP / 4] = low;
      u32[s + R.RIP / 4 + 1] = low >= TWO32 ? u32[s + R.PAGE_BASE / 4 + 1] + 1 : u32[s + R.PAGE_BASE / 4 + 1];
    } else {
      u32[s + R.RIP / 4] = low - u32[s + R.CODE_BASE / 4];
      u32[s + R.RIP / 4 + 1] = 0;
    }
  }

  /** R.RIP at the start of the current instruction, and what precedes it in its block charged. */
  materialize(): void {
    const { record, cpu, state } = this;
    if (this.materialized || record === 0) return;
    this.materialized = true;
    this.savedRipLow = cpu.u32[state + R.RIP / 4];
    this.savedRipHigh = cpu.u32[state + R.RIP / 4 + 1];
    cpu.i32[state + R.BUDGET / 4] -= this.code.indexInBlock(record);
    this.setRip(this.code.startOffset(record));
  }

  private dematerialize(): void {
    const { record, cpu, state } = this;
    if (!this.materialized || record === 0) return;
    this.materialized = false;
    cpu.u32[state + R.RIP / 4] = this.savedRipLow;
    cpu.u32[state + R.RIP / 4 + 1] = this.savedRipHigh;
    cpu.i32[state + R.BUDGET / 4] += this.code.indexInBlock(record);
  }

  private currentRip(): bigint {
    const { record, cpu } = this;
    if (record === 0 || this.materialized) return cpu.rip;
    const linear = cpu.get64(R.PAGE_BASE) + BigInt(this.code.startOffset(record)) - cpu.get64(R.CODE_BASE);
    return BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, linear);
  }
}
