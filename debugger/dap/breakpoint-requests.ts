/** Setting what stops the guest. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { z } from 'zod';
import { parseHitCondition } from '../hit-counts';
import { hex } from '../inspector';
import { DebugError, type BreakpointOptions, type BreakpointSpec, type MemorySpace, type WatchAccess } from '../target';
import type { BreakpointKind, Wanted } from './breakpoints';
import { reasonsOf } from './exception-filters';
import { parseLogMessage } from './log-message';
import { request, type DapContext, type Reply, type Request } from './request';

const condition = z.string().optional();
/**
 * What all rows but filters may have. The protocol has log messages for breakpoints in source files only, which a guest has not: clients
 * that let their users write the request can give them here.
 */
const WHEN = { condition, hitCondition: z.string().optional(), logMessage: z.string().optional() };

interface When {
  readonly condition?: string;
  readonly hitCondition?: string;
  readonly logMessage?: string;
}

const given = (text = ''): boolean => text.trim() !== '';

/** Everything is looked at now, so that a mistake is told at once. */
function optionsOf(context: DapContext, { condition: text = '', hitCondition = '', logMessage = '' }: When): BreakpointOptions {
  const { inspector } = context.debuggee.interpreter;
  const holds = given(text) ? inspector.condition(text) : undefined;
  const message = given(logMessage) ? parseLogMessage(inspector, logMessage) : undefined;
  return {
    ...(holds && { condition: { text, holds } }),
    ...(given(hitCondition) && { hitCount: parseHitCondition(hitCondition) }),
    ...(message && { log: () => context.tell(message()) }),
  };
}

async function set(context: DapContext, kind: BreakpointKind, rows: readonly Wanted[]): Promise<Reply> {
  await context.settled();
  return { body: { breakpoints: context.breakpoints.replace(kind, rows) } };
}

// ---- memory and fields that are watched ----

const ACCESS: Readonly<Record<string, WatchAccess>> = { read: 'read', write: 'write', readWrite: 'access' };
const LARGEST = 4096;

/** Beside the address: how the client gives it back to us. */
const dataIdOf = (space: MemorySpace, address: bigint, length: number): string => `${space} ${hex(address)} ${length}`;

function specOf(dataId: string, accessType: string | undefined): BreakpointSpec {
  const access = ACCESS[accessType ?? 'write'];
  const field = /^field (\w+)$/.exec(dataId);
  if (field !== null) return { kind: 'field', field: field[1], access };
  const match = /^(virtual|guest-physical|host-physical) (0x[0-9a-f]{1,16}) (\d{1,4})$/.exec(dataId);
  if (match === null) throw new DebugError(`"${dataId}" is no data that can be watched: ask with dataBreakpointInfo`);
  return { kind: 'watch', space: match[1] as MemorySpace, address: BigInt(match[2]), length: Number(match[3]), access };
}

interface DataInfoArguments {
  readonly variablesReference?: number;
  readonly name: string;
  readonly bytes?: number;
  readonly asAddress?: boolean;
}

/** A field of the VMCS or VMCB; memory at an address, given as such or as what "[...]" or an expression says. */
function dataInfo({ standing: { session, interpreter }, variables }: DapContext, args: DataInfoArguments): object {
  const { variablesReference = 0, name, bytes = 8 } = args;
  const container = variables.containerOf(variablesReference);
  const { control } = session;
  if (container?.kind === 'area' || (container === undefined && control.fields.some((f) => f.name === name))) {
    const accessTypes = control.kind === 'VMCS' ? ['read', 'write', 'readWrite'] : ['write'];
    return { dataId: `field ${control.field(name).name}`, description: `${name} of the ${control.kind}`, accessTypes, canPersist: true };
  }
  if (container !== undefined)
    return { dataId: null, description: `${name} is no memory: what can be watched are addresses and the fields of the ${control.kind}` };
  if (bytes < 1 || bytes > LARGEST) throw new DebugError(`${bytes} bytes cannot be watched: 1 to ${LARGEST}`);
  const { space, address } = interpreter.inspector.place(/^\[(.*)\]$/s.exec(name.trim())?.[1] ?? name);
  session.readMemory(space, address, bytes);
  const where = `${bytes} bytes at ${space} ${hex(address)}${interpreter.inspector.near(address)}`;
  return { dataId: dataIdOf(space, address, bytes), description: where, accessTypes: ['read', 'write', 'readWrite'], canPersist: false };
}

