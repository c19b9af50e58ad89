/** Running, stepping, and going back. */
import { stepOut } from '../step-out';
import { DebugError, type Motion } from '../target';
import { countOf, requireNothing, words, type Command, type CommandContext, type CommandGroup, type CommandWork } from './command';

/** Makes a motion, and says where it ended. */
function* move({ inspector }: CommandContext, motion: Motion): CommandWork {
  const stop = yield* motion;
  return { text: inspector.describeStop(stop), data: inspector.stopData(stop), stop };
}

type Begin = (context: CommandContext, args: string) => Motion;
type Row = Omit<Command, 'group' | 'run'>;

const rows =
  (group: CommandGroup) =>
  (row: Row, begin: Begin): Command => ({ ...row, group, run: (context, args) => move(context, begin(context, args)) });
const forward = rows('running');
const backward = rows('running backward');

/** Stops by breakpoints are passed over until the count-th. */
function* goOn(context: CommandContext, args: string): CommandWork {
  const { session } = context;
  for (let left = countOf(args); left > 1; left--) {
    const stop = yield* session.resume();
    if (!('id' in stop)) return { text: context.inspector.describeStop(stop), data: context.inspector.stopData(stop), stop };
  }
  return yield* move(context, session.resume());
}

/** To the last change of something, with a breakpoint that is there for this search only. */
function* lastWrite(context: CommandContext, args: string): CommandWork {
  const { session, inspector } = context;
  const spec = inspector.watchTarget(args, 'write', 1);
  const others = session.breakpoints.filter((b) => b.enabled);
  for (const { id } of others) session.enableBreakpoint(id, false);
  const { id } = session.addBreakpoint(spec);
  try {
    const result = yield* move(context, session.reverseResume());
    return result.stop?.kind === 'history-begin' ? { ...result, text: `nobody wrote it since the history began; ${result.text}` } : result;
  } finally {
    session.removeBreakpoint(id);
    for (const other of others) session.enableBreakpoint(other.id, true);
  }
}

export const MOTION_COMMANDS: readonly Command[] = [
  forward({ name: 'run', short: ['r'], usage: '', help: 'start the guest, or go on', example: 'run' }, ({ session }, args) => {
    requireNothing(args);
    return session.resume();
  }),
  {
    ...{ name: 'continue', short: ['c'], group: 'running', usage: '[count]', help: 'go on until something stops the guest (Ctrl-C does), or so many times' },
    ...{ example: 'continue 1000', repeats: true },
    run: goOn,
  },
  forward(
    {
      name: 'step',
      short: ['s'],
      usage: '[count]',
      help: 'execute one instruction, or count of them, calls and handlers included',
      example: 'step 10',
      repeats: true,
    },
    ({ session }, args) => session.step(countOf(args)),
  ),
  forward({ name: 'stepi', short: ['si'], usage: '[count]', help: 'the same as step', example: 'stepi', repeats: true }, ({ session }, args) =>
    session.step(countOf(args)),
  ),
  forward(
    { name: 'next', short: ['n', 'ni', 'nexti'], usage: '', help: 'step, with a call or a repeated string instruction as one', example: 'next', repeats: true },
    ({ session }, args) => {
      requireNothing(args);
      return session.next();
    },
  ),
  forward(
    { name: 'finish', short: ['fin'], usage: '', help: 'run until the function that the guest is in has returned', example: 'finish', repeats: true },
    ({ session }, args) => {
      requireNothing(args);
      return stepOut(session);
    },
  ),
  forward(
    {
      name: 'exit',
      short: ['e'],
      usage: '[count]',
      help: 'run to the next VM exit, or the count-th, before its handler',
      example: 'exit 1000',
      repeats: true,
    },
    ({ session }, args) => session.stepExit(countOf(args)),
  ),
  backward(
    {
      name: 'reverse-continue',
      short: ['rc'],
      usage: '',
      help: 'back to the last breakpoint, watchpoint or exit match before here',
      example: 'reverse-continue',
      repeats: true,
    },
    ({ session }, args) => {
      requireNothing(args);
      return session.reverseResume();
    },
  ),
  backward(
    { name: 'reverse-step', short: ['rs'], usage: '[count]', help: 'undo one instruction, or count of them', example: 'reverse-step 10', repeats: true },
    ({ session }, args) => session.reverseStep(countOf(args)),
  ),
  backward(
    { name: 'reverse-stepi', short: ['rsi'], usage: '[count]', help: 'the same as reverse-step', example: 'reverse-stepi', repeats: true },
    ({ session }, args) => session.reverseStep(countOf(args)),
  ),
  backward(
    { name: 'reverse-next', short: ['rn', 'rni'], usage: '', help: 'undo one instruction, with a whole call as one', example: 'reverse-next', repeats: true },
    ({ session }, args) => {
      requireNothing(args);
      return session.reverseNext();
    },
  ),
  backward(
    {
      name: 'reverse-exit',
      short: ['re'],
      usage: '[count]',
      help: 'back to the VM exit before, or the count-th before',
      example: 'reverse-exit',
      repeats: true,
    },
    ({ session }, args) => session.reverseExit(countOf(args)),
  ),
  {
    name: 'last-write',
    short: ['lw'],
    group: 'running backward',
    usage: 'ADDRESS [length] | FIELD | *PHYSICAL [length]',
    help: 'back to who last wrote this memory, or this field of the VMCS or VMCB',
    details: ['ADDRESS is virtual; *ADDRESS is guest-physical. The target stands before the instruction, or at the exit whose handler wrote.'],
    example: 'last-write rsp 8',
    completion: 'place',
    run: lastWrite,
  },
  backward(
    { name: 'seek', usage: 'INSTRUCTION', help: 'to the moment at which so many instructions have retired, backward or forward', example: 'seek 1000' },
    ({ session }, args) => {
      const [text, ...rest] = words(args);
      const number = Number((text ?? '').replaceAll(/[_,]/g, ''));
      if (text === undefined || rest.length > 0 || !Number.isSafeInteger(number) || number < 0)
        throw new DebugError(`"${args.trim()}" is no number of instructions: seek 1000000`);
      return session.seek(number);
    },
  ),
];
