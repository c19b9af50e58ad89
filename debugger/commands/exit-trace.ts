/** VM exits as `trace on` shows them. */
import type { ExitRecord } from '../../hypervisor/vcpu';
import { describeExit } from '../exit-view';
import { plain } from '../inspector';
import type { Interpreter } from './interpreter';

/** undefined: nobody wants to see this one. */
export function tracedExit({ trace, inspector, session }: Interpreter, record: ExitRecord): { readonly text: string; readonly data: unknown } | undefined {
  const { instructions, ticks, rip, raw, exit, outcome, detail } = record;
  if (trace.filter === undefined || !raw.reason.includes(trace.filter)) return undefined;
  const view = { ...raw, number: session.position.exits, instructions, ticks, rip, handler: exit.kind, outcome: outcome.kind, detail };
  return { text: `${describeExit(view)}${inspector.near(rip)} -> ${outcome.kind}`, data: plain(view) };
}