export const BREAKPOINT_REQUESTS: readonly Request[] = [
  request('setBreakpoints', z.looseObject({ breakpoints: z.array(z.unknown()).default([]) }), (_, { breakpoints }) => {
    const message = 'a guest has no source files here: break at a function, in the disassembly, or at a VM exit';
    return { body: { breakpoints: breakpoints.map((): DebugProtocol.Breakpoint => ({ verified: false, message, reason: 'failed' })) } };
  }),

  request('setFunctionBreakpoints', z.looseObject({ breakpoints: z.array(z.looseObject({ name: z.string(), ...WHEN })) }), (context, { breakpoints }) => {
    const { inspector } = context.debuggee.interpreter;
    const rows = breakpoints.map(({ name, ...when }): Wanted => () => [
      { spec: { kind: 'execution', address: inspector.codeAddress(name) }, options: optionsOf(context, when) },
    ]);
    return set(context, 'function breakpoint', rows);
  }),

  request(
    'setInstructionBreakpoints',
    z.looseObject({ breakpoints: z.array(z.looseObject({ instructionReference: z.string(), offset: z.int().default(0), ...WHEN })) }),
    (context, { breakpoints }) => {
      const { inspector } = context.debuggee.interpreter;
      const rows = breakpoints.map(({ instructionReference, offset, ...when }): Wanted => () => {
        const address = BigInt.asUintN(64, inspector.evaluate(instructionReference) + BigInt(offset));
        return [{ spec: { kind: 'execution', address }, options: optionsOf(context, when) }];
      });
      return set(context, 'instruction breakpoint', rows);
    },
  ),

  request(
    'dataBreakpointInfo',
    z.looseObject({ variablesReference: z.int().optional(), name: z.string(), bytes: z.int().optional(), asAddress: z.boolean().optional() }),
    (context, args) => ({ body: dataInfo(context, args) }),
  ),

  request(
    'setDataBreakpoints',
    z.looseObject({ breakpoints: z.array(z.looseObject({ dataId: z.string(), accessType: z.enum(['read', 'write', 'readWrite']).optional(), ...WHEN })) }),
    (context, { breakpoints }) => {
      const rows = breakpoints.map(({ dataId, accessType, ...when }): Wanted => () => [
        { spec: specOf(dataId, accessType), options: optionsOf(context, when) },
      ]);
      return set(context, 'data breakpoint', rows);
    },
  ),

  request(
    'setExceptionBreakpoints',
    z.looseObject({
      filters: z.array(z.string()).default([]),
      filterOptions: z.array(z.looseObject({ filterId: z.string(), condition })).default([]),
    }),
    (context, { filters, filterOptions }) => {
      const { session, interpreter } = context.debuggee;
      const { inspector } = interpreter;
      const all = [...filters.map((filterId) => ({ filterId, condition: undefined })), ...filterOptions];
      context.breakpoints.filters = new Set(all.map(({ filterId }) => filterId));
      const rows = all.map(({ filterId, condition: text = '' }): Wanted => () => {
        const matches = given(text) ? inspector.exitCondition(text) : undefined;
        return reasonsOf(filterId, session).map((reason) => ({
          spec: { kind: 'exit', reason, ...(matches && { matches }) },
          options: matches && { condition: { text, holds: () => true } },
        }));
      });
      return set(context, 'exception', rows);
    },
  ),
];
