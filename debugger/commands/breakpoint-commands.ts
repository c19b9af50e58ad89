/** Setting, listing and removing what stops the guest. */
import { requireNothing, splitCondition, words, type Command, type CommandContext, type CommandResult } from './command';
import { DebugError, type Breakpoint, type BreakpointOptions, type BreakpointSpec, type WatchAccess } from '../target';

function set({ session, inspector }: CommandContext, spec: BreakpointSpec, options: BreakpointOptions): CommandResult {
  const breakpoint = session.addBreakpoint(spec, options);
  return { text: inspector.describeBreakpoint(breakpoint), data: inspector.breakpointData(breakpoint) };
}

/** A condition over registers, symbols and memory, asked when the target stands there. */
function optionsOf({ inspector }: CommandContext, condition: string | undefined, temporary: boolean): BreakpointOptions {
  if (condition === undefined) return { temporary };
  return { temporary, condition: { text: condition, holds: inspector.condition(condition) } };
}

function breakAt(context: CommandContext, args: string, temporary: boolean): CommandResult {
  const { what, condition } = splitCondition(args);
  const address = what === '' ? context.session.processor.linearRip : context.inspector.codeAddress(what);
  return set(context, { kind: 'execution', address }, optionsOf(context, condition, temporary));
}

function breakExit(context: CommandContext, args: string): CommandResult {
  const { what, condition } = splitCondition(args);
  const [reason, ...rest] = words(what);
  if (rest.length > 0) throw new DebugError(`"${rest.join(' ')}" was not expected: break-exit REASON [if EXPRESSION]`);
  if (condition === undefined) return set(context, { kind: 'exit', reason }, {});
  const matches = context.inspector.exitCondition(condition);
  return set(context, { kind: 'exit', reason, matches }, { condition: { text: condition, holds: () => true } });
}

function breakField(context: CommandContext, args: string, access: WatchAccess): CommandResult {
  const [field, ...rest] = words(args);
  if (field === undefined || rest.length > 0) throw new DebugError('give one field of the VMCS or VMCB, such as GUEST_RIP');
  return set(context, { kind: 'field', field, access }, {});
}

function watch(context: CommandContext, args: string, access: WatchAccess): CommandResult {
  const { what, condition } = splitCondition(args);
  return set(context, context.inspector.watchTarget(what, access, 8), optionsOf(context, condition, false));
}

function eachNumbered({ session }: CommandContext, args: string, act: (b: Breakpoint) => void): CommandResult {
  const all = [...session.breakpoints];
  const chosen = words(args).map((word) => {
    const found = all.find((b) => String(b.id) === word);
    if (found === undefined) throw new DebugError(`there is no breakpoint ${word}`);
    return found;
  });
  const list = chosen.length > 0 ? chosen : all;
  for (const b of list) act(b);
  return { text: list.length === 0 ? 'there are no breakpoints' : '', data: { breakpoints: list.map((b) => b.id) } };
}

const WATCH_DETAILS = ['ADDRESS is virtual, and watched where it is mapped now; *ADDRESS is guest-physical. The length is 8 bytes unless given, at most 4096.'];

export const BREAKPOINT_COMMANDS: readonly Command[] = [
  {
    name: 'break',
    short: ['b', 'br'],
    group: 'breakpoints',
    usage: '[ADDRESS] [if EXPRESSION]',
    help: 'stop before the instruction at an address or symbol (here, if none is given)',
    details: ['ADDRESS is virtual; *ADDRESS is the same address, as in GDB; [ADDRESS] is the address that is in memory there.'],
    example: 'break 0x100000 if rax != 0',
    completion: 'symbol',
    run: (context, args) => breakAt(context, args, false),
  },
  {
    name: 'tbreak',
    short: ['tb'],
    group: 'breakpoints',
    usage: '[ADDRESS] [if EXPRESSION]',
    help: 'the same, once',
    example: 'tbreak 0x100000',
    completion: 'symbol',
    run: (context, args) => breakAt(context, args, true),
  },
  {
    name: 'break-exit',
    short: ['bx', 'be'],
    group: 'breakpoints',
    usage: '[REASON] [if EXPRESSION]',
    help: 'stop at VM exits, all or those of one reason, before the handler; or at VM entries that fail',
    details: [
      "REASON is the manual's name (EPT_VIOLATION, NPF) or the handler's (nested-page-fault), in any case.",
      'entry-failure: VM entries that fail; on a bare machine those that end in VMfail too, which are no exits.',
      'The expression knows the registers and: qualification code number instructions, and what the exit carries: port size input gpa linear register vector write ...',
    ],
    example: 'break-exit cpuid if rip > 0x1000',
    completion: 'exit',
    run: breakExit,
  },
  {
    name: 'break-vmread',
    group: 'breakpoints',
    usage: 'FIELD',
    help: 'stop when a hypervisor reads a field of the VMCS',
    example: 'break-vmread EXIT_REASON',
    completion: 'field',
    run: (context, args) => breakField(context, args, 'read'),
  },
  {
    name: 'break-vmwrite',
    group: 'breakpoints',
    usage: 'FIELD',
    help: 'stop when a hypervisor writes a field of the VMCS, or when a field of the VMCB changes',
    example: 'break-vmwrite GUEST_RIP',
    completion: 'field',
    run: (context, args) => breakField(context, args, 'write'),
  },
  ...(
    [
      ['watch', 'wa', 'write', 'writes'],
      ['rwatch', 'rw', 'read', 'reads'],
      ['awatch', 'aw', 'access', 'reads or writes'],
    ] as const
  ).map(([name, short, access, verb]): Command => ({
    name,
    short: [short],
    group: 'breakpoints',
    usage: 'ADDRESS [length] [if EXPRESSION] | *PHYSICAL [length] [if EXPRESSION]',
    help: `stop after an instruction that ${verb} memory`,
    details: WATCH_DETAILS,
    example: `${name} rsp 8`,
    completion: 'place',
    run: (context, args) => watch(context, args, access),
  })),
  {
    name: 'delete',
    short: ['d', 'del'],
    group: 'breakpoints',
    usage: '[NUMBER ...]',
    help: 'remove breakpoints, all of them if no number is given',
    example: 'delete',
    run: (context, args) => eachNumbered(context, args, (b) => context.session.removeBreakpoint(b.id)),
  },
  {
    name: 'disable',
    group: 'breakpoints',
    usage: '[NUMBER ...]',
    help: 'keep breakpoints, and pass over them',
    example: 'disable',
    run: (context, args) => eachNumbered(context, args, (b) => context.session.enableBreakpoint(b.id, false)),
  },
  {
    name: 'enable',
    group: 'breakpoints',
    usage: '[NUMBER ...]',
    help: 'take disabled breakpoints into use again',
    example: 'enable',
    run: (context, args) => eachNumbered(context, args, (b) => context.session.enableBreakpoint(b.id, true)),
  },
  {
    name: 'breakpoints',
    short: ['bl'],
    group: 'breakpoints',
    usage: '',
    help: 'list what stops the guest',
    example: 'breakpoints',
    run: ({ session, inspector }, args) => {
      requireNothing(args);
      return inspector.breakpoints(session.breakpoints);
    },
  },
];
