/** Looking at memory, code and translations; changing memory and registers. */
import { hex, plain } from '../inspector';
import { renderWalk, walkData } from '../listings';
import { DEFAULT_FORMAT, parseFormat, perLine, renderUnit, type MemoryFormat } from '../memory-format';
import { DebugError } from '../target';
import { words, type Command, type CommandContext, type CommandResult } from './command';

const LONGEST_STRING = 4096;
const ADDRESSES = 'ADDRESS is virtual; *ADDRESS guest-physical; **ADDRESS host-physical.';

function* strings({ session }: CommandContext, text: string, count: number, inspector: CommandContext['inspector']): Generator<readonly [bigint, string]> {
  const { space, address } = inspector.place(text);
  let at = address;
  for (let n = 0; n < count; n++) {
    const start = at;
    let value = '';
    for (;;) {
      const byte = session.readMemory(space, at++, 1)[0];
      if (byte === 0 || value.length >= LONGEST_STRING) break;
      value += String.fromCharCode(byte);
    }
    yield [start, value];
  }
}

function examine(context: CommandContext, args: string): CommandResult {
  const { session, inspector } = context;
  const [, given = '', rest] = /^(?:\/(\S*)\s*)?(.*)$/s.exec(args.trim())!;
  const format: MemoryFormat = parseFormat(given, DEFAULT_FORMAT);
  const where = rest.trim() === '' ? 'pc' : rest;
  if (format.format === 'i') return code(context, where, format.count);
  if (format.format === 's') {
    const found = [...strings(context, where, format.count, inspector)];
    return {
      text: found.map(([at, value]) => `${hex(at)}: ${JSON.stringify(value)}`).join('\n'),
      data: found.map(([at, value]) => ({ address: hex(at), value })),
    };
  }
  const { space, address } = inspector.place(where);
  const bytes = session.readMemory(space, address, format.count * format.size);
  const units = [...Array(format.count).keys()].map((n) =>
    renderUnit(bytes.subarray(n * format.size, (n + 1) * format.size), format, (a) => inspector.near(a)),
  );
  const lines: string[] = [];
  for (let n = 0; n < units.length; n += perLine(format)) {
    const at = address + BigInt(n * format.size);
    lines.push(`${hex(at)}${space === 'virtual' ? inspector.near(at) : ''}:\t${units.slice(n, n + perLine(format)).join('\t')}`);
  }
  return { text: lines.join('\n'), data: { space, address: hex(address), size: format.size, bytes: Buffer.from(bytes).toString('hex') } };
}

function code({ session, inspector }: CommandContext, where: string, count: number): CommandResult {
  const { space, address } = inspector.place(where);
  const lines = inspector.code(address, count, space);
  return {
    text: inspector.describeCode(lines, space === 'virtual' ? session.processor.linearRip : undefined),
    data: lines.map((l) => ({ address: hex(l.address), bytes: Buffer.from(l.bytes).toString('hex'), text: l.text })),
  };
}

function disas(context: CommandContext, args: string): CommandResult {
  const match = /^(.*?)(?:(?:^|\s+)(\d+))?$/s.exec(args.trim())!;
  // A lone number is an address if it looks like one.
  const lone = match[1] === '' && match[2] !== undefined && Number(match[2]) > 1000;
  return code(context, lone ? match[2] : match[1] === '' ? 'pc' : match[1], lone || match[2] === undefined ? 10 : Number(match[2]));
}

function setCommand({ session, inspector }: CommandContext, args: string): CommandResult {
  const match = /^(.+?)\s*=(?!=)\s*(.+)$/s.exec(args);
  if (match === null) throw new DebugError('set WHAT = EXPRESSION, such as set rax = 1, or set {4} 0x1000 = 5');
  const [, what, expression] = match;
  const value = inspector.evaluate(expression);
  const memory = /^\{([1248])\}\s*(.+)$/s.exec(what.trim());
  if (memory === null) {
    const name = what.trim().replace(/^\$/, '');
    session.writeRegister(name, value);
    return { text: `${name} = ${hex(session.readRegister(name))}; the history begins here now`, data: { [name]: hex(value) }, changed: true };
  }
  const size = Number(memory[1]);
  if (value >> BigInt(size * 8) !== 0n) throw new DebugError(`${hex(value)} does not fit into ${size} bytes`);
  const { space, address } = inspector.place(memory[2]);
  const bytes = Uint8Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  session.writeMemory(space, address, bytes);
  return {
    text: `${size} bytes at ${space} ${hex(address)} = ${hex(value)}; the history begins here now`,
    data: { space, address: hex(address), size },
    changed: true,
  };
}

