/** Tables for people: registers, control structures, walks, devices, interrupt controllers, what the processor has cached. */
import { TLB_ENTRY } from '../cpu/layout';
import type { PicPairState } from '../devices/pic8259';
import type { IoApicState } from '../devices/ioapic';
import type { LocalApicState } from '../cpu/apic/local-apic-options';
import type { ControlField } from './control-structure';
import { hex } from './inspector';
import { referencesOf, type Walk, type WalkEntry } from './paging';
import { registerNamed } from './registers';
import type { Session } from './session';
import type { RegisterGroup } from './target';

const FLAGS = ['CF', '', 'PF', '', 'AF', '', 'ZF', 'SF', 'TF', 'IF', 'DF', 'OF', '', '', 'NT', '', 'RF', 'VM', 'AC', 'VIF', 'VIP', 'ID'] as const;

const padded = (value: bigint, bits: number): string => `0x${value.toString(16).padStart(bits / 4, '0')}`;

/** "IF ZF IOPL=0" */
export function flagNames(rflags: bigint): string {
  const set = FLAGS.filter((name, n) => name !== '' && ((rflags >> BigInt(n)) & 1n) === 1n).reverse();
  return [...set, `IOPL=${(rflags >> 12n) & 3n}`].join(' ');
}

// ---- registers ----

const GROUPS: Readonly<Record<string, readonly RegisterGroup[]>> = {
  '': ['general', 'segment', 'control'],
  general: ['general'],
  segment: ['segment'],
  segments: ['segment'],
  control: ['control'],
  debug: ['debug'],
  system: ['system'],
  fpu: ['fpu'],
  sse: ['sse'],
  all: ['general', 'segment', 'control', 'debug', 'system', 'fpu', 'sse'],
};
export const REGISTER_GROUPS = Object.keys(GROUPS).filter((name) => name !== '');

/** By name or group. Throws DebugError for neither. */
export function registers(session: Session, which: readonly string[]): (readonly [name: string, value: bigint, bits: number])[] {
  const names = (which.length === 0 ? [''] : which).flatMap((word) =>
    Object.hasOwn(GROUPS, word) ? session.registers.filter((r) => GROUPS[word].includes(r.group)).map((r) => r.name) : [registerNamed(word).name],
  );
  return names.map((name) => [name, session.readRegister(name), registerNamed(name).bits] as const);
}

const GENERAL_COLUMNS = 4;

export function renderRegisters(rows: readonly (readonly [name: string, value: bigint, bits: number])[]): string {
  const segments = new Map<string, string[]>();
  const lines: string[] = [];
  let row: string[] = [];
  const flush = (): void => {
    if (row.length > 0) lines.push(row.join('  '));
    row = [];
  };
  for (const [name, value, bits] of rows) {
    const [segment, part] = name.split('.');
    const inSegment = part !== undefined ? segments.get(segment) : undefined;
    if (inSegment !== undefined) {
      inSegment.push(`${part} ${padded(value, bits)}`);
      continue;
    }
    if (bits === 16 && /^([c-gs]s|ldtr|tr)$/.test(name)) {
      segments.set(name, [`${name.padEnd(4)} ${padded(value, bits)}`]);
      continue;
    }
    if (name === 'rflags') {
      flush();
      lines.push(`rflags ${padded(value, 32)}  [${flagNames(value)}]`);
      continue;
    }
    row.push(`${name.padStart(4)} ${padded(value, bits)}`);
    if (row.length === (bits > 64 ? 2 : GENERAL_COLUMNS)) flush();
  }
  flush();
  return [...lines, ...[...segments.values()].map((parts) => parts.join('  '))].join('\n');
}

// ---- VMCS and VMCB ----

export function renderFields(rows: readonly (readonly [ControlField, bigint])[]): string {
  const lines: string[] = [];
  let area = '';
  const width = Math.max(...rows.map(([f]) => f.name.length));
  for (const [field, value] of rows) {
    if (field.area !== area) lines.push(`${lines.length > 0 ? '\n' : ''}${(area = field.area)}`);
    lines.push(`  ${field.name.padEnd(width)}  ${padded(value, field.bits)}`);
  }
  return lines.join('\n');
}

// ---- walks ----

const GUEST_BITS = [
  [0, 'P'],
  [1, 'W'],
  [2, 'U'],
  [3, 'PWT'],
  [4, 'PCD'],
  [5, 'A'],
  [6, 'D'],
  [8, 'G'],
] as const;
const EPT_MEMORY_TYPES = ['UC', 'WC', '2?', '3?', 'WT', 'WP', 'WB', '7?'] as const;

function entryBits({ name, value, pageSize }: WalkEntry): string {
  if (name.startsWith('EPT')) {
    const rights = ['R', 'W', 'X'].map((letter, n) => (((value >> BigInt(n)) & 1n) === 1n ? letter : '-')).join('');
    const type = pageSize === undefined ? '' : ` ${EPT_MEMORY_TYPES[Number((value >> 3n) & 7n)]}`;
    const flags = `${((value >> 8n) & 1n) === 1n ? ' A' : ''}${((value >> 9n) & 1n) === 1n ? ' D' : ''}`;
    return `${rights}${type}${flags}`;
  }
  const names = GUEST_BITS.flatMap(([n, letter]) => (((value >> BigInt(n)) & 1n) === 1n && (n < 6 || pageSize !== undefined) ? [letter] : []));
  return [...names, ...(value >> 63n === 1n ? ['XD'] : [])].join(' ') || 'not present';
}

