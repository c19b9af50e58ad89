import fc from 'fast-check';
import { COMMANDS, commandNamed } from '../../debugger/commands/table';
import { COMMAND_GROUPS } from '../../debugger/commands/command';
import { Interpreter, parse } from '../../debugger/commands/interpreter';
import { parseExpression, type Scope } from '../../debugger/commands/expression';
import { DEFAULT_FORMAT, parseFormat, renderUnit } from '../../debugger/memory-format';
import { DebugError } from '../../debugger/target';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SymbolTable } from '../../trace/symbols';
import { debugSession, type Backend } from './debug-guests';

const SYMBOLS = new SymbolTable([[0x10_0000n, '_start']]);
const interpreter = (backend: Backend = 'vmx'): Interpreter => new Interpreter(debugSession(backend, 'tour', { interval: 5_000 }).session, SYMBOLS);

describe('the table of commands', () => {
  it.each(COMMANDS.map((c) => [c.name, c] as const))('%s has help, and an example that works', (name, command) => {
    expect(command.help.length).toBeGreaterThan(10);
    expect(COMMAND_GROUPS).toContain(command.group);
    expect(parse(command.example).command).toBe(command);
    const i = interpreter();
    expect(i.perform(`help ${name}`).text).toContain(command.help);
    i.perform('seek 15000');
    i.perform('exit');
    const map = join(mkdtempSync(join(tmpdir(), 'vmexit-')), 'System.map');
    writeFileSync(map, '0000000000100000 T _start\n');
    expect(() => i.perform(command.example.replace('System.map', map))).not.toThrow();
  });

  it('has no two commands of one name', () => {
    const names = COMMANDS.flatMap((c) => [c.name, ...(c.short ?? [])]);
    expect(new Set(names).size).toBe(names.length);
    expect(
      interpreter()
        .perform('help')
        .text.split('\n')
        .filter((line) => line.startsWith('  ')),
    ).toHaveLength(COMMANDS.length);
  });

  it.each([
    ['c', 'continue'],
    ['s', 'step'],
    ['si', 'stepi'],
    ['ni', 'next'],
    ['rc', 'reverse-continue'],
    ['rs', 'reverse-step'],
    ['b', 'break'],
    ['i', 'info'],
    ['x', 'x'],
    ['p', 'print'],
    ['q', 'quit'],
    ['exp', 'explain'],
    ['snap', 'snapshot'],
    ['break-exit', 'break-exit'],
    ['reverse-e', 'reverse-exit'],
  ])('%s is %s', (short, name) => expect(commandNamed(short).name).toBe(name));

  it('asks back where a beginning fits several', () => {
    expect(() => commandNamed('reverse')).toThrow(/could be reverse-continue, reverse-step/);
    expect(() => commandNamed('jump')).toThrow(/there is no command "jump"/);
  });
});

describe('wrong lines are answered in one line, and change nothing', () => {
  const i = interpreter();
  beforeAll(() => void i.perform('step 3'));
  it.each([
    'frobnicate',
    'step many',
    'step 0',
    'break 0x1000 if',
    'break nowhere',
    'break-exit NONSENSE',
    'break-exit cpuid if rax ==',
    'break-vmwrite RIP',
    'watch',
    'watch 0xffffffffffffffff 16',
    'x/3q rsp',
    'x 0x7f0000000000',
    'disas 0x7f0000000000',
    'walk',
    'print (1',
    'print 1 / 0',
    'print rax rbx',
    'set rax',
    'set rax = 0x10000000000000000',
    'set cs = 0x12345',
    'set {3} 0 = 1',
    'info',
    'info nothing',
    'info vmcb',
    'info devices toaster',
    'info registers eaxx',
    'delete 99',
    'seek -1',
    'seek later',
    'last-write 0x7f0000000000',
    'trace sideways',
    'symbols /does/not/exist',
    'symbol 0',
    'explain everything',
    'explain',
    'help nothing',
    'quit now',
  ])('%s', (line) => {
    const before = i.session.position;
    expect(() => i.perform(line)).toThrow(DebugError);
    try {
      i.perform(line);
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
      expect((error as Error).message.length).toBeLessThan(250);
    }
    expect(i.session.position).toEqual(before);
    expect(i.session.breakpoints).toEqual([]);
  });
});

