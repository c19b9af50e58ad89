/** Every packet that we understand, by its first characters; longer beginnings stand before shorter ones. */
import type { DebugTarget } from '../target';
import { PACKET_SIZE } from './connection';
import { bytesOf, hexOfText, parseCount } from './hex';
import type { InsertedBreakpoints } from './inserted-breakpoints';
import { readMemory, writeBinary, writeMemory } from './memory-packets';
import { readAll, readOne, writeAll, writeOne } from './register-packets';
import { isOurThread, oldResume, REVERSE, vCont, VCONT_ACTIONS, type Move } from './resume-packets';
import { THREAD, type GdbFeatures } from './stop-reply';
import { TARGET_XML } from './target-description';
import { DebugError } from '../target';

export interface PacketContext {
  readonly target: DebugTarget;
  readonly inserted: InsertedBreakpoints;
  /** Why the target stands still. */
  status(): string;
  move(move: Move): void;
  monitor(line: string): void;
  useFeatures(features: GdbFeatures): void;
  stopAcknowledging(): void;
  detach(): void;
  kill(reply?: string): void;
}

interface Packet {
  readonly begins: string;
  /** Answers the reply; '' for what we do not have, undefined when it comes later. `text` stands behind the beginning. */
  readonly run: (context: PacketContext, text: string) => string | undefined;
}

const OURS = [
  `PacketSize=${PACKET_SIZE.toString(16)}`,
  ...['QStartNoAckMode', 'qXfer:features:read', 'vContSupported', 'ReverseStep', 'ReverseContinue', 'swbreak', 'hwbreak'].map((name) => `${name}+`),
].join(';');

function agree(context: PacketContext, text: string): string {
  const theirs = new Set(text.split(';'));
  const has = (name: string): boolean => theirs.has(`${name}+`);
  context.useFeatures({ swbreak: has('swbreak'), hwbreak: has('hwbreak'), errorMessage: has('error-message') });
  return OURS;
}

/** "target.xml:OFFSET,LENGTH". */
function features(text: string): string {
  const match = /^([^:]*):([0-9a-f]+),([0-9a-f]+)$/i.exec(text);
  if (match === null) throw new DebugError('qXfer wants an annex, an offset and a length');
  if (match[1] !== 'target.xml') return 'E00';
  const [offset, length] = [parseCount(match[2]), parseCount(match[3])];
  const piece = TARGET_XML.slice(offset, offset + Math.min(length, PACKET_SIZE / 2));
  return `${offset + piece.length >= TARGET_XML.length ? 'l' : 'm'}${piece}`;
}

const done = (): string => 'OK';
const knownThread = (text: string): string => (isOurThread(text) ? 'OK' : 'E01');

function start(context: PacketContext, move: Move | 'stop'): string | undefined {
  if (move === 'stop') return context.status();
  context.move(move);
  return undefined;
}

const oldForm = (letter: string): Packet => ({ begins: letter, run: (context, text) => start(context, oldResume(context.target, letter, text)) });

/** A packet that is nothing but its name. */
const exactly = (name: string, run: (context: PacketContext) => string | undefined): Packet => ({
  begins: name,
  run: (context, text) => (text === '' ? run(context) : ''),
});

export const PACKETS: readonly Packet[] = [
  { begins: 'qSupported', run: (context, text) => agree(context, text.replace(/^:/, '')) },
  exactly('QStartNoAckMode', (context) => {
    context.stopAcknowledging();
    return 'OK';
  }),
  { begins: 'qXfer:features:read:', run: (_, text) => features(text) },
  exactly('vMustReplyEmpty', () => ''),
  exactly('?', (context) => context.status()),

  exactly('vCont?', () => VCONT_ACTIONS),
  { begins: 'vCont', run: (context, text) => start(context, vCont(context.target, text)) },
  ...Object.entries(REVERSE).map(([name, move]) => exactly(name, (context) => start(context, move(context.target)))),
  ...['c', 'C', 's', 'S'].map(oldForm),

  exactly('g', ({ target }) => readAll(target)),
  {
    begins: 'G',
    run: ({ target }, text) => {
      writeAll(target, text);
      return 'OK';
    },
  },
  { begins: 'p', run: ({ target }, text) => readOne(target, text) },
  {
    begins: 'P',
    run: ({ target }, text) => {
      const [number, value = ''] = text.split('=');
      writeOne(target, number, value);
      return 'OK';
    },
  },
  { begins: 'm', run: ({ target }, text) => readMemory(target, text) },
  {
    begins: 'M',
    run: ({ target }, text) => {
      writeMemory(target, text);
      return 'OK';
    },
  },
  {
    begins: 'X',
    run: ({ target }, text) => {
      writeBinary(target, text);
      return 'OK';
    },
  },
  { begins: 'Z', run: ({ inserted }, text) => (inserted.insert(text) ? 'OK' : '') },
  { begins: 'z', run: ({ inserted }, text) => (inserted.remove(text) ? 'OK' : '') },

  // Of threads there is one.
  { begins: 'H', run: (_, text) => knownThread(text.slice(1)) },
  { begins: 'T', run: (_, text) => knownThread(text) },
  exactly('qfThreadInfo', () => `m${THREAD}`),
  exactly('qsThreadInfo', () => 'l'),
  { begins: 'qThreadExtraInfo,', run: ({ target }, text) => (isOurThread(text) ? hexOfText(target.description) : 'E01') },
  exactly('qC', () => `QC${THREAD}`),
  // The guest was there before the debugger: leaving it is detaching.
  { begins: 'qAttached', run: () => '1' },
  exactly('qOffsets', () => 'Text=0;Data=0;Bss=0'),
  { begins: 'qSymbol:', run: done },

  {
    begins: 'qRcmd,',
    run: (context, text) => {
      context.monitor(Buffer.from(bytesOf(text)).toString('utf8'));
      return undefined;
    },
  },
  {
    begins: 'D',
    run: (context) => {
      context.detach();
      return undefined;
    },
  },
  {
    begins: 'vKill',
    run: (context) => {
      context.kill('OK');
      return undefined;
    },
  },
  exactly('k', (context) => {
    context.kill();
    return undefined;
  }),
];
