import type { Stateful } from '../../memory/stateful';

/** 256 bits, one a vector, with the highest set vector at hand: IRR, ISR and TMR. Vectors 0 to 15 do not exist, so 0 means "none". */
export class VectorSet implements Stateful<readonly number[]> {
  private readonly words = new Uint32Array(8);
  /** Highest set vector, 0 when the set is empty. */
  highest = 0;

  has(vector: number): boolean {
    return ((this.words[vector >>> 5] >>> (vector & 31)) & 1) !== 0;
  }

  set(vector: number): void {
    this.words[vector >>> 5] |= 1 << (vector & 31);
    if (vector > this.highest) this.highest = vector;
  }

  clear(vector: number): void {
    this.words[vector >>> 5] &= ~(1 << (vector & 31));
    if (vector === this.highest) this.highest = this.scan(vector >>> 5);
  }

  clearAll(): void {
    this.words.fill(0);
    this.highest = 0;
  }

  /** The 32 vectors from 32 * `index`, as one of the eight registers shows them. */
  word(index: number): number {
    return this.words[index];
  }

  saveState(): number[] {
    return [...this.words];
  }

  restoreState(words: readonly number[]): void {
    this.words.set(words);
    this.highest = this.scan(7);
  }

  private scan(from: number): number {
    for (let i = from; i >= 0; i--) if (this.words[i] !== 0) return i * 32 + 31 - Math.clz32(this.words[i]);
    return 0;
  }
}
