/** Explaining, tracing, snapshots, help. */
import { readFileSync } from 'node:fs';
import { describeExit } from '../exit-view';
import { explainEntry, explainExit } from '../explain/explain';
import { hex, plain } from '../inspector';
import { writeSnapshot } from '../snapshot/file';
import type { SymbolTable } from '../../trace/symbols';
import type { Inspector } from '../inspector';
import { kernelSymbols } from '../kallsyms';
import { symbolsOf } from '../symbols';
import { DebugError, type ExitView } from '../target';
import { canonicalName } from '../exit-names';
import { COMMAND_GROUPS, findCommand, requireNothing, words, type Command, type CommandContext, type CommandResult } from './command';

function explain({ session, inspector }: CommandContext, args: string): CommandResult {
  const what = args.trim();
  if (what === 'entry') {
    const broken = explainEntry(session);
    return { text: broken.length === 0 ? 'VM entry would succeed: no rule is broken' : broken.join('\n\n'), data: { broken } };
  }
  if (what !== '' && what !== 'exit') throw new DebugError(`explain ${what}: say explain for the last VM exit, or explain entry`);
  if (session.lastStop?.kind === 'ended' && session.lastStop.explanation.includes('VM entry failed'))
    return { text: session.lastStop.explanation, data: { entry: session.lastStop.explanation } };
  const { exit, cause, qualification, facts, broken } = explainExit(session);
  const vmFail = exit.failed?.vmFail !== undefined;
  const lines = [
    describeExit(exit) + (vmFail ? '' : inspector.near(exit.rip)),
    `  why: ${cause}`,
    ...(qualification === undefined ? [] : [`  details: ${qualification}`]),
    ...facts.map(([name, value]) => `  ${name} = ${hex(value)}`),
    ...(broken.length > 0 ? ['  broken when it was tried:', ...broken.map((rule) => rule.replace(/^/gm, '    '))] : []),
    ...(vmFail ? [] : outcome(exit)),
  ];
  return { text: lines.join('\n'), data: plain({ ...exit, cause, explanation: qualification, facts: Object.fromEntries(facts), broken }) };
}

function outcome(exit: ExitView): string[] {
  return [
    `  handler: ${exit.handler ?? 'a hypervisor inside the machine'}${exit.detail === undefined ? '' : ` (${hex(exit.detail)})`}`,
    `  outcome: ${exit.outcome ?? (exit.handler === undefined ? 'up to that hypervisor' : 'the handler has not run yet: step runs it')}`,
  ];
}

function trace({ trace: sink, session }: CommandContext, args: string): CommandResult {
  const [word, filter, ...rest] = words(args);
  if ((word !== 'on' && word !== 'off') || rest.length > 0) throw new DebugError('trace on [PART OF A REASON], or trace off');
  if (session.backend === 'bare') throw new DebugError('a bare machine has no VM exits of ours to trace');
  sink.filter = word === 'off' ? undefined : canonicalName(filter ?? '');
  return {
    text:
      word === 'off' ? 'exits are not shown' : `exits are shown as they happen${filter === undefined ? '' : `, if ${canonicalName(filter)} is in the reason`}`,
    data: { on: word === 'on', filter },
  };
}

function snapshot({ session }: CommandContext, args: string): CommandResult {
  const [path, ...rest] = words(args);
  if (rest.length > 0) throw new DebugError('snapshot [FILE]: one file name');
  const { state, position } = session.timeline.save();
  try {
    if (path !== undefined) writeSnapshot(path, state);
  } catch (error) {
    throw new DebugError(`cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
  return {
    text: path === undefined ? `kept: seek ${position.instructions} comes back here quickly` : `written to ${path}`,
    data: { instructions: position.instructions, path },
  };
}

function symbols({ inspector, session }: CommandContext, args: string): CommandResult {
  const [path, ...rest] = words(args);
  if (path === undefined || rest.length > 0)
    throw new DebugError('symbols FILE|kernel: an ELF file with a symbol table, or a System.map; or a running Linux itself');
  if (path === 'kernel') return useSymbols(inspector, kernelSymbols(session.memory, session.ramBytes));
  let file: Uint8Array;
  try {
    file = readFileSync(path);
  } catch (error) {
    throw new DebugError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  return useSymbols(inspector, symbolsOf(file, path));
}

function useSymbols(inspector: Inspector, symbols: SymbolTable): CommandResult {
  inspector.symbols = symbols;
  return { text: `${symbols.size} symbols`, data: { symbols: symbols.size } };
}

function help({ commands }: CommandContext, args: string): CommandResult {
  const [word, ...rest] = words(args);
  if (rest.length > 0) throw new DebugError('help [COMMAND]');
  if (word === undefined) {
    const lines = COMMAND_GROUPS.flatMap((group) => [
      '',
      group,
      ...commands
        .filter((c) => c.group === group)
        .map((c) => `  ${`${c.name}${c.short === undefined ? '' : ` (${c.short.join(', ')})`}`.padEnd(28)} ${c.help}`),
    ]);
    return { text: [...lines.slice(1), '', 'An empty line repeats the last motion. help COMMAND says more.'].join('\n'), data: commands.map((c) => c.name) };
  }
  const command = findCommand(commands, word);
  const { name, usage, details = [], example } = command;
  return {
    text: [`${name} ${usage}`.trimEnd(), `  ${command.help}`, ...details.map((d) => `  ${d}`), `  for example: ${example}`].join('\n'),
    data: { name, usage, help: command.help, example },
  };
}

export const SESSION_COMMANDS: readonly Command[] = [
  {
    name: 'explain',
    short: ['ex'],
    group: 'looking',
    usage: '[exit | entry]',
    help: 'the last VM exit or failed VM entry: what caused it, what it says, who handled it; or every rule that a VM entry now would break',
    example: 'explain',
    completion: ['exit', 'entry'],
    run: explain,
  },
  {
    name: 'trace',
    group: 'session',
    usage: 'on [PART OF A REASON] | off',
    help: 'show VM exits as they happen',
    example: 'trace on CPUID',
    completion: ['on', 'off'],
    run: trace,
  },
  { name: 'snapshot', group: 'session', usage: '[FILE]', help: 'keep this moment, in memory or in a file', example: 'snapshot', run: snapshot },
  {
    name: 'symbols',
    group: 'session',
    usage: 'FILE|kernel',
    help: 'read names for addresses from an ELF file, a System.map, or the kallsyms in the memory of a running Linux',
    example: 'symbols System.map',
    completion: ['kernel'],
    run: symbols,
  },
  {
    name: 'help',
    short: ['h', '?'],
    group: 'session',
    usage: '[COMMAND]',
    help: 'this list, or one command',
    example: 'help break',
    completion: 'command',
    run: help,
  },
  {
    name: 'quit',
    short: ['q'],
    group: 'session',
    usage: '',
    help: 'end the session',
    example: 'quit',
    run: (_context, args) => {
      requireNothing(args);
      return { text: '', quit: true };
    },
  },
];
