/** Stops of the target as a client hears of them. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { explainExit } from '../explain/explain';
import { describeExit } from '../exit-view';
import type { Session } from '../session';
import { DebugError, type Stop } from '../target';
import type { DapBreakpoints } from './breakpoints';
import { THREAD } from './request';

type Body = DebugProtocol.StoppedEvent['body'];

const HEADLINES = {
  breakpoint: 'Paused on breakpoint',
  watchpoint: 'Paused on access to memory',
  field: 'Paused on access to a field',
  step: 'Paused on step',
  'history-begin': 'Paused at the beginning of the history',
  idle: 'Paused: the guest waits for input',
  interrupted: 'Paused',
  limit: 'Paused',
} as const satisfies Record<Exclude<Stop['kind'], 'exit' | 'ended'>, string>;

function reasonOf(stop: Stop, breakpoints: DapBreakpoints): string {
  switch (stop.kind) {
    case 'breakpoint':
      return breakpoints.kindOf(stop.id) ?? 'breakpoint';
    case 'watchpoint':
    case 'field':
      return 'data breakpoint';
    case 'exit':
      return stop.id === undefined ? 'step' : 'exception';
    case 'ended':
      return 'exception';
    case 'step':
      return 'step';
    case 'history-begin':
      return 'entry';
    case 'limit':
      return 'goto';
    case 'idle':
    case 'interrupted':
      return 'pause';
  }
}

/** The exit, and why the processor left the guest. */
function explained(session: Session, stop: Extract<Stop, { kind: 'exit' }>): string {
  try {
    const { cause, qualification, broken } = explainExit(session);
    return [describeExit(stop.exit), cause, ...(qualification === undefined ? [] : [qualification]), ...broken].join('\n');
  } catch (error) {
    if (error instanceof DebugError) return describeExit(stop.exit);
    throw error;
  }
}

export function stoppedBody(session: Session, stop: Stop, breakpoints: DapBreakpoints): Body {
  const headline =
    stop.kind === 'exit' ? `Paused on VM exit ${stop.exit.reason}` : stop.kind === 'ended' ? `Paused: ${stop.explanation}` : HEADLINES[stop.kind];
  return {
    reason: reasonOf(stop, breakpoints),
    description: headline,
    text: stop.kind === 'exit' ? explained(session, stop) : stop.explanation,
    threadId: THREAD,
    allThreadsStopped: true,
    ...('id' in stop && stop.id !== undefined ? { hitBreakpointIds: [stop.id] } : {}),
  };
}
