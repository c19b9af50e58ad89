import { Computer, ConfigurationError, DebugError, type ComputerConfiguration, type EventName } from '../../index';
import { bundled, straightRun, type Backend } from '../debugger/debug-guests';

const tour = bundled('tour');
const build = (backend: Backend, more: Partial<ComputerConfiguration> = {}): Computer => new Computer({ image: tour, memory: '8M', backend, ...more });

describe('a configuration that is wrong is refused with all that is wrong', () => {
  test.each<[string, object, RegExp]>([
    ['no image', {}, /^image: give a Uint8Array/],
    ['memory', { image: tour, memory: '5T' }, /^memory: "5T" is no size/],
    ['half a page', { image: tour, memory: 2 ** 21 + 5 }, /^memory: 2097157 is no size/],
    ['a processor', { image: tour, cpu: 'z80' }, /^cpu: .*z80/],
    ['a feature', { image: tour, cpu: 'intel,+teleport' }, /teleport.*known features/],
    ['a key', { image: tour, memroy: '8M' }, /memroy/],
    ['a backend', { image: tour, backend: 'kvm' }, /^backend: /],
    ['a VM in a VM', { image: tour, cpu: 'intel-vmx' }, /^cpu: a VM has no vmx of its own/],
    ['routes without a hypervisor', { image: tour, backend: 'bare', routes: {} }, /^routes: a bare machine/],
  ])('%s', (_what, configuration, message) => {
    expect(() => new Computer(configuration as ComputerConfiguration)).toThrow(ConfigurationError);
    expect(() => new Computer(configuration as ComputerConfiguration)).toThrow(message);
  });
  test('one line for each', () => {
    expect(() => build('bare', { memory: 'x', seed: -1 })).toThrow(/memory: .*\n?.*seed: |seed: .*\n?.*memory: /s);
  });
});

describe.each(['bare', 'vmx', 'svm'] as const)('%s', (backend) => {
  const cpu = backend === 'svm' ? 'amd' : 'intel';

  test('runs as the guest alone does, whoever listens', () => {
    const { guest, outside } = straightRun(backend);
    const computer = build(backend, { cpu });
    const heard = new Map<EventName, number>();
    const names: EventName[] = ['exit', 'entry', 'inject', 'interrupt', 'msr', 'pageWalk', 'tlbFill', 'deviceAccess', 'console'];
    const stops = names.map((name) => computer.on(name, () => heard.set(name, (heard.get(name) ?? 0) + 1)));
    const stop = computer.run();
    expect(stop).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(computer.console).toBe(outside.console);
    expect([computer.position.instructions, computer.position.ticks]).toEqual([guest.instructions, guest.time]);
    expect(computer.exitCounts()).toEqual(guest.exitRows());
    expect(heard.get('console')).toBe(outside.console.length);
    const exits = guest.exitRows().reduce((sum, row) => sum + row.count, 0);
    expect(heard.get('exit') ?? 0).toBe(exits);
    for (const name of ['interrupt', 'msr', 'pageWalk', 'tlbFill', 'deviceAccess'] as const) expect([name, (heard.get(name) ?? 0) > 0]).toEqual([name, true]);
    for (const silence of stops) silence();
    // Nothing of the hooks is left.
    const { machine, vm } = computer.guest;
    expect(Object.entries(machine.cpu.observer).filter(([name, hook]) => hook !== undefined && name !== 'deliver')).toEqual([]);
    expect([machine.ports.onDevice, machine.memory.onDevice, vm?.ports.onDevice, vm?.memory.onDevice]).toEqual([undefined, undefined, undefined, undefined]);
  });

  test('runs to a count, an address and a text, each exactly', () => {
    const computer = build(backend, { cpu });
    expect(computer.runUntil({ instructions: 14_000 })).toMatchObject({ kind: 'limit', position: { instructions: 14_000 } });
    const address = computer.readRegister('rip');
    expect(build(backend, { cpu }).runUntil({ address })).toMatchObject({ kind: 'breakpoint', address });
    const third = build(backend, { cpu });
    expect(third.runUntil({ console: 'CPUID' }).kind).toBe('interrupted');
    expect(third.console.endsWith('CPUID')).toBe(true);
    expect(third.runUntil({ console: /powered? ?off/i }).kind).toMatch(/interrupted|ended/);
    // Breakpoints of a motion go with it.
    expect(third.session.breakpoints).toEqual([]);
  });

  test('steps instructions, and goes on from a snapshot as often as wanted', () => {
    const computer = build(backend, { cpu });
    computer.run({ instructions: 10_000 });
    const snapshot = computer.snapshot();
    const ends = [0, 1, 2].map(() => {
      computer.restore(snapshot);
      expect(computer.position).toEqual(snapshot.position);
      expect(computer.step(5).position.instructions).toBe(10_005);
      computer.run();
      return [computer.console, computer.position.instructions];
    });
    expect(ends[1]).toEqual(ends[0]);
    expect(ends[2]).toEqual(ends[0]);
    expect(() => build(backend).restore(snapshot)).toThrow(DebugError);
  });

  test('looks at registers, memory in its three spaces, and the walk between them', () => {
    const computer = build(backend, { cpu });
    computer.run({ instructions: 14_000 });
    const rip = computer.readRegister('rip');
    const { guestPhysical, hostPhysical, references, walk, problem } = computer.translate(rip);
    expect(problem).toBeUndefined();
    const virtual = computer.readMemory('virtual', rip, 8);
    expect(computer.readMemory('guest-physical', BigInt(guestPhysical!), 8)).toEqual(virtual);
    expect(computer.readMemory('host-physical', BigInt(hostPhysical!), 8)).toEqual(virtual);
    // Large pages: three levels of each dimension. SDM "EPT Translation Mechanism": every guest entry and the result are walked again.
    expect(walk.entries.map((e) => e.nested?.entries.length)).toEqual(backend === 'bare' ? [undefined, undefined, undefined] : [3, 3, 3]);
    expect(references).toBe(backend === 'bare' ? 3 : (3 + 1) * (3 + 1) - 1);
    expect(computer.translate(0x7f00_0000_0000n)).toMatchObject({ hostPhysical: undefined, problem: expect.stringMatching(/not present/) });
  });

  test('without a history there is no way back, and with one there is', () => {
    const alone = build(backend, { cpu });
    alone.run({ instructions: 9_000 });
    expect(() => alone.reverseStep()).toThrow(/keeps no history/);
    const computer = build(backend, { cpu, history: { interval: 3_000 } });
    computer.run({ instructions: 9_000 });
    const rip = computer.readRegister('rip');
    computer.step();
    computer.reverseStep();
    expect([computer.position.instructions, computer.readRegister('rip')]).toEqual([9_000, rip]);
  });
});