const sizeName = (bytes: number): string =>
  bytes >= 1 << 30 ? `${bytes / (1 << 30)} GB` : bytes >= 1 << 20 ? `${bytes / (1 << 20)} MB` : `${bytes / 1024} KB`;

function renderEntry(entry: WalkEntry, space: string): string {
  const page = entry.pageSize === undefined ? '' : ` -> ${sizeName(entry.pageSize)} page`;
  return `${entry.name}[${entry.index}] at ${space}${hex(entry.address)} = ${padded(entry.value, 64)}  ${entryBits(entry)}${page}`;
}

/** Guest entries on the left, and beside each how the second dimension leads to it. */
export function renderWalk(walk: Walk): string {
  const nested = walk.nested !== undefined || walk.entries.some((e) => e.nested !== undefined);
  const lines = [`${walk.kind === 'none' ? 'no paging' : `${walk.kind} paging`}, ${hex(walk.address)}`];
  const side = (inner: Walk | undefined, indent: string): void => {
    for (const entry of inner?.entries ?? []) lines.push(`${indent}| ${renderEntry(entry, 'host-physical ')}`);
    if (inner?.result !== undefined) lines.push(`${indent}= host-physical ${hex(inner.result)}`);
  };
  for (const entry of walk.entries) {
    lines.push(`  ${renderEntry(entry, nested ? 'guest-physical ' : '')}`);
    side(entry.nested, '      ');
  }
  if (walk.result !== undefined) {
    lines.push(`  ${nested ? 'guest-physical' : 'physical'} ${hex(walk.result)}`);
    side(walk.nested, '      ');
  }
  if (walk.problem !== undefined) lines.push(`  ${walk.problem}`);
  lines.push(`${referencesOf(walk)} memory references with nothing cached`);
  return lines.join('\n');
}

/** For JSON. */
export function walkData(walk: Walk): unknown {
  const { kind, address, entries, result, problem, nested } = walk;
  const inner = entries.map(({ nested: way, ...entry }) => ({ ...entry, nested: way && walkData(way) }));
  return { kind, address, entries: inner, result, problem, nested: nested && walkData(nested), references: referencesOf(walk) };
}

// ---- interrupts ----

const bitsOf = (value: number): string => [...Array(8).keys()].filter((n) => ((value >>> n) & 1) === 1).join(' ') || 'none';
/** 256 bits in 32-bit words. */
const vectorsOf = (words: readonly number[]): string =>
  words.flatMap((w, i) => [...Array(32).keys()].filter((n) => ((w >>> n) & 1) === 1).map((n) => hex(i * 32 + n))).join(' ') || 'none';
const DELIVERY = ['fixed', 'lowest priority', 'SMI', '3?', 'NMI', 'INIT', '6?', 'ExtINT'] as const;

export function renderInterrupts({ timeline: { guest } }: Session): string {
  const { lapic, ioapic, pic } = guest.platform;
  const l = lapic.saveState() as LocalApicState;
  const io = ioapic.saveState() as IoApicState;
  const { master, slave } = pic.saveState() as PicPairState;
  const lines = [
    `local APIC ${l.id}: ${lapic.pending() ? 'an interrupt is pending' : 'nothing is pending'}, TPR ${hex(l.tpr)}, SVR ${hex(l.svr)}`,
    `  requested (IRR) ${vectorsOf(l.irr)}; in service (ISR) ${vectorsOf(l.isr)}`,
    'I/O APIC, inputs that are not masked:',
  ];
  io.low.forEach((low, pin) => {
    if ((low & 0x1_0000) !== 0) return;
    const line = ((io.lines >>> pin) & 1) === 1 ? ', line asserted' : '';
    lines.push(`  ${pin}: vector ${hex(low & 0xff)}, ${DELIVERY[(low >>> 8) & 7]}, ${(low & 0x8000) !== 0 ? 'level' : 'edge'}${line}`);
  });
  for (const [name, chip] of [['master', master] as const, ['slave', slave] as const]) {
    lines.push(`8259 ${name}: base ${hex(chip.vectorBase)}, requested ${bitsOf(chip.irr)}; in service ${bitsOf(chip.isr)}; masked ${bitsOf(chip.imr)}`);
  }
  return lines.join('\n');
}

// ---- translations that the processor has cached ----

export interface CachedTranslation {
  readonly context: number;
  readonly linear: bigint;
  readonly physical: number;
  readonly write: boolean;
}

const RECORD_WORDS = 1 + TLB_ENTRY / 4;
const ADDEND = 1 + 6;

/** Entries of the software TLB; host-physical addresses. */
export function cachedTranslations({ timeline: { guest } }: Session): CachedTranslation[] {
  const { cpu, memory } = guest.machine;
  const { tlb, contexts } = cpu.mmu.saveState();
  const live = new Set(contexts.flatMap(([, user, supervisor]) => [user, supervisor]));
  const out: CachedTranslation[] = [];
  for (let at = 0; at < tlb.length; at += RECORD_WORDS) {
    const [low, high, writeLow] = [tlb[at + 1], tlb[at + 2], tlb[at + 3]];
    const context = low & 0xfff;
    if (low === 0 || !live.has(context)) continue;
    const page = (low & ~0xfff) >>> 0;
    const host = (page + tlb[at + ADDEND]) >>> 0;
    out.push({ context, linear: (BigInt(high) << 32n) | BigInt(page), physical: memory.physical(host), write: writeLow === low });
  }
  return out.sort((a, b) => (a.linear < b.linear ? -1 : a.linear > b.linear ? 1 : a.context - b.context));
}