export const MEMORY_COMMANDS: readonly Command[] = [
  {
    name: 'x',
    group: 'looking',
    usage: '[/COUNT FORMAT SIZE] [ADDRESS]',
    help: "examine memory as gdb's x does: formats x d u o t c a s i, sizes b h w g",
    details: [ADDRESSES],
    example: 'x/8xb pc',
    completion: 'symbol',
    run: examine,
  },
  {
    name: 'disas',
    short: ['dis', 'u'],
    group: 'looking',
    usage: '[ADDRESS] [count]',
    help: 'disassemble, from here if no address is given',
    details: [ADDRESSES],
    example: 'disas pc 5',
    completion: 'symbol',
    run: disas,
  },
  {
    name: 'walk',
    short: ['w'],
    group: 'looking',
    usage: 'ADDRESS | *PHYSICAL',
    help: 'translate an address: every entry of the guest tables, and of EPT or NPT beside it, and how many references that takes',
    example: 'walk pc',
    completion: 'symbol',
    run: ({ session, inspector }, args) => {
      const { space, address } = inspector.place(args);
      if (space === 'host-physical') throw new DebugError('a host-physical address is not translated any more');
      const walk = space === 'virtual' ? session.memory.walk(address) : session.memory.walks.physical(Number(address));
      return { text: renderWalk(walk), data: plain(walkData(walk)) };
    },
  },
  {
    name: 'print',
    short: ['p'],
    group: 'looking',
    usage: 'EXPRESSION',
    help: 'calculate with numbers, registers, symbols and memory',
    details: ["Operators are C's; [ADDRESS] is the 64 bits there; pc is the linear address of the next instruction."],
    example: 'print rsp + 8 * 2',
    completion: 'symbol',
    run: ({ inspector }, args) => {
      const value = inspector.evaluate(args);
      return { text: `${hex(value)}  ${value}${inspector.near(value)}`, data: hex(value) };
    },
  },
  {
    name: 'symbol',
    short: ['sym'],
    group: 'looking',
    usage: 'ADDRESS | PART OF A NAME',
    help: 'the symbol at an address',
    example: 'symbol pc',
    completion: 'symbol',
    run: ({ inspector }, args) => {
      const address = inspector.evaluate(args);
      const near = inspector.near(address).trim();
      if (near === '')
        throw new DebugError(inspector.symbols === undefined ? 'there are no symbols: symbols FILE reads some' : `no symbol is near ${hex(address)}`);
      return { text: `${hex(address)} ${near}`, data: { address: hex(address), symbol: near.slice(1, -1) } };
    },
  },
  {
    name: 'set',
    group: 'changing',
    usage: 'REGISTER = EXPRESSION | {SIZE} ADDRESS = EXPRESSION',
    help: 'change a register or 1, 2, 4 or 8 bytes of memory; the history begins anew',
    example: 'set rax = rax',
    completion: 'register',
    run: setCommand,
  },
  {
    name: 'type',
    group: 'changing',
    usage: 'TEXT',
    help: 'type at the serial console; \\n is the Enter key',
    example: 'type ls\\n',
    run: ({ session }, args) => {
      if (words(args).length === 0) throw new DebugError('type what?');
      const text = args.replace(/\\(n|r|t|e|\\)/g, (_, c: string) => ({ n: '\n', r: '\r', t: '\t', e: '\x1b', '\\': '\\' })[c]!);
      session.sendSerial(Buffer.from(text));
      return { text: '', data: { bytes: Buffer.byteLength(text) } };
    },
  },
];
