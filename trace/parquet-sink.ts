/** Apache Parquet, for data frames. Columns are those of ExitRow; unsigned 64-bit values are stored as INT64 with the same bits. */
import type { ExitRow } from './exit-row';
import type { TraceOutput, TraceSink } from './sink';

const GROWTH = 2;

/** Rows as columns, in typed arrays that grow. */
export class ParquetSink implements TraceSink {
  private count = 0;
  private instructions = new BigInt64Array(1024);
  private ticks = new BigInt64Array(1024);
  private rip = new BigInt64Array(1024);
  private qualification = new BigInt64Array(1024);
  private readonly vcpu: number[] = [];
  private readonly code: number[] = [];
  private readonly reason: string[] = [];
  private readonly handler: string[] = [];
  private readonly outcome: string[] = [];
  private readonly detail: (bigint | null)[] = [];

  constructor(private readonly output: TraceOutput) {}

  write(row: ExitRow): void {
    const n = this.count++;
    if (n === this.rip.length) this.grow();
    this.instructions[n] = BigInt(row.instructions);
    this.ticks[n] = BigInt(row.ticks);
    this.rip[n] = BigInt.asIntN(64, row.rip);
    this.qualification[n] = BigInt.asIntN(64, row.qualification);
    this.vcpu.push(row.vcpu);
    this.code.push(row.code);
    this.reason.push(row.reason);
    this.handler.push(row.handler);
    this.outcome.push(row.outcome);
    this.detail.push(row.detail === undefined ? null : BigInt(row.detail));
  }

  private grow(): void {
    const bigger = (a: BigInt64Array<ArrayBuffer>): BigInt64Array<ArrayBuffer> => {
      const b = new BigInt64Array(a.length * GROWTH);
      b.set(a);
      return b;
    };
    this.instructions = bigger(this.instructions);
    this.ticks = bigger(this.ticks);
    this.rip = bigger(this.rip);
    this.qualification = bigger(this.qualification);
  }

  async close(): Promise<void> {
    // An ES module: loaded where it is needed, and only then.
    const { parquetWriteBuffer } = await import('hyparquet-writer');
    const n = this.count;
    const wide = (name: string, data: BigInt64Array): object => ({ name, data: data.subarray(0, n), type: 'INT64' });
    const columns = [
      { name: 'vcpu', data: this.vcpu, type: 'INT32' },
      wide('instructions', this.instructions),
      wide('ticks', this.ticks),
      wide('rip', this.rip),
      { name: 'reason', data: this.reason, type: 'STRING' },
      { name: 'code', data: this.code, type: 'INT32' },
      wide('qualification', this.qualification),
      { name: 'handler', data: this.handler, type: 'STRING' },
      { name: 'outcome', data: this.outcome, type: 'STRING' },
      { name: 'detail', data: this.detail, type: 'INT64', nullable: true },
    ];
    this.output.write(new Uint8Array(parquetWriteBuffer({ columnData: columns as Parameters<typeof parquetWriteBuffer>[0]['columnData'] })));
  }
}
