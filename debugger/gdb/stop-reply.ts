/** Stops of the target as GDB hears of them (GDB manual, "Stop Reply Packets"), and what people must be told beside that. */
import type { Stop } from '../target';
import type { InsertedBreakpoints } from './inserted-breakpoints';

/** The only one: a guest has one processor. */
export const THREAD = 1;

const SIGINT = '02';
const SIGTRAP = '05';

export interface GdbFeatures {
  readonly swbreak: boolean;
  readonly hwbreak: boolean;
  readonly errorMessage: boolean;
}

const reply = (signal: string, reason = ''): string => `T${signal}thread:${THREAD};${reason}`;

/** What no stop reply can say goes to GDB's console. */
export function announcement(stop: Stop, inserted: InsertedBreakpoints): string | undefined {
  switch (stop.kind) {
    case 'exit':
    case 'field':
    case 'ended':
    case 'idle':
      return `${stop.explanation}\n`;
    case 'breakpoint':
    case 'watchpoint':
      return inserted.find(stop.id) === undefined ? `${stop.explanation}\n` : undefined;
    case 'step':
    case 'interrupted':
    case 'history-begin':
    case 'limit':
      return undefined;
  }
}

/** A guest that has ended is a stop too, not an exit: it can be driven backward from there. */
export function stopReply(stop: Stop | undefined, inserted: InsertedBreakpoints, features: GdbFeatures): string {
  if (stop === undefined) return reply(SIGTRAP);
  switch (stop.kind) {
    case 'breakpoint': {
      const report = inserted.find(stop.id)?.report;
      const understood = (report === 'swbreak' && features.swbreak) || (report === 'hwbreak' && features.hwbreak);
      return reply(SIGTRAP, understood ? `${report}:;` : '');
    }
    case 'watchpoint': {
      const found = inserted.find(stop.id);
      return reply(SIGTRAP, found === undefined ? '' : `${found.report}:${found.address.toString(16)};`);
    }
    case 'interrupted':
      return reply(SIGINT);
    case 'history-begin':
      return reply(SIGTRAP, 'replaylog:begin;');
    case 'ended':
      return reply(SIGTRAP, 'replaylog:end;');
    case 'exit':
    case 'field':
    case 'step':
    case 'idle':
    case 'limit':
      return reply(SIGTRAP);
  }
}
