/** The beginning and the end of a session. */
import { InitializedEvent } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { z } from 'zod';
import { DebugError } from '../target';
import { EXCEPTION_FILTERS } from './exception-filters';
import { NOTHING, request, type Request } from './request';

const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true,
  supportsHitConditionalBreakpoints: true,
  supportsLogPoints: true,
  supportsInstructionBreakpoints: true,
  supportsDataBreakpoints: true,
  supportsDataBreakpointBytes: true,
  exceptionBreakpointFilters: [...EXCEPTION_FILTERS],
  supportsExceptionFilterOptions: true,
  supportsExceptionInfoRequest: true,
  supportsStepBack: true,
  supportsSteppingGranularity: true,
  supportsDisassembleRequest: true,
  supportsReadMemoryRequest: true,
  supportsWriteMemoryRequest: true,
  supportsSetVariable: true,
  supportsSetExpression: true,
  supportsEvaluateForHovers: true,
  supportsCompletionsRequest: true,
  supportsTerminateRequest: true,
  supportTerminateDebuggee: true,
};

const flag = z.boolean().default(false);

const opening = (how: 'launch' | 'attach'): Request =>
  request(how, z.looseObject({}), (context, args) => {
    context.open(how, args);
    // Breakpoints are checked against the machine: the client may give them from now on.
    return { after: () => context.send(new InitializedEvent()) };
  });

export const SESSION_REQUESTS: readonly Request[] = [
  request(
    'initialize',
    z.looseObject({ columnsStartAt1: z.boolean().default(true), supportsInvalidatedEvent: flag, supportsMemoryEvent: flag }),
    (context, { columnsStartAt1, supportsInvalidatedEvent, supportsMemoryEvent }) => {
      context.client = { columnsStartAt1, supportsInvalidatedEvent, supportsMemoryEvent };
      return { body: CAPABILITIES };
    },
  ),
  opening('launch'),
  opening('attach'),
  request('configurationDone', NOTHING, (context) => {
    void context.debuggee;
    return { after: () => context.begin() };
  }),
  request('terminate', NOTHING, (context) => ({ after: () => context.end(false) })),
  request('disconnect', NOTHING, (context) => ({ after: () => context.end(true) })),
  request('cancel', NOTHING, () => {
    throw new DebugError('requests are not cancelled: pause stops a motion');
  }),
];
