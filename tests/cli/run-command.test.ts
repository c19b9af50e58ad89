import { readFileSync } from 'node:fs';
import type { RunStop } from '../../cli/runner';
import { FakeStdin, file, idle, limit, powerOff, vmexit, type FakeGuest } from './fake-machine';

const image = file('image', 'not really a kernel');
const ended = (kind: 'triple-fault' | 'reset' | 'internal') => (): RunStop => ({ kind: 'ended', outcome: { kind, explanation: 'because' } });
const printThen =
  (text: string, next: () => RunStop) =>
  (guest: FakeGuest): RunStop => {
    guest.print(text);
    return next();
  };

describe('exit status', () => {
  const rows: readonly [string, readonly string[], (guest: FakeGuest) => RunStop, number, RegExp][] = [
    ['power-off', [], powerOff, 0, /^$/],
    ['triple fault', [], ended('triple-fault'), 4, /triple-fault: because/],
    ['reset', [], ended('reset'), 6, /reset: because/],
    ['halted for ever', [], idle, 8, /halted/],
    ['internal', [], ended('internal'), 70, /internal: because/],
    ['instruction limit', ['--max-instructions', '1000'], limit, 122, /1000 instructions/],
    ['timeout', ['--timeout', '0.05'], limit, 124, /0.05 seconds/],
    ['isa-debug-exit', [], () => ({ kind: 'ended', outcome: { kind: 'debug-exit', status: (0x10 << 1) | 1, explanation: '' } }), 33, /^$/],
  ];
  test.each(rows)('%s', async (_name, args, stop, code, message) => {
    const result = await vmexit(['run', image, ...args], [stop]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
  });

  test('the help shows all of them', async () => {
    const { code, stdout } = await vmexit(['run', '--help']);
    expect(code).toBe(0);
    for (const line of [
      '  0  the guest powered off',
      '  4  the guest shut',
      '124  the limit of --timeout',
      'odd  the guest wrote v to isa-debug-exit',
      'Ctrl-A X',
    ])
      expect(stdout).toContain(line);
  });
});

describe('bad input: one message on stderr, status 2, nothing on stdout', () => {
  const script = file('script', 'login: root');
  const rows: readonly [readonly string[], RegExp][] = [
    [['run', '/nowhere/image'], /^vmexit: cannot read image \/nowhere\/image: there is no such file\n$/],
    [['run', '/'], /cannot read image \/: it is a directory/],
    [['run', image, '--initrd', '/nowhere/initrd'], /cannot read initial ramdisk/],
    [['run', image, '--memory', 'lots'], /^vmexit: --memory lots: not a size; write it like 256M or 1G\n$/],
    [['run', image, '--memory', '1M'], /--memory 1M: 1048576 bytes is out of range/],
    [['run', image, '--memory', '8G'], /--memory 8G.*out of range/],
    [['run', image, '--memory', '1.0001M'], /--memory 1.0001M: not a whole number of bytes/],
    [['run', image, '--backend', 'svm', '--bare'], /--backend svm with --bare: a bare machine runs without our hypervisor; leave one of them out/],
    [['run', image, '--backend', 'kvm'], /--backend kvm: not one of vmx, svm/],
    [['run', image, '--device', 'e1000'], /there is no device "e1000"/],
    [['run', image, '--device', 'isa-debug-exit,iobase=zz'], /"iobase=zz" is not understood/],
    [['run', image, '--device', 'isa-debug-exit,iobase=244=3'], /"iobase=244=3" is not understood/],
    [['run', image, '--device', 'isa-debug-exit,iosize=3'], /"iosize=3" is not understood; give .*iosize=1, iosize=2 or iosize=4/],
    [['run', image, '--device', 'isa-debug-exit,iobase=0xffff,iosize=2'], /the last port is 0xffff; give at most iobase=0xfffe/],
    [['run', image, '--device', 'virtio-console'], /say where its port goes, with chardev=file:PATH, unix:PATH or none/],
    [['run', image, '--device', 'virtio-console,chardev=stdio'], /stdio is the serial port's; give chardev=file:PATH/],
    [['run', image, '--device', 'virtio-console,chardev=none', '--device', 'virtio-console,chardev=none'], /2 virtio consoles were given; give one/],
    [['run', image, '--device', 'virtio-console,chardev=none', '--record', '/nowhere/log'], /--record with --device virtio-console/],
    [['run', image, '--device', 'virtio-console,chardev=file:/nowhere/x/log'], /cannot write serial output to \/nowhere\/x\/log/],
    [['debug', image, '--device', 'virtio-console,chardev=none'], /--device virtio-console: the debugger goes back in time/],
    [['run', image, '--serial', 'tcp:1'], /--serial tcp:1/],
    [['run', image, '--serial', 'file:/nowhere/x/log'], /cannot write serial output to \/nowhere\/x\/log/],
    [['run', image, '--serial', 'unix:/nowhere/s'], /cannot listen on \/nowhere\/s: there is no directory \/nowhere\n/],
    [['run', image, '--serial', 'unix:/'], /cannot listen on \/: it is a directory/],
    [['run', image, '--serial', `unix:${image}`], /cannot listen on .*image: there is a file of that name already, which is no socket/],
    [['run', image, '--serial', `unix:${image}/s`], /cannot listen on .*image is not a directory/],
    [['run', image, '--serial', `unix:/tmp/${'s'.repeat(103)}`], /the name has 108 bytes, and that of a socket can have 107/],
    [['run', image, '--serial', `unix:/tmp/${'é'.repeat(52)}`], /the name has 109 bytes/],
    [['run', image, '--timeout', '1e400'], /--timeout 1e400: not a positive number of seconds/],
    [['run', '/dev/zero'], /cannot read image \/dev\/zero: it is a character device, not a file/],
    [['run', image, '--initrd', '/dev/zero'], /cannot read initial ramdisk \/dev\/zero: it is a character device/],
    [['run', image, '--module', '/dev/zero x'], /cannot read module \/dev\/zero: it is a character device/],
    [['run', image, '--timeout', 'soon'], /--timeout soon: not a positive number of seconds/],
    [['run', image, '--timeout', '0'], /--timeout 0: not/],
    [['run', image, '--max-instructions', '1.5'], /--max-instructions 1.5/],
    [['run', image, '--seed', '-1'], /--seed -1/],
    [['run', image, '--rtc', 'yesterday'], /--rtc yesterday: not a time/],
    [['run', image, '--rtc', '1970-01-01'], /1980 to 2079/],
    [['run', image, '--rtc', '2026-02-30'], /--rtc 2026-02-30: the calendar has no such day/],
    [['run', image, '--rtc', '2026-06-31T10:00:00+02:00'], /the calendar has no such day/],
    [['run', image, '--rtc', '2026-13-01'], /--rtc 2026-13-01/],
    [['run', image, '--type', script], /--type: line 1 has no arrow/],
    [['run', image, '--format', 'pe'], /--format pe: not one of auto, flat32, flat64/],
    [['run', image, '--colour'], /unknown option '--colour'/],
    [['run'], /missing required argument 'image'/],
    [['fly'], /unknown command 'fly'/],
  ];
  test.each(rows)('%j', async (args, message) => {
    const { code, stderr, stdout, guest } = await vmexit(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^vmexit: /);
    expect(stderr).not.toMatch(/ at .*\.ts:/);
    expect({ code, stdout, guest }).toEqual({ code: 2, stdout: '', guest: undefined });
  });
});

describe('what the machine gets', () => {
  test('defaults', async () => {
    const { guest } = await vmexit(['run', image]);
    expect(guest?.spec).toMatchObject({
      memoryBytes: 256 << 20,
      backend: 'vmx',
      bare: false,
      cpu: 'intel',
      commandLine: '',
      imageName: 'image',
      seed: 0,
      format: 'auto',
      rtcStart: Date.UTC(2026, 0, 1) / 1000,
    });
    expect(guest?.spec.debugExit).toBeUndefined();
  });

  test('a leap day is a day; isa-debug-exit has four ports from F4h on', async () => {
    const { guest } = await vmexit(['run', image, '--rtc', '2028-02-29', '--device', 'isa-debug-exit']);
    expect(guest?.spec).toMatchObject({ rtcStart: Date.UTC(2028, 1, 29) / 1000, debugExit: 0xf4, debugExitSize: 4 });
  });

  test('everything given', async () => {
    const initrd = file('initrd', 'ramdisk');
    const args = [
      '--initrd',
      initrd,
      '--module',
      `${initrd} a b`,
      '--append',
      'console=ttyS0 quiet',
      '--memory',
      '1G',
      '--bare',
      '--cpu',
      'intel-vmx,-pcid',
      '--device',
      'isa-debug-exit,iobase=0x501,iosize=2',
      '--seed',
      '7',
    ];
    const { guest } = await vmexit(['run', image, ...args, '--rtc', '2030-02-03T04:05:06Z', '--format', 'flat64']);
    expect(guest?.spec).toMatchObject({
      memoryBytes: 1 << 30,
      bare: true,
      cpu: 'intel-vmx,-pcid',
      commandLine: 'console=ttyS0 quiet',
      debugExit: 0x501,
      debugExitSize: 2,
      initrdName: initrd,
      seed: 7,
      format: 'flat64',
      rtcStart: Date.UTC(2030, 1, 3, 4, 5, 6) / 1000,
    });
    expect(Buffer.from(guest!.spec.initrd!).toString()).toBe('ramdisk');
    expect(guest?.spec.modules[0].commandLine).toBe(`${initrd} a b`);
  });
});

describe('console', () => {
  test('guest output is on stdout, and a table of exits behind it', async () => {
    const { stdout } = await vmexit(['run', image, '--stats'], [printThen('hello', powerOff)]);
    expect(stdout).toMatch(/^hello\n\n0 guest instructions.*3 VM exits\n/);
    expect(stdout).toMatch(/CPUID +3 +100.00% +0x1 \(3\)/);
  });

  test('--json: one object, the console inside', async () => {
    const { stdout } = await vmexit(['run', image, '--json'], [printThen('hello\n', powerOff)]);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'power-off', status: 0, console: 'hello\n', exits: [{ reason: 'CPUID', count: 3 }] });
  });

  test('--device virtio-console: its port in a file, the serial port on stdout', async () => {
    const path = file('hvc0', '');
    const print = (guest: FakeGuest): RunStop => {
      guest.print('serial');
      for (const byte of Buffer.from('virtio')) guest.spec.virtioConsole!(byte);
      return powerOff();
    };
    const { stdout, guest } = await vmexit(['run', image, '--device', `virtio-console,chardev=file:${path}`, '--device', 'virtio-rng'], [print]);
    expect([stdout.trim(), readFileSync(path, 'utf8'), guest?.spec.devices]).toEqual(['serial', 'virtio', ['virtio-rng']]);
  });

  test('--serial file:', async () => {
    const path = file('serial.log');
    const { stdout } = await vmexit(['run', image, '--serial', `file:${path}`], [printThen('to the file', powerOff)]);
    expect(stdout).toBe('');
    expect(readFileSync(path, 'utf8')).toBe('to the file');
  });

  test('piped input is typed; its end ends nothing', async () => {
    const stdin = new FakeStdin();
    setImmediate(() => {
      stdin.emit('data', Buffer.from('ls\n'));
      stdin.emit('end');
    });
    const { guest, code } = await vmexit(['run', image], [limit, limit, limit, limit, limit, powerOff], stdin);
    expect(code).toBe(0);
    expect(guest?.receivedText).toBe('ls\n');
  });

  test('a halted guest waits for input while there may be some', async () => {
    const stdin = new FakeStdin();
    setTimeout(() => stdin.emit('data', Buffer.from('x')), 20);
    const { guest, code } = await vmexit(['run', image], [(g) => (g.received.length > 0 ? powerOff() : idle())], stdin);
    expect(code).toBe(0);
    expect(guest?.receivedText).toBe('x');
  });

  test('a terminal is raw while the guest runs; Ctrl-A X quits; Ctrl-A Ctrl-A is Ctrl-A', async () => {
    const stdin = new FakeStdin();
    stdin.isTTY = true;
    const raw: boolean[] = [];
    setTimeout(() => stdin.emit('data', Buffer.from('a\x01\x01\x03\x01h')), 10);
    setTimeout(() => {
      stdin.emit('data', Buffer.from('\x01'));
      stdin.emit('data', Buffer.from('x'));
    }, 30);
    const { guest, code, stderr } = await vmexit(['run', image], [() => (raw.push(stdin.raw), idle())], stdin);
    expect(code).toBe(130);
    expect(raw).toContain(true);
    expect(stdin.raw).toBe(false);
    expect(guest?.receivedText).toBe('a\x01\x03');
    expect(stderr).toContain('Ctrl-A X  quit');
  });
});

describe('--type', () => {
  test('types when the text has appeared, in order, at once', async () => {
    const script = file('type', '# log in\nlogin:\\s -> root\\n\n# -> echo \\x68\\x69\\n\n\n -> !\n');
    let before = '';
    const { guest } = await vmexit(
      ['run', image, '--type', script],
      [
        (g) => {
          g.print('Debian # log');
          before = g.receivedText;
          g.print('in: ');
          expect(g.receivedText).toBe('root\n');
          g.print('\r\n~ #');
          return powerOff();
        },
      ],
    );
    expect(before).toBe('');
    expect(guest?.receivedText).toBe('root\necho hi\n!');
  });
});
