import type { ExitRow } from '../trace/exit-row';
import type { ExitRecord } from './vcpu';

/** An exit as the sinks of trace/ take it. */
export function rowOf(record: ExitRecord, vcpu = 0): ExitRow {
  const { instructions, ticks, rip, raw, exit, outcome, detail } = record;
  const { reason, code, qualification } = raw;
  return { vcpu, instructions, ticks, rip, reason, code, qualification, handler: exit.kind, outcome: outcome.kind, detail };
}
