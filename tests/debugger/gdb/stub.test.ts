/** What GDB asks, answered: replies as the GDB manual's chapter on the remote protocol has them. */
import fc from 'fast-check';
import { encodePacket } from '../../../debugger/gdb/packet';
import { complete } from '../../../debugger/target';
import { debugSession } from '../debug-guests';
import { little, Wire } from './wire';
import { runs } from '../../runs';

const hex = (value: bigint): string => value.toString(16);
/** By the order of the target description: sixteen general registers, then RIP. */
const RIP = '10';

describe('the greeting', () => {
  const wire = new Wire();

  it('is acknowledged until both sides agree not to', () => {
    expect(wire.raw('$qC#b4')).toMatch(/^\+\$QC1#/);
    expect(wire.raw('$qC#b5')).toBe('-');
    // GDB did not understand: the same again.
    wire.raw('$qC#b4');
    expect(wire.raw('-')).toMatch(/^\$QC1#/);
    expect(wire.raw('$QStartNoAckMode#b0')).toBe('+$OK#9a');
    expect(wire.raw('$qC#b4')).toMatch(/^\$QC1#/);
    expect(wire.raw('$qC#00')).toBe('');
  });

  const rows: readonly [string, string | RegExp][] = [
    ['qSupported:swbreak+;hwbreak+;xmlRegisters=i386', /^PacketSize=4000;QStartNoAckMode\+;.*ReverseStep\+;ReverseContinue\+/],
    ['vMustReplyEmpty', ''],
    ['vCont?', 'vCont;c;C;s;S;t;r'],
    ['?', 'T05thread:1;'],
    ['Hg0', 'OK'],
    ['Hc-1', 'OK'],
    ['Hg2', 'E01'],
    ['T1', 'OK'],
    ['T7', 'E01'],
    ['qfThreadInfo', 'm1'],
    ['qsThreadInfo', 'l'],
    ['qAttached', '1'],
    ['qOffsets', 'Text=0;Data=0;Bss=0'],
    ['qSymbol::', 'OK'],
    ['qTStatus', ''],
    ['vFile:open:00', ''],
    ['!', ''],
    ['', ''],
  ];
  it.each(rows)('%s', (packet, reply) => {
    if (typeof reply === 'string') expect(wire.ask(packet)).toBe(reply);
    else expect(wire.ask(packet)).toMatch(reply);
  });

  it('has a target description, in pieces', () => {
    let xml = '';
    for (let piece = 'm'; piece.startsWith('m');) {
      piece = wire.ask(`qXfer:features:read:target.xml:${xml.length.toString(16)},200`)!;
      xml += piece.slice(1);
    }
    expect(xml).toContain('<architecture>i386:x86-64</architecture>');
    for (const feature of ['core', 'sse', 'segments']) expect(xml).toContain(`<feature name="org.gnu.gdb.i386.${feature}">`);
    // Registers in the order that GDB's own 64bit-core.xml has.
    expect([...xml.matchAll(/<reg name="([^"]+)"/g)].map((m) => m[1]).slice(0, 26)).toEqual(
      'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags cs ss ds es fs gs st0 st1'.split(' '),
    );
    expect(wire.ask('qXfer:features:read:other.xml:0,100')).toBe('E00');
    expect(wire.ask('qXfer:features:read:target.xml:ffffff,100')).toBe('l');
  });
});

describe.each(['bare', 'vmx', 'svm'] as const)('registers and memory, %s', (backend) => {
  const wire = new Wire(backend);
  complete(wire.session.seek(14_000));
  const read = (name: string): bigint => wire.session.readRegister(name);

  it('all registers are those one by one', () => {
    const all = wire.ask('g')!;
    expect(all.startsWith(little(read('rax'), 8) + little(read('rbx'), 8))).toBe(true);
    expect(all.slice(16 * 16, 17 * 16)).toBe(little(read('rip'), 8));
    expect(all.slice(17 * 16, 17 * 16 + 8)).toBe(little(read('rflags'), 4));
    expect(wire.ask(`p${RIP}`)).toBe(little(read('rip'), 8));
    expect(wire.ask('p12')).toBe(little(read('cs'), 4));
    // Sent back as it is, nothing changes, and history stays.
    expect(wire.ask(`G${all}`)).toBe('OK');
    expect(wire.session.history.begin.instructions).toBe(0);
    expect(wire.ask('bs')).toMatch(/^T05/);
  });

  it('are written', () => {
    expect(wire.ask(`P3=${little(0x1122_3344_5566_7788n, 8)}`)).toBe('OK');
    expect(read('rdx')).toBe(0x1122_3344_5566_7788n);
    const address = read('rsp') - 32n;
    expect(wire.ask(`M${hex(address)},4:deadbeef`)).toBe('OK');
    expect(wire.ask(`m${hex(address)},4`)).toBe('deadbeef');
    expect(wire.ask(`X${hex(address)},0:`)).toBe('OK');
    expect(wire.ask(`X${hex(address)},4:#$}*`)).toBe('OK');
    expect(wire.ask(`m${hex(address)},5`)).toMatch(/^23247d2a/);
  });

  it('memory that ends inside a read comes as far as it goes; what is not there is an error', () => {
    const { session } = wire;
    let end = 8n << 20n;
    const mapped = (address: bigint): boolean => wire.ask(`m${hex(address)},1`)!.length === 2;
    while (mapped(end)) end += 0x1000n;
    while (!mapped(end - 1n)) end -= 0x1000n;
    expect(wire.ask(`m${hex(end - 2n)},10`)).toHaveLength(4);
    expect(wire.ask(`m${hex(end)},10`)).toBe('E16');
    expect(wire.ask(`M${hex(end - 2n)},4:00000000`)).toBe('E16');
    expect(session.readMemory('virtual', end - 2n, 2)).toHaveLength(2);
    // A debugger that can show it gets the reason.
    wire.ask('qSupported:error-message+');
    expect(wire.ask(`m${hex(end)},10`)).toMatch(/^E\..*not/);
    wire.ask('qSupported:swbreak+;hwbreak+');
  });

  const refused = [
    'p',
    'pff',
    'pzz',
    'P3=00',
    'P3',
    'G00',
    'm',
    'm0',
    'mzz,4',
    'm0,4,4',
    'm11112222333344445,4',
    'M0,4:00',
    'M0,1',
    'M0,1:0',
    'Z0,0',
    'Z2,0,0',
    'Z0,8000000000000000,1',
    'vCont;x',
    'vCont;c:5',
    'vCont',
    'C',
    'qRcmd,0',
    'qXfer:features:read:target.xml',
  ];
  it.each(refused)('%s is refused, and nothing happens', (packet) => {
    const before = wire.session.position;
    expect(wire.ask(packet)).toBe('E16');
    expect(wire.session.position).toEqual(before);
  });
});

describe('motions', () => {
  it('step forward and backward to the same place', () => {
    const wire = new Wire();
    wire.session.addBreakpoint({ kind: 'exit' }, { temporary: true });
    wire.ask('vCont;c');
    const here = wire.ask('g');
    const { instructions } = wire.session.position;
    for (const step of ['vCont;s:1', 's', 'S05', 'vCont;S05:p1.1;c', 'vCont;s:-1']) expect(wire.ask(step)).toBe('T05thread:1;');
    expect(wire.session.position.instructions).toBe(instructions + 5);
    for (let n = 0; n < 5; n++) expect(wire.ask('bs')).toBe('T05thread:1;');
    expect(wire.session.position.instructions).toBe(instructions);
    expect(wire.ask('g')).toBe(here);
  });

  it('break where GDB says, and say which kind it was', () => {
    const { session } = debugSession('vmx');
    complete(session.seek(14_000));
    const rip = session.readRegister('rip');
    for (const [type, report] of [
      [0, 'swbreak'],
      [1, 'hwbreak'],
    ] as const) {
      const wire = new Wire();
      wire.ask('qSupported:swbreak+;hwbreak+');
      expect(wire.ask(`Z${type},${hex(rip)},1`)).toBe('OK');
      expect(wire.ask(`Z${type},${hex(rip)},1`)).toBe('OK');
      expect(wire.session.breakpoints).toHaveLength(1);
      expect(wire.ask('vCont;c')).toBe(`T05thread:1;${report}:;`);
      expect(wire.ask('?')).toBe(`T05thread:1;${report}:;`);
      expect(wire.ask(`p${RIP}`)).toBe(little(rip, 8));
      expect(wire.ask(`z${type},${hex(rip)},1`)).toBe('OK');
      expect(wire.ask(`z${type},${hex(rip)},1`)).toBe('OK');
      expect(wire.session.breakpoints).toHaveLength(0);
    }
  });

  it('does not name a breakpoint kind to a debugger that has not said it knows it', () => {
    const wire = new Wire();
    complete(wire.session.step(10));
    wire.ask(`Z0,${hex(wire.session.readRegister('rip'))},1`);
    wire.ask('bs');
    expect(wire.ask('vCont;c')).toBe('T05thread:1;');
  });

  it('watch, forward and backward', () => {
    const wire = new Wire();
    complete(wire.session.seek(14_000));
    const address = hex(wire.session.readRegister('rsp') - 8n);
    for (const [type, report] of [
      [2, 'watch'],
      [4, 'awatch'],
      [3, 'rwatch'],
    ] as const) {
      complete(wire.session.seek(14_000));
      expect(wire.ask(`Z${type},${address},8`)).toBe('OK');
      const reply = `T05thread:1;${report}:${address};`;
      expect(wire.ask('vCont;c')).toBe(reply);
      complete(wire.session.step(2_000));
      expect(wire.ask('bc')).toBe(reply);
      wire.ask(`z${type},${address},8`);
    }
    expect(wire.ask('Z5,0,1')).toBe('');
  });

  it('come to the beginning and to the end of history, and go on from both', () => {
    const wire = new Wire();
    const start = wire.ask('g');
    const [text, stop] = wire.all('vCont;c');
    expect(Buffer.from(text.slice(1), 'hex').toString()).toMatch(/^the guest ended: the guest powered off\n$/);
    expect(stop).toBe('T05thread:1;replaylog:end;');
    expect(wire.ask('vCont;s')).toBe('T05thread:1;replaylog:end;');
    expect(wire.ask('bc')).toBe('T05thread:1;replaylog:begin;');
    expect(wire.ask('g')).toBe(start);
    expect(wire.ask('vCont;c')).toBe('T05thread:1;replaylog:end;');
  });

  it('go back to nowhere when nothing has run', () => {
    expect(new Wire().ask('bs')).toMatch(/^E\.nothing has run yet/);
  });

  it('step over a range of addresses in one packet', () => {
    const wire = new Wire();
    complete(wire.session.seek(14_000));
    const rip = wire.session.readRegister('rip');
    const [from, to] = [rip - 0x40n, rip + 0x40n];
    expect(wire.ask(`vCont;r${hex(from)},${hex(to)}:1`)).toBe('T05thread:1;');
    const after = wire.session.readRegister('rip');
    expect(after < from || after >= to).toBe(true);
    const { instructions } = wire.session.position;
    complete(wire.session.reverseStep());
    const before = wire.session.readRegister('rip');
    expect(before >= from && before < to).toBe(true);
    expect(instructions).toBeGreaterThan(14_000);
  });

  it('are interrupted by Ctrl-C, a range step too', () => {
    for (const motion of ['vCont;c', 'vCont;r0,ffffffffffffffff', 'bc']) {
      const wire = new Wire();
      wire.sent = '';
      complete(wire.session.step(10_000));
      wire.line(encodePacket(motion));
      // GDB hears nothing while the guest runs; a second motion is not begun.
      expect(wire.sent).toBe('+');
      wire.line(Buffer.from('\x03'));
      wire.work();
      expect(wire.sent).toMatch(/^\+\$T02thread:1;#/);
      expect(wire.stub.advance()).toEqual({ kind: 'held' });
    }
  });

  it('Ctrl-C without a motion is nothing', () => {
    const wire = new Wire();
    expect(wire.raw('\x03')).toBe('');
    expect(wire.ask('vCont;s')).toBe('T05thread:1;');
  });
});

describe('a guest that waits for input', () => {
  /** HLT in a loop. Interrupts are still off, so it waits for ever. */
  function halted(): Wire {
    const wire = new Wire('vmx', 'hello');
    complete(wire.session.step(20));
    wire.ask(`P${RIP}=${little(wire.session.readRegister('rsp') & ~0xfffn, 8)}`);
    const rip = wire.session.readRegister('rip');
    // hlt; jmp to it
    wire.session.writeMemory('virtual', rip, Uint8Array.of(0xf4, 0xeb, 0xfd));
    return wire;
  }

  it('is waited for as long as input can come, and Ctrl-C ends that', () => {
    const wire = halted();
    wire.inputOpen = true;
    expect(wire.all('vCont;c')).toEqual([]);
    expect(wire.stub.advance()).toEqual({ kind: 'waiting' });
    expect(wire.raw('\x03')).toMatch(/^\$T02/);
  });

  it('is a stop when none can come', () => {
    const [text, stop] = halted().all('vCont;c');
    expect(Buffer.from(text.slice(1), 'hex').toString()).toMatch(/halted/);
    expect(stop).toBe('T05thread:1;');
  });
});

describe('monitor', () => {
  it('runs our own commands', () => {
    const wire = new Wire();
    expect(wire.monitor('help')).toMatchObject({ text: expect.stringMatching(/reverse-continue[\s\S]*info/), end: 'OK' });
    expect(wire.monitor('exit 2')).toMatchObject({ text: expect.stringMatching(/^exit 2: [\s\S]*flush register-cache/), end: 'OK' });
    expect(wire.session.position.exits).toBe(2);
  });

  it('says what cannot be done, and the session goes on', () => {
    const wire = new Wire();
    expect(wire.monitor('fly')).toEqual({ text: 'there is no command "fly": help lists them\n', end: 'OK' });
    expect(wire.monitor('x 0xdead00000000')).toMatchObject({ text: expect.stringMatching(/not/), end: 'OK' });
    expect(wire.ask('vCont;s')).toBe('T05thread:1;');
  });

  it('breakpoints of its own stop GDB, with the reason', () => {
    const wire = new Wire();
    wire.monitor('break-exit CPUID');
    const [text, stop] = wire.all('vCont;c');
    expect(Buffer.from(text.slice(1), 'hex').toString()).toMatch(/CPUID/);
    expect(stop).toBe('T05thread:1;');
  });

  it('quit ends the run', () => {
    const wire = new Wire();
    expect(wire.monitor('quit').end).toBe('OK');
    expect(wire.stub.killed).toBe(true);
  });
});

describe('coming and going', () => {
  it('without a debugger the guest runs to its end', () => {
    const { session } = debugSession('vmx');
    const wire = new Wire('vmx', 'tour', false);
    // The debugger of the constructor stopped it before its first instruction.
    expect(wire.work()).toEqual({ kind: 'held' });
    expect(wire.ask('D')).toBe('OK');
    expect(wire.stub.attached).toBe(false);
    expect(wire.work()).toMatchObject({ kind: 'stopped', stop: { kind: 'ended' } });
    complete(session.resume());
    expect(wire.session.position).toEqual(session.position);
  });

  it('a debugger that goes away leaves no breakpoints; the next one finds the guest where it was', () => {
    const wire = new Wire();
    complete(wire.session.seek(14_000));
    const rip = wire.session.readRegister('rip');
    wire.ask(`Z0,${hex(rip)},1`);
    wire.stub.lost(wire.line);
    expect(wire.session.breakpoints).toEqual([]);
    expect(wire.work()).toEqual({ kind: 'held' });
    const old = wire.line;
    wire.connect();
    expect(wire.ask(`p${RIP}`)).toBe(little(rip, 8));
    // What the old line still says means nothing.
    wire.sent = '';
    old(Buffer.from('$qC#b4'));
    wire.stub.lost(old);
    expect([wire.sent, wire.stub.attached]).toEqual(['', true]);
  });

  it('a debugger that comes stops a guest that runs', () => {
    const wire = new Wire('vmx', 'tour', false);
    wire.ask('D');
    wire.stub.advance();
    wire.connect();
    expect(wire.ask('?')).toBe('T05thread:1;');
    expect(wire.work()).toEqual({ kind: 'held' });
  });

  it('kill ends the run', () => {
    for (const packet of ['k', 'vKill;1']) {
      const wire = new Wire();
      expect(wire.ask(packet)).toBe(packet === 'k' ? undefined : 'OK');
      expect(wire.stub.killed).toBe(true);
    }
  });
});

test('whatever comes in, nothing breaks: the stub still answers, and the guest can still be driven', () => {
  const letters = fc.constantFrom(
    ...'gGpPmMXZzHTqQvcCsSbD?!',
    'vCont;',
    'qXfer:features:read:',
    'qSupported:',
    'Z2,',
    'm0,',
    'bs',
    'bc',
    'vCont;r',
    'G',
    'P10=',
  );
  const body = fc.tuple(letters, fc.string({ unit: fc.constantFrom(...'0123456789abcdef,;:=-. '), maxLength: 24 })).map(([a, b]) => a + b);
  const wires = new Map<boolean, Wire>();
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 3, arbitrary: body }, fc.string({ unit: 'binary', maxLength: 30 })), { maxLength: 8 }),
      fc.boolean(),
      (bodies, raw) => {
        const wire = wires.get(raw) ?? new Wire('vmx', 'hello');
        wires.set(raw, wire);
        for (const text of bodies) {
          if (raw) wire.raw(text);
          else wire.ask(text);
          if (!wire.stub.attached) wire.connect();
        }
        if (wire.ask('qC') !== 'QC1') throw new Error(`no answer after ${JSON.stringify(bodies)}`);
      },
    ),
    { numRuns: runs(100) },
  );
});
