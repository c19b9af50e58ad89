/** What people see of a session: names for addresses, values for names, and texts for stops and breakpoints. */
import type { ExitKind, ExitOf } from '../hypervisor/exit';
import type { SymbolTable } from '../trace/symbols';
import { noSuchName, parseExpression, type Scope } from './commands/expression';
import type { CommandResult } from './commands/command';
import { disassemble, type Disassembled } from './disassembler';
import { canonicalName } from './exit-names';
import { registerNamed } from './registers';
import type { Session } from './session';
import { DebugError, type Breakpoint, type BreakpointSpec, type ExitView, type MemorySpace, type Stop, type WatchAccess } from './target';

const LONGEST_INSTRUCTION = 15;
const PAGE = 4096;

export const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** bigints as "0x..." text, for JSON. */
export function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return hex(value);
  if (value === null || typeof value !== 'object') return value;
  if (ArrayBuffer.isView(value)) return [...(value as Uint8Array)];
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/** Numbers that exits to our hypervisor carry. A forgotten one does not compile. */
type Numbers<E> = { readonly [K in keyof E]: E[K] extends bigint | number | boolean | undefined ? K : never }[keyof E];
type Operand = { readonly [K in ExitKind]: Numbers<ExitOf<K>> }[ExitKind];
const EXIT_OPERANDS = Object.keys({
  ...{ port: true, size: true, input: true, string: true, register: true, gpr: true, source: true, gpa: true, linear: true },
  ...{ read: true, write: true, fetch: true, table: true, present: true, vector: true, errorCode: true },
} satisfies Record<Operand, true>);
/** What ExitView has of every exit. */
const EXIT_NAMES: ReadonlySet<string> = new Set(['number', 'instructions', 'ticks', 'rip', 'code', 'qualification']);

export class Inspector {
  /** @param symbols may be set when they become known. */
  constructor(
    readonly session: Session,
    public symbols: SymbolTable | undefined,
  ) {}

  // ---- names and values ----

  readonly scope: Scope = {
    lookup: (name) => this.register(name) ?? this.symbols?.addressOf(name),
    load: (address) => littleEndian(this.session.readMemory('virtual', address, 8)),
  };

  /** A condition that a breakpoint asks. Throws DebugError for text that is none, and for names that nothing has. */
  condition(text: string): () => boolean {
    const expression = parseExpression(text);
    for (const name of expression.names) if (this.scope.lookup(name) === undefined) throw noSuchName(name);
    return () => expression(this.scope) !== 0n;
  }

  /** The same for VM exits: what they carry has names too. It does not hold for an exit that does not carry what it asks for. */
  exitCondition(text: string): (exit: ExitView) => boolean {
    const expression = parseExpression(text);
    const operands: ReadonlySet<string> = new Set(this.session.backend === 'bare' ? [] : EXIT_OPERANDS);
    for (const name of expression.names) {
      if (!operands.has(name) && !EXIT_NAMES.has(name) && this.scope.lookup(name) === undefined) throw noSuchName(name);
    }
    return (exit) => {
      const carried = this.session.exitOperands;
      if (expression.names.some((name) => operands.has(name) && !Object.hasOwn(carried, name))) return false;
      return expression(this.scopeOfExit(exit, carried)) !== 0n;
    };
  }

  private scopeOfExit(exit: ExitView, carried: Readonly<Record<string, bigint>>): Scope {
    const { number, instructions, ticks, rip, code, qualification } = exit;
    const values: Readonly<Record<string, bigint>> = {
      ...carried,
      ...{ number: BigInt(number), instructions: BigInt(instructions), ticks: BigInt(ticks), rip, code: BigInt.asUintN(64, BigInt(code)), qualification },
    };
    return { ...this.scope, lookup: (name) => (Object.hasOwn(values, name) ? values[name] : this.scope.lookup(name)) };
  }

  private register(name: string): bigint | undefined {
    if (name === 'pc') return this.session.processor.linearRip;
    const known = this.session.registers.some((r) => r.name === name.toLowerCase());
    if (!known) return undefined;
    const { bits } = registerNamed(name);
    const value = this.session.readRegister(name);
    return bits > 64 ? BigInt.asUintN(64, value) : value;
  }

  evaluate(text: string): bigint {
    return parseExpression(text)(this.scope);
  }

  /** Of an instruction. As in GDB, a * in front says that an address follows, not what is in memory there. */
  codeAddress(text: string): bigint {
    return this.evaluate(text.trim().replace(/^\*/, ''));
  }

  /** "*ADDRESS" is guest-physical, "**ADDRESS" host-physical, anything else virtual. */
  place(text: string): { readonly space: MemorySpace; readonly address: bigint } {
    const [, stars, rest] = /^(\**)(.*)$/s.exec(text.trim())!;
    const space = (['virtual', 'guest-physical', 'host-physical'] as const).at(stars.length);
    if (space === undefined) throw new DebugError(`"${text}": one * is guest-physical, two are host-physical`);
    return { space, address: this.evaluate(rest) };
  }

