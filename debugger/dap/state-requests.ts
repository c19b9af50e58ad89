/** Looking at a guest that stands still: its stack, its variables, values of expressions, our own commands. */
import { z } from 'zod';
import { parse } from '../commands/interpreter';
import { explainExit } from '../explain/explain';
import { hex, type Inspector } from '../inspector';
import { describeExit } from '../exit-view';
import { DebugError } from '../target';
import type { Debuggee } from './debuggee';
import { NOTHING, request, THREAD, type DapContext, type Reply, type Request } from './request';
import { framesOf, frameName } from './stack';

const count = z.int().nonnegative();

// ---- values ----

interface Evaluated {
  readonly result: string;
  readonly type?: string;
  readonly variablesReference: 0;
  readonly memoryReference?: string;
}

function value({ session, interpreter: { inspector } }: Debuggee, expression: string): Evaluated {
  const name = expression.trim().replace(/^\$/, '');
  const wide = session.registers.find((r) => r.name === name.toLowerCase() && r.bits > 64);
  if (wide !== undefined) return { result: hex(session.readRegister(name)), type: `${wide.bits} bits`, variablesReference: 0 };
  const field = session.control.fields.find((f) => f.name === name);
  const result = field === undefined ? inspector.evaluate(expression) : session.control.read(field);
  return { result: describeValue(inspector, result), variablesReference: 0, memoryReference: hex(result) };
}

const describeValue = (inspector: Inspector, number: bigint): string => `${hex(number)}  ${number}${inspector.near(number)}`;

/** Commands that may be given while the guest runs: they look at nothing that moves. */
const ANY_TIME: ReadonlySet<string> = new Set(['type', 'help', 'trace']);

/** A line is a command, or else an expression. */
async function console(context: DapContext, line: string): Promise<Reply> {
  const { debuggee } = context;
  let name: string | undefined;
  let unknown: unknown;
  try {
    name = line.trim() === '' ? undefined : parse(line.trim()).command.name;
  } catch (error) {
    if (!(error instanceof DebugError)) throw error;
    unknown = error;
  }
  if (context.running && (name === undefined || !ANY_TIME.has(name)))
    throw new DebugError('the guest is running: pause it first (type, help and trace can be given any time)');
  if (unknown !== undefined) {
    try {
      return { body: value(debuggee, line) };
    } catch (error) {
      // What is neither: the line meant a command if it begins like one.
      throw error instanceof DebugError && !/^[a-z-]+$/i.test(line.trim().split(/\s/, 1)[0]) ? error : unknown;
    }
  }
  const { text } = await context.command(line);
  return { body: { result: text, variablesReference: 0 } };
}

const MOST_COMPLETIONS = 200;

function complete({ debuggee, client }: DapContext, text: string, column: number): Reply {
  const base = client.columnsStartAt1 ? 1 : 0;
  const before = text.slice(0, Math.max(0, column - base));
  const [candidates, word] = debuggee.interpreter.complete(before);
  const start = before.length - word.length + base;
  return { body: { targets: candidates.slice(0, MOST_COMPLETIONS).map((label) => ({ label, start, length: word.length })) } };
}

/** What the last stop was about. */
function exceptionInfo({ session }: Debuggee): Reply {
  const { lastStop, lastExit } = session;
  if (lastStop === undefined) throw new DebugError('nothing has stopped the guest yet');
  if (lastStop.kind !== 'exit' || lastExit === undefined) {
    const exceptionId = lastStop.kind === 'ended' ? lastStop.because : lastStop.kind;
    return { body: { exceptionId, description: lastStop.explanation, breakMode: 'always' } };
  }
  const { exit, cause, qualification, broken } = explainExit(session);
  const details = qualification === undefined ? [] : [`details: ${qualification}`];
  const message = [describeExit(exit), `why: ${cause}`, ...details, ...broken].join('\n');
  return { body: { exceptionId: exit.reason, description: message, breakMode: 'always', details: { message: cause, typeName: `VM exit ${exit.reason}` } } };
}

export const STATE_REQUESTS: readonly Request[] = [
  request('threads', NOTHING, () => ({ body: { threads: [{ id: THREAD, name: 'vCPU 0' }] } })),

  request('stackTrace', z.looseObject({ threadId: z.int(), startFrame: count.default(0), levels: count.default(0) }), (context, { startFrame, levels }) => {
    const { session, interpreter } = context.standing;
    const frames = framesOf(session);
    context.variables.frames = frames;
    const stackFrames = frames.map(({ address }, n) => ({
      ...{ id: n + 1, name: frameName(interpreter.inspector, address), line: 0, column: 0 },
      instructionPointerReference: hex(address),
    }));
    const end = levels === 0 ? undefined : startFrame + levels;
    return { body: { stackFrames: stackFrames.slice(startFrame, end), totalFrames: frames.length } };
  }),

  request('scopes', z.looseObject({ frameId: z.int() }), (context, { frameId }) => {
    void context.standing;
    return { body: { scopes: context.variables.scopes(frameId) } };
  }),

  request('variables', z.looseObject({ variablesReference: z.int(), start: count.default(0), count: count.default(0) }), (context, args) => {
    void context.standing;
    const all = context.variables.variables(args.variablesReference);
    return { body: { variables: args.count === 0 ? all.slice(args.start) : all.slice(args.start, args.start + args.count) } };
  }),

  request('setVariable', z.looseObject({ variablesReference: z.int(), name: z.string(), value: z.string() }), (context, args) => {
    void context.standing;
    const { value: text, ...rest } = context.variables.set(args.variablesReference, args.name, args.value);
    return { body: { value: text, type: rest.type, variablesReference: 0 }, after: () => context.changed() };
  }),

  request('setExpression', z.looseObject({ expression: z.string(), value: z.string() }), (context, args) => {
    const { interpreter } = context.standing;
    // "[ADDRESS]" is the 64 bits there.
    const memory = /^\[(.*)\]$/s.exec(args.expression.trim());
    interpreter.perform(`set ${memory === null ? args.expression : `{8} ${memory[1]}`} = ${args.value}`);
    return { body: { value: value(context.standing, args.expression).result }, after: () => context.changed() };
  }),

  request('evaluate', z.looseObject({ expression: z.string(), context: z.string().optional() }), (context, args) => {
    if (args.context === 'repl') return console(context, args.expression);
    return { body: value(context.standing, args.expression) };
  }),

  request('completions', z.looseObject({ text: z.string(), column: count }), (context, { text, column }) => complete(context, text, column)),

  request('exceptionInfo', NOTHING, (context) => exceptionInfo(context.standing)),
];