describe.each(['vmx', 'svm'] as const)('a VM, %s', (backend) => {
  const cpu = backend === 'svm' ? 'amd' : 'intel';

  test('runs to an exit, by name and by predicate, and steps exits', () => {
    const computer = build(backend, { cpu });
    expect(computer.runUntil({ exit: 'cpuid' })).toMatchObject({ kind: 'exit', exit: { reason: 'CPUID' } });
    expect(computer.runUntil({ exit: ({ handler }) => handler === 'hlt' })).toMatchObject({ kind: 'exit', exit: { reason: 'HLT' } });
    const { exits } = computer.position;
    expect(computer.stepExit(3).position.exits).toBe(exits + 3);
    expect(() => computer.runUntil({ exit: 'CPUIDS' })).toThrow(DebugError);
  });

  test('iterates over exits while it stands at them', async () => {
    const computer = build(backend, { cpu });
    const leaves: bigint[] = [];
    for await (const exit of computer.exits('CPUID')) {
      expect(exit.outcome).toBeUndefined();
      leaves.push(computer.readRegister('rax') & 0xffff_ffffn);
    }
    expect(leaves).toContain(0x8000_0002n);
    expect(leaves.length).toBe(build(backend, { cpu }).run() && computer.exitCounts().find((r) => r.reason === 'CPUID')?.count);
  });

  test('fields have the names of the manual', () => {
    const computer = build(backend, { cpu });
    computer.runUntil({ exit: 'cpuid' });
    const rip = computer.readRegister('rip');
    expect(computer.readField(backend === 'vmx' ? 'GUEST_RIP' : 'RIP')).toBe(rip);
    // SDM "VMX Basic Exit Reasons": CPUID is 10. APM "SVM Intercept Exit Codes": VMEXIT_CPUID is 72h.
    expect(computer.readField(backend === 'vmx' ? 'EXIT_REASON' : 'EXITCODE')).toBe(backend === 'vmx' ? 10n : 0x72n);
    expect(() => computer.readField('GUEST_SOUL')).toThrow(DebugError);
  });

  test('entries are as many as exits, and injected interrupts are delivered', () => {
    const computer = build(backend, { cpu });
    let [entries, exits] = [0, 0];
    const [injected, delivered]: number[][] = [[], []];
    computer.on('entry', () => entries++);
    computer.on('exit', () => exits++);
    computer.on('inject', ({ type, vector }) => type === 'external-interrupt' && injected.push(vector));
    computer.on('interrupt', ({ type, vector }) => type === 'external-interrupt' && delivered.push(vector));
    computer.run();
    expect(entries).toBe(exits);
    expect(injected.length).toBeGreaterThan(3);
    expect(delivered).toEqual(injected);
  });

  test('MSR and device events carry what the guest saw', () => {
    const computer = build(backend, { cpu });
    const ports: string[] = [];
    const msrs: number[] = [];
    computer.on('deviceAccess', ({ space, address, value, write }) => space === 'port' && address === 0x3f8 && write && ports.push(String.fromCharCode(value)));
    computer.on('msr', ({ index }) => msrs.push(index));
    computer.run();
    expect(ports.join('')).toContain(computer.console.slice(0, 40));
    expect(msrs.length).toBeGreaterThan(0);
  });

  test('a write hook hears the same writes as a watchpoint, and the guest notices nothing', () => {
    const watched = build(backend, { cpu });
    watched.run({ instructions: 14_000 });
    const address = watched.readRegister('rsp') - 8n;
    const gpa = watched.translate(address).guestPhysical!;
    watched.addBreakpoint({ kind: 'watch', space: 'guest-physical', address: BigInt(gpa), length: 8, access: 'write' });
    const byWatchpoint: bigint[] = [];
    for (let stop = watched.run(); stop.kind === 'watchpoint'; stop = watched.run()) byWatchpoint.push(stop.rip);

    const hooked = build(backend, { cpu });
    hooked.run({ instructions: 14_000 });
    const byHook: bigint[] = [];
    hooked.onWrite(gpa, 8, ({ rip }) => byHook.push(rip));
    expect(hooked.run()).toMatchObject({ kind: 'ended', because: 'power-off' });
    expect(byHook).toEqual(byWatchpoint);
    expect([hooked.console, hooked.position.instructions]).toEqual([watched.console, watched.position.instructions]);
    expect(() => hooked.onWrite(0xfee0_0000, 4, () => {})).toThrow(/not RAM/);
  });

  test('who last wrote a byte of the stack, and a field that only the hypervisor writes', () => {
    const computer = build(backend, { cpu, history: { interval: 3_000 } });
    computer.run({ instructions: 14_000 });
    const address = computer.readRegister('rsp') - 8n;
    const { id } = computer.addBreakpoint({ kind: 'watch', space: 'virtual', address, length: 8, access: 'write' });
    expect(computer.run().kind).toBe('watchpoint');
    computer.removeBreakpoint(id);
    computer.step(4_000);
    const here = computer.position;
    const value = computer.readMemory('virtual', address, 8);
    const stop = computer.lastWrite({ space: 'virtual', address, length: 8 });
    expect(stop).toMatchObject({ kind: 'watchpoint', write: true, newValue: Buffer.from(value).readBigUInt64LE() });
    expect(stop.kind === 'watchpoint' && stop.rip).toBe(computer.readRegister('rip'));
    computer.step();
    expect(computer.readMemory('virtual', address, 8)).toEqual(value);
    computer.seek(here.instructions);
    const byHypervisor = computer.lastWrite({ field: backend === 'vmx' ? 'GUEST_RIP' : 'RIP' });
    // It stepped over an instruction that had exited.
    expect(byHypervisor).toMatchObject({ kind: 'watchpoint', explanation: expect.stringMatching(/by the hypervisor/) });
    expect(computer.session.breakpoints).toEqual([]);
  });

  test('a policy answers CPUID', () => {
    const computer = build(backend, {
      cpu,
      policy: (usual) => ({
        cpuid: (leaf, subleaf) => (leaf === 0 ? [1, 0x6c61_7641, 0, 0] : usual.cpuid(leaf, subleaf)),
        readMsr: (index) => usual.readMsr(index),
        writeMsr: (index, value) => usual.writeMsr(index, value),
      }),
    });
    computer.run();
    expect(computer.console).toContain('Aval');
  });
});
