/** `info` and its topics: a table inside the table. */
import { bareKinds, bareReasons } from '../exit-kinds';
import { EXIT_KINDS, exitNames } from '../exit-names';
import { extensionOf } from '../exit-view';
import { hex, plain } from '../inspector';
import { cachedTranslations, REGISTER_GROUPS, registers, renderFields, renderInterrupts, renderRegisters } from '../listings';
import { DebugError } from '../target';
import { devices } from './devices-topic';
import { words, type Command, type CommandContext, type CommandResult } from './command';

interface Topic {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  /** Words that may follow; any number if absent. */
  readonly most?: number;
  readonly run: (context: CommandContext, args: readonly string[]) => CommandResult;
}

const TLB_LINES = 64;

function controlStructure({ session: { control } }: CommandContext, kind: 'VMCS' | 'VMCB', filter: readonly string[]): CommandResult {
  if (control.kind !== kind) throw new DebugError(`this processor has no ${kind}: info ${control.kind.toLowerCase()}`);
  const { address } = control;
  const wanted = filter.map((word) => word.toUpperCase().replace(/-/g, '_'));
  const fields = control.fields.filter((f) => wanted.length === 0 || wanted.some((w) => f.name.includes(w) || f.area.toUpperCase().includes(w)));
  if (fields.length === 0) throw new DebugError(`no field of the ${kind} has "${filter.join(' ')}" in its name`);
  const rows = fields.map((f) => [f, control.read(f)] as const);
  const note = kind === 'VMCS' ? '; the guest-state area is as the last VM exit left it' : '';
  return {
    text: `${kind} at host-physical ${hex(address)}${note}\n${renderFields(rows)}`,
    data: { address: hex(address), fields: Object.fromEntries(rows.map(([f, value]) => [f.name, hex(value)])) },
  };
}

/** Names that break-exit knows on this machine. */
export function exitNamesOf({ timeline }: CommandContext['session']): { readonly names: readonly string[]; readonly handlers: readonly string[] } {
  const extension = extensionOf(timeline);
  if (timeline.guest.vm === undefined) return { names: bareReasons(extension), handlers: bareKinds(extension) };
  return { names: exitNames(extension), handlers: EXIT_KINDS };
}

function exits({ session }: CommandContext, args: readonly string[]): CommandResult {
  if (args[0] === 'names') {
    const { names, handlers } = exitNamesOf(session);
    return { text: `${names.join(' ')}\nor by handler: ${handlers.join(' ')}`, data: { names, handlers } };
  }
  if (args.length > 0) throw new DebugError(`"${args[0]}" was not expected: info exits, or info exits names`);
  const { guest } = session.timeline;
  const rows = session.timeline.exitRows(3);
  const lines = rows.map(({ reason, count, details }) => {
    const most = details.map((d) => `${hex(d.detail)} (${d.count})`).join(', ');
    return `${String(count).padStart(10)}  ${reason.padEnd(26)} ${most}`.trimEnd();
  });
  const total = guest.vm === undefined ? session.timeline.exits : rows.reduce((sum, r) => sum + r.count, 0);
  return {
    text: [...lines, `${String(total).padStart(10)}  in ${guest.instructions} instructions`].join('\n'),
    data: { total, instructions: guest.instructions, rows },
  };
}

function tlb({ session, inspector }: CommandContext, args: readonly string[]): CommandResult {
  const all = cachedTranslations(session);
  const page = args.length === 0 ? undefined : inspector.evaluate(args.join(' ')) & ~0xfffn;
  const shown = page === undefined ? all : all.filter((t) => t.linear === page);
  const lines = shown.slice(0, TLB_LINES).map((t) => `context ${t.context}: ${hex(t.linear)} -> host-physical ${hex(t.physical)}${t.write ? ' writable' : ''}`);
  const rest = shown.length > TLB_LINES ? [`and ${shown.length - TLB_LINES} more: info tlb ADDRESS`] : [];
  return { text: [...lines, ...rest, `${all.length} translations are cached for data`].join('\n'), data: plain(shown) };
}

function history({ session }: CommandContext): CommandResult {
  const { begin, end } = session.history;
  const { all, bytes } = session.timeline.checkpoints;
  const text = `at instruction ${session.position.instructions}, between ${begin.instructions} and ${end.instructions}; ${all.length} snapshots hold ${(bytes / 2 ** 20).toFixed(1)} MiB beside the first`;
  return { text, data: { begin, end, position: session.position, snapshots: all.map((c) => c.position.instructions), bytes } };
}

const TOPICS: readonly Topic[] = [
  {
    name: 'registers',
    usage: `[NAME ... | ${REGISTER_GROUPS.join(' | ')}]`,
    help: 'general, segment and control registers, or those asked for',
    run: ({ session }, args) => {
      const rows = registers(session, args);
      return { text: renderRegisters(rows), data: Object.fromEntries(rows.map(([name, value]) => [name, hex(value)])) };
    },
  },
  { name: 'vmcs', usage: '[PART OF NAME ...]', help: 'the current VMCS', run: (context, args) => controlStructure(context, 'VMCS', args) },
  { name: 'vmcb', usage: '[PART OF NAME ...]', help: 'the VMCB of the last VMRUN', run: (context, args) => controlStructure(context, 'VMCB', args) },
  { name: 'exits', usage: '[names]', help: 'VM exits so far by reason; or the names that break-exit knows', most: 1, run: exits },
  { name: 'devices', usage: '[NAME]', help: 'the devices, or the state of one', most: 1, run: devices },
  {
    name: 'irq',
    usage: '',
    help: 'interrupt controllers: what is requested, in service, masked',
    most: 0,
    run: ({ session }) => {
      const { lapic, ioapic, pic } = session.timeline.guest.platform;
      return { text: renderInterrupts(session), data: plain({ lapic: lapic.saveState(), ioapic: ioapic.saveState(), pic: pic.saveState() }) };
    },
  },
  { name: 'tlb', usage: '[ADDRESS]', help: 'translations that the processor has cached', run: tlb },
  { name: 'breakpoints', usage: '', help: 'what stops the guest', most: 0, run: ({ session, inspector }) => inspector.breakpoints(session.breakpoints) },
  { name: 'history', usage: '', help: 'how far back and forward the history reaches', most: 0, run: history },
];

export const INFO_TOPICS: readonly string[] = TOPICS.map((t) => t.name);

export const INFO_COMMANDS: readonly Command[] = [
  {
    name: 'info',
    short: ['i'],
    group: 'looking',
    usage: 'TOPIC [...]',
    help: `show ${INFO_TOPICS.join(', ')}`,
    details: TOPICS.map((t) => `info ${t.name} ${t.usage}`.trimEnd().padEnd(24) + `  ${t.help}`),
    example: 'info registers',
    completion: INFO_TOPICS,
    run: (context, args) => {
      const [word = '', ...rest] = words(args);
      const found = TOPICS.filter((t) => t.name.startsWith(word.toLowerCase()));
      const topic = found.find((t) => t.name === word.toLowerCase()) ?? (found.length === 1 && word !== '' ? found[0] : undefined);
      if (topic === undefined) throw new DebugError(`info ${word}: say one of ${INFO_TOPICS.join(', ')}`);
      const unexpected = rest.slice(topic.most ?? rest.length).join(' ');
      if (unexpected !== '') throw new DebugError(`"${unexpected}" was not expected: info ${topic.name} ${topic.usage}`.trimEnd());
      return topic.run(context, rest);
    },
  },
];