  /** "ADDRESS [length]", or a field of the VMCS or VMCB, which is memory too. */
  watchTarget(args: string, access: WatchAccess, defaultLength: number): BreakpointSpec {
    const text = args.trim();
    const { control } = this.session;
    const field = control.fields.find((f) => f.name === text);
    if (field !== undefined) {
      return { kind: 'watch', space: 'host-physical', address: BigInt(control.address + field.offset), length: Math.ceil(field.bits / 8), access };
    }
    const [, what, count] = /^(.*?)(?:\s+(\d+))?$/s.exec(text)!;
    const { space, address } = this.place(what);
    return { kind: 'watch', space, address, length: count === undefined ? defaultLength : Number(count), access };
  }

  /** "<name+0x10>", or nothing. */
  near(address: bigint): string {
    const at = this.symbols?.at(address);
    return at === undefined ? '' : ` <${at.name}${at.offset === 0 ? '' : `+${hex(at.offset)}`}>`;
  }

  // ---- code ----

  /** Instructions at an address, as far as it is mapped. */
  code(address: bigint, count: number, space: MemorySpace = 'virtual'): Disassembled[] {
    const bits = this.session.processor.cpu().codeSize;
    const lines: Disassembled[] = [];
    for (let at = address; lines.length < count;) {
      const wanted = Math.min((count - lines.length) * LONGEST_INSTRUCTION, PAGE);
      const found = disassemble(this.readable(space, at, wanted), at, bits, count - lines.length);
      if (found.length === 0) break;
      lines.push(...found);
      at = found[found.length - 1].address + BigInt(found[found.length - 1].bytes.length);
    }
    if (lines.length === 0) this.session.readMemory(space, address, 1);
    return lines;
  }

  /** What is mapped of [address, address + length). */
  private readable(space: MemorySpace, address: bigint, length: number): Uint8Array {
    const first = Math.min(length, PAGE - Number(address & 0xfffn));
    const head = this.session.readMemory(space, address, first);
    if (first === length) return head;
    try {
      return Buffer.concat([head, this.session.readMemory(space, address + BigInt(first), length - first)]);
    } catch (error) {
      if (error instanceof DebugError) return head;
      throw error;
    }
  }

  /** @param here undefined: the addresses are physical, and symbols are not of such. */
  describeCode(lines: readonly Disassembled[], here: bigint | undefined): string {
    const near = (address: bigint): string => (here === undefined ? '' : this.near(address));
    return lines
      .map(({ address, bytes, text, target }) => {
        const encoded = Buffer.from(bytes).toString('hex').padEnd(20);
        return `${address === here ? '=>' : '  '} ${hex(address)}${near(address)}:  ${encoded}  ${text}${target === undefined ? '' : near(target)}`;
      })
      .join('\n');
  }

  // ---- stops ----

  /** Why it stopped, and what comes next. */
  describeStop(stop: Stop): string {
    const { instructions, ticks, exits } = stop.position;
    const where = `instruction ${instructions}, ${ticks} ns${exits > 0 ? `, ${exits} exits` : ''}`;
    return [`${stop.explanation}  [${where}]`, ...this.nextInstruction()].join('\n');
  }

  private nextInstruction(): string[] {
    const rip = this.session.processor.linearRip;
    try {
      return [this.describeCode(this.code(rip, 1), rip)];
    } catch (error) {
      if (error instanceof DebugError) return [`=> ${hex(rip)}${this.near(rip)}: ${error.message}`];
      throw error;
    }
  }

  stopData(stop: Stop): unknown {
    return plain({ ...stop, rip: this.session.readRegister('rip'), ...('rip' in stop ? { accessRip: stop.rip } : {}) });
  }

  // ---- breakpoints ----

  describeBreakpoint({ id, spec, options, enabled, hits }: Breakpoint): string {
    const condition = options.condition === undefined ? '' : ` if ${options.condition.text}`;
    const notes = [...(enabled ? [] : ['disabled']), ...(options.temporary === true ? ['once'] : []), ...(hits > 0 ? [`hit ${hits} times`] : [])];
    return `${id}: ${this.describeSpec(spec)}${condition}${notes.length > 0 ? `  (${notes.join(', ')})` : ''}`;
  }

  private describeSpec(spec: BreakpointSpec): string {
    switch (spec.kind) {
      case 'execution':
        return `break at ${hex(spec.address)}${this.near(spec.address)}`;
      case 'watch':
        return `watch ${spec.access === 'write' ? 'writes' : spec.access === 'read' ? 'reads' : 'reads and writes'} of ${spec.length} bytes at ${spec.space} ${hex(spec.address)}`;
      case 'exit':
        return `break at VM exits${spec.reason === undefined ? '' : ` ${canonicalName(spec.reason)}`}`;
      case 'field':
        return `break at ${spec.access}s of field ${spec.field.toUpperCase()}`;
    }
  }

  breakpointData({ id, spec, options, enabled, hits }: Breakpoint): unknown {
    return plain({ id, spec: JSON.parse(JSON.stringify(plain(spec))) as unknown, condition: options.condition?.text, enabled, hits });
  }

  breakpoints(list: readonly Breakpoint[]): CommandResult {
    const text = list.length === 0 ? 'there are no breakpoints' : list.map((b) => this.describeBreakpoint(b)).join('\n');
    return { text, data: list.map((b) => this.breakpointData(b)) };
  }
}

export function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}