describe('lines', () => {
  it('an empty one repeats a motion, and nothing else', () => {
    const i = interpreter();
    i.perform('step 5');
    i.perform('');
    expect(i.session.position.instructions).toBe(10);
    i.perform('print 1');
    i.perform('');
    expect(i.session.position.instructions).toBe(10);
  });

  it('are completed by what their command takes', () => {
    const i = interpreter();
    expect(i.complete('rev')[0]).toEqual(['reverse-continue', 'reverse-step', 'reverse-stepi', 'reverse-next', 'reverse-exit']);
    expect(i.complete('info re')).toEqual([['registers'], 're']);
    expect(i.complete('break-vmwrite guest_cr')[0]).toEqual(expect.arrayContaining(['GUEST_CR0', 'GUEST_CR3', 'GUEST_CR4']));
    expect(i.complete('break-exit ept')[0]).toEqual(['EPT_VIOLATION', 'EPT_MISCONFIGURATION']);
    expect(i.complete('nonsense x')[0]).toEqual([]);
  });
});

describe('what commands show', () => {
  it('break-exit with a condition over what the exit carries', () => {
    const i = interpreter();
    i.perform('break-exit io if port == 0x3fd && input');
    expect(i.perform('continue').data).toMatchObject({ kind: 'exit', exit: { reason: 'IO_INSTRUCTION' } });
    expect(i.perform('print rdx & 0xffff').data).toBe('0x3fd');
    expect(i.perform('explain').text).toContain('IN, 1 byte, port 0x3fd');
  });

  it('explain names the control bit and the manual', () => {
    const i = interpreter();
    i.perform('break-exit cr-access');
    i.perform('c');
    const { text } = i.perform('explain');
    expect(text).toContain('guest/host mask');
    expect(text).toContain('Instructions That Cause VM Exits Conditionally');
    expect(i.perform('explain entry').text).toBe('VM entry would succeed: no rule is broken');
  });

  it('the same under AMD-V', () => {
    const i = interpreter('svm');
    i.perform('break-exit ioio');
    i.perform('c');
    const { text } = i.perform('explain');
    expect(text).toContain('IOIO_PROT is 1');
    expect(text).toContain('"IOIO Intercepts"');
    expect(i.perform('info vmcb EXITCODE').data).toMatchObject({ fields: { EXITCODE: '0x7b' } });
  });

  it('next steps over a call, and reverse-next back over it', () => {
    const i = interpreter('bare');
    i.perform('seek 14000');
    // The tour prints through nested calls: one is soon found.
    for (let n = 0; n < 2000; n++) {
      if (i.perform('disas pc 1').text.includes(' call ')) break;
      i.perform('step');
    }
    const before = i.session.readRegister('rip');
    const { instructions } = i.session.position;
    const rsp = i.session.readRegister('rsp');
    i.perform('next');
    expect(i.session.readRegister('rip')).toBe(before + 5n);
    expect(i.session.readRegister('rsp')).toBe(rsp);
    expect(i.session.position.instructions).toBeGreaterThan(instructions + 2);
    i.perform('reverse-next');
    expect(i.session.readRegister('rip')).toBe(before);
    expect(i.session.position.instructions).toBe(instructions);
  });

  it('set changes the guest, and the history begins there', () => {
    const i = interpreter();
    i.perform('seek 14100');
    i.perform('set rax = 0x1234');
    expect(i.perform('print rax').data).toBe('0x1234');
    i.perform('set {2} rsp - 64 = 0xbeef');
    expect(i.perform('x/1xh rsp-64').text).toContain('0xbeef');
    i.perform('step 10');
    expect(i.perform('reverse-step 100').data).toMatchObject({ kind: 'history-begin', position: { instructions: 14100 } });
    expect(i.perform('print rax').data).toBe('0x1234');
  });

  it('last-write finds who wrote a place', () => {
    const i = interpreter();
    i.perform('seek 20000');
    const place = `0x${(i.session.readRegister('rsp') - 8n).toString(16)}`;
    const value = i.perform(`x/1xg ${place}`).text;
    const { data } = i.perform(`last-write ${place} 8`);
    expect(data).toMatchObject({ kind: 'watchpoint', write: true });
    expect(i.session.position.instructions).toBeLessThan(20000);
    i.perform('step');
    expect(i.perform(`x/1xg ${place}`).text).toBe(value);
    expect(i.session.breakpoints).toEqual([]);
  });

  it('last-write finds the exit that wrote a field of the VMCS', () => {
    const i = interpreter();
    i.perform('seek 20000');
    const { data } = i.perform('last-write EXIT_REASON');
    expect(data).toMatchObject({ kind: 'watchpoint', write: true });
  });
});

