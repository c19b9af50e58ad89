/** Newline-delimited JSON: a row a line; 64-bit values are hexadecimal strings, because JSON numbers are not exact above 2^53. */
import { hex, type ExitRow } from './exit-row';
import type { TraceOutput, TraceSink } from './sink';

export class NdjsonSink implements TraceSink {
  constructor(private readonly output: TraceOutput) {}

  write(row: ExitRow): void {
    this.output.write(`${JSON.stringify({ ...row, rip: hex(row.rip), qualification: hex(row.qualification) })}\n`);
  }
  async close(): Promise<void> {}
}

/** Reads a line of the sink back. Throws SyntaxError or TypeError with what is wrong. */
export function parseNdjsonLine(line: string): ExitRow {
  const value = JSON.parse(line) as Record<string, unknown>;
  const number = (key: string): number => {
    const v = value[key];
    if (typeof v !== 'number') throw new TypeError(`"${key}" is not a number`);
    return v;
  };
  const text = (key: string): string => {
    const v = value[key];
    if (typeof v !== 'string') throw new TypeError(`"${key}" is not a string`);
    return v;
  };
  const wide = (key: string): bigint => {
    const v = text(key);
    if (!/^0x[0-9a-f]{1,16}$/i.test(v)) throw new TypeError(`"${key}" is not a 64-bit hexadecimal number`);
    return BigInt(v);
  };
  return {
    vcpu: number('vcpu'),
    instructions: number('instructions'),
    ticks: number('ticks'),
    rip: wide('rip'),
    reason: text('reason'),
    code: number('code'),
    qualification: wide('qualification'),
    handler: text('handler'),
    outcome: text('outcome'),
    detail: value.detail === undefined ? undefined : number('detail'),
  };
}
