/** Exits to hypervisors inside a bare machine, and their VM entries that fail: told as they were, whatever the hypervisor has written since. */
import { Interpreter } from '../../debugger/commands/interpreter';
import { DebugError, type ExitView } from '../../debugger/target';
import { debugSession } from './debug-guests';

interface Explained extends Omit<ExitView, 'rip'> {
  readonly rip: string;
  readonly facts: Readonly<Record<string, string>>;
  readonly broken: readonly string[];
}

function machine(cpu: 'intel-vmx' | 'amd-svm') {
  const image = cpu === 'intel-vmx' ? 'vmx-hypervisor' : 'svm-hypervisor';
  const interpreter = new Interpreter(debugSession('bare', image, { cpu }).session);
  const say = (line: string): string => interpreter.perform(line).text;
  return { say, interpreter, session: interpreter.session, explained: () => interpreter.perform('explain').data as Explained };
}

describe('VT-x', () => {
  const { say, session, explained } = machine('intel-vmx');

  it('the exit stays as it was when the hypervisor writes RIP', () => {
    say('break-exit CPUID');
    say('continue');
    const before = explained();
    expect(before).toMatchObject({ reason: 'CPUID', facts: { EXIT_INSTRUCTION_LENGTH: '0x2' } });
    say('delete');
    say('break-vmwrite GUEST_RIP');
    say('continue');
    say('step 4');
    expect(session.control.read(session.control.field('GUEST_RIP'))).not.toBe(BigInt(before.rip));
    expect(explained()).toEqual(before);
    // A snapshot has a copy: visiting the past and coming back changes nothing.
    const { instructions } = session.position;
    say('seek 1000');
    expect(() => say('explain')).toThrow(/no VM exit has happened yet/);
    say(`seek ${instructions}`);
    expect(explained()).toEqual(before);
    say('delete');
  });

  it('counts exits by reason', () => {
    expect(say('info exits').split('\n').slice(0, 2)).toEqual([expect.stringMatching(/^ +1 {2}VMCALL$/), expect.stringMatching(/^ +1 {2}CPUID$/)]);
  });

  it('shows the fields that an exit sets, and no others', () => {
    say('break-exit EPT_VIOLATION');
    say('continue');
    expect(Object.keys(explained().facts)).toEqual(['GUEST_PHYSICAL_ADDRESS', 'GUEST_LINEAR_ADDRESS']);
    say('delete');
    // The addresses of the violations are still in the VMCS; "Guest-linear address" is for I/O by string instructions only.
    say('break-exit vmcall');
    say('continue 2');
    expect(session.control.read(session.control.field('GUEST_PHYSICAL_ADDRESS'))).not.toBe(0n);
    expect(Object.keys(explained().facts)).toEqual(['EXIT_INSTRUCTION_LENGTH']);
    say('delete');
  });

  it('an entry that fails in its guest state: every broken rule, as it was then', () => {
    say('break-exit entry-failure if code == 0x80000021');
    say('continue');
    const { broken, facts, reason } = explained();
    expect({ reason, facts }).toEqual({ reason: 'ENTRY_FAILURE_GUEST_STATE', facts: {} });
    // An interrupt is injected while IF is 0.
    expect(broken.join('\n')).toMatch(/IF flag[\s\S]*GUEST_RFLAGS = 0x2,[\s\S]*SDM[\s\S]*"Checks on Guest RIP, RFLAGS, and SSP"/);
    say('step 2000');
    expect(explained().broken).toEqual(broken);
    say('delete');
  });

  it.each([
    [7, /VMfailValid\(7\): VM entry with invalid control field\(s\)/, /SDM.*"VM-(Execution|Entry|Exit) Control Fields"/],
    [8, /VMfailValid\(8\): VM entry with invalid host-state field\(s\)/, /SDM.*"Checks on Host /],
  ])('an entry that ends in VMfailValid(%i), which is no exit', (code, text, rule) => {
    say(`break-exit entry-failure if code == ${code}`);
    say('continue');
    const { exits } = session.position;
    const explanation = say('explain');
    expect(explanation).toMatch(text);
    expect(explanation).toMatch(rule);
    expect(explained()).toMatchObject({ reason: 'VM_FAIL_VALID', number: exits });
    say('delete');
  });

  it('names of exits: kinds that this processor makes', () => {
    for (const name of ['hypercall', 'entry-failure', 'VM_FAIL_VALID', 'nested-misconfiguration']) expect(say(`break-exit ${name}`)).toMatch(/^\d+: break at/);
    expect(() => say('break-exit unexpected')).toThrow(/no exits for "unexpected"/);
    say('delete');
  });
});

describe('AMD-V', () => {
  const { say, session, explained } = machine('amd-svm');

  it('the exit stays as it was when the hypervisor clears the VMCB', () => {
    say('break-exit IDTR_READ');
    say('continue');
    // The exit behind it is the last of this guest; its VMCB is made anew for the next one.
    say('exit');
    const before = explained();
    say('delete');
    say('break-vmwrite RIP');
    say('continue');
    expect(session.control.read(session.control.field('RIP'))).not.toBe(BigInt(before.rip));
    expect(explained()).toMatchObject({ reason: before.reason, rip: before.rip, facts: before.facts });
    say('delete');
  });

  it('VMEXIT_INVALID: every broken rule', () => {
    say('break-exit entry-failure');
    say('continue');
    expect(explained()).toMatchObject({ reason: 'INVALID', facts: {} });
    expect(say('explain')).toMatch(/broken when it was tried:[\s\S]*APM/);
    say('delete');
  });

  it('RDMSR and WRMSR have one code, and are told apart', () => {
    say('seek 0');
    say('break-exit wrmsr');
    say('continue');
    const { exit } = session.lastStop as Extract<NonNullable<typeof session.lastStop>, { kind: 'exit' }>;
    expect(exit).toMatchObject({ reason: 'MSR', qualification: 1n });
    expect(() => say('break-exit nested-misconfiguration')).toThrow(DebugError);
  });
});

describe('commands at a bare machine', () => {
  const { say, interpreter } = machine('intel-vmx');

  it('* is guest-physical for code as for memory, and means nothing in front of a breakpoint, as in GDB', () => {
    const code = say('x/2i 0x100000');
    expect(say('x/2i *0x100000').replace(/^   /gm, '')).toBe(code.replace(/^(=>| {2}) /gm, ''));
    expect(say('disas **0x100000 2')).toBe(say('x/2i *0x100000'));
    expect(say('break *0x100001')).toMatch(/^1: break at 0x100001$/);
    say('delete');
  });

  it('a condition with a name that nothing has is refused at once; one that cannot be asked names its breakpoint', () => {
    for (const line of ['break-exit CPUID if nosuch == 1', 'break pc if nosuch', 'break-exit CPUID if port == 1'])
      expect(() => say(line)).toThrow(/^"(nosuch|port)" is no register, no symbol and no number$/);
    say('break-exit vmcall if [0xffff000000000000] == 1');
    expect(() => say('continue')).toThrow(/^breakpoint \d+: "\[0xffff000000000000\] == 1" cannot be asked here: /);
    // It stands at the exit, and can go on.
    expect(say('explain')).toMatch(/^exit 1: VMCALL/);
    say('delete');
    expect(say('exit')).toMatch(/^exit 2: /);
  });

  it('Tab knows the fields after last-write', () => {
    expect(interpreter.complete('last-write GUEST_RI')[0]).toEqual(['GUEST_RIP']);
    expect(interpreter.complete('last-write rsp 8')[1]).toBe('8');
  });
});

it('a condition on what only some exits carry does not hold for the others', () => {
  const interpreter = new Interpreter(debugSession('vmx').session);
  interpreter.perform('break-exit if port == 0x3f8');
  expect(interpreter.perform('continue').text).toMatch(/^exit \d+: IO_INSTRUCTION .*qualification 0x3f8/);
});