describe('expressions', () => {
  const NAMES = new Map([
    ['rax', 7n],
    ['sys_call.part', 0x1000n],
  ]);
  const scope: Scope = { lookup: (name) => NAMES.get(name), load: (address) => address * 2n };
  const value = (text: string): bigint => parseExpression(text)(scope);

  it.each([
    ['1 + 2 * 3', 7n],
    ['(1 + 2) * 3', 9n],
    ['0xff & ~0xf', 0xf0n],
    ['1 << 4 | 1', 17n],
    ['-1', 0xffff_ffff_ffff_ffffn],
    ['10 - 3 - 2', 5n],
    ['7 / 2 % 2', 1n],
    ['!0 && 2 > 1 || 0', 1n],
    ['1 == 1 != 0', 1n],
    ['$rax + rax', 14n],
    ['[rax]', 14n],
    ['*rax + 1', 15n],
    ['sys_call.part + 0x10', 0x1010n],
    ['1_000', 1000n],
    ['1 << 64', 0n],
  ])('%s', (text, expected) => expect(value(text)).toBe(expected));

  it('agree with BigInt arithmetic modulo 2^64', () => {
    const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    fc.assert(
      fc.property(u64, u64, u64, (a, b, c) => {
        expect(value(`${a} + ${b} * ${c} - (${c} ^ ${a})`)).toBe(BigInt.asUintN(64, a + b * c - (c ^ a)));
      }),
    );
  });

  it('never do anything but answer or refuse', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), (text) => {
        try {
          expect(typeof value(text)).toBe('bigint');
        } catch (error) {
          expect(error).toBeInstanceOf(DebugError);
        }
      }),
    );
  });
});

describe("gdb's formats", () => {
  const show = (format: string, ...bytes: number[]): string => renderUnit(Uint8Array.from(bytes), parseFormat(format, DEFAULT_FORMAT), () => '');
  it.each([
    ['xb', [0x0a], '0x0a'],
    ['db', [0xff], '-1'],
    ['ub', [0xff], '255'],
    ['xh', [0x34, 0x12], '0x1234'],
    ['tb', [5], '00000101'],
    ['oh', [0x08, 0], '010'],
    ['c', [0x41], "65 'A'"],
    ['xg', [1, 0, 0, 0, 0, 0, 0, 0x80], '0x8000000000000001'],
  ] as const)('%s', (format, bytes, text) => expect(show(format, ...bytes)).toBe(text));
  it('counts, and refuses letters it does not know', () => {
    expect(parseFormat('16xw', DEFAULT_FORMAT)).toEqual({ count: 16, format: 'x', size: 4 });
    expect(() => parseFormat('xz', DEFAULT_FORMAT)).toThrow(DebugError);
    expect(() => parseFormat('99999999x', DEFAULT_FORMAT)).toThrow(DebugError);
  });
});
