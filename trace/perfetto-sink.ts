/**
 * The trace event format that ui.perfetto.dev and chrome://tracing open: a track a vCPU. Exits take no virtual time, so a slice is the
 * stretch of guest execution that an exit ended, named after it; its arguments tell the exit.
 */
import { hex, type ExitRow } from './exit-row';
import type { TraceOutput, TraceSink } from './sink';

const PROCESS = 1;
/** Trace events count microseconds; ticks are nanoseconds. */
const microseconds = (ticks: number): number => ticks / 1000;

export class PerfettoSink implements TraceSink {
  private first = true;
  /** Tick of the last entry, by vCPU. */
  private readonly entered = new Map<number, number>();

  constructor(private readonly output: TraceOutput) {
    output.write('{"displayTimeUnit":"ns","traceEvents":[');
    this.event({ ph: 'M', name: 'process_name', pid: PROCESS, args: { name: 'vmexit guest' } });
  }

  write(row: ExitRow): void {
    if (!this.entered.has(row.vcpu)) this.event({ ph: 'M', name: 'thread_name', pid: PROCESS, tid: row.vcpu, args: { name: `vCPU ${row.vcpu}` } });
    const start = this.entered.get(row.vcpu) ?? 0;
    this.entered.set(row.vcpu, row.ticks);
    this.event({
      ph: 'X',
      name: row.reason,
      cat: row.handler,
      pid: PROCESS,
      tid: row.vcpu,
      ts: microseconds(start),
      dur: microseconds(row.ticks - start),
      args: {
        rip: hex(row.rip),
        qualification: hex(row.qualification),
        instructions: row.instructions,
        handler: row.handler,
        outcome: row.outcome,
        ...(row.detail === undefined ? {} : { detail: hex(row.detail) }),
      },
    });
  }

  private event(event: object): void {
    this.output.write(`${this.first ? '' : ','}\n${JSON.stringify(event)}`);
    this.first = false;
  }

  async close(): Promise<void> {
    this.output.write('\n]}\n');
  }
}
