/** VMX operation: transitions by name, and random walks that compare the processor with the table. */
import fc from 'fast-check';
import { VmInstructionError } from '../../vmx/instructions/result';
import { OPERATION, State, transition, type Event } from '../../vmx/operation';
import { ExitReason } from '../../vmx/exit/reason';
import { BASELINE, VMCS_A, VMCS_B, VMXON_REGION, insn, machine, rootWithVmcs, type Bench } from './bench';

const EVENTS = Object.keys(OPERATION[State.OutsideVmx]) as Event[];

describe('the table', () => {
  const STATES = [State.OutsideVmx, State.RootWithoutVmcs, State.RootWithClearVmcs, State.RootWithLaunchedVmcs, State.NonRoot, State.Shutdown];
  const SHORT = ['outside', 'none', 'clear', 'launched', 'non-root', 'shutdown'];
  /** SDM, the "Operation" sections of the VMX instruction reference: a column a state, in the order above. `=` stays there, `-` cannot happen. */
  const ROWS: Readonly<Record<Event, string>> = {
    VMXON: 'none error15 error15 error15 exit27 -',
    VMXOFF: '#UD outside outside outside exit26 -',
    'VMCLEAR of the current VMCS': '#UD - none none exit19 -',
    'VMCLEAR of another VMCS': '#UD = = = exit19 -',
    'VMPTRLD of a clear VMCS': '#UD clear clear clear exit21 -',
    'VMPTRLD of a launched VMCS': '#UD launched launched launched exit21 -',
    VMPTRST: '#UD = = = exit22 -',
    VMREAD: '#UD invalid = = exit23 -',
    VMWRITE: '#UD invalid = = exit25 -',
    VMLAUNCH: '#UD invalid non-root error4 exit20 -',
    VMRESUME: '#UD invalid error5 non-root exit24 -',
    VMCALL: '#UD error1 error1 error1 exit18 -',
    INVEPT: '#UD = = = exit50 -',
    INVVPID: '#UD = = = exit53 -',
    'VM exit': '- - - - launched -',
    // "The launch state of the VMCS is not changed" by a VM entry that fails.
    'VM-entry failure': '- - = = - -',
    'VMX abort': '- - shutdown shutdown shutdown -',
  };
  const cell = (state: State, event: Event): string => {
    const t = transition(state, event);
    switch (t.kind) {
      case 'to':
        return t.state === state ? '=' : SHORT[STATES.indexOf(t.state)];
      case 'fail-invalid':
        return 'invalid';
      case 'fail-valid':
        return `error${t.error}`;
      case 'undefined-opcode':
        return '#UD';
      case 'exit':
        return `exit${t.reason}`;
      case 'never':
        return '-';
    }
  };
  /** A transition back to where one is reads the same, whether it is written by name or not. */
  const named = (row: string): string =>
    row
      .split(' ')
      .map((c, i) => (c === SHORT[i] ? '=' : c))
      .join(' ');
  it.each(Object.entries(ROWS) as [Event, string][])('%s: %s', (event, row) => expect(STATES.map((s) => cell(s, event)).join(' ')).toBe(named(row)));
  it('has these events and states', () => {
    expect([...EVENTS].sort()).toEqual(Object.keys(ROWS).sort());
    expect(Object.keys(OPERATION)).toEqual(STATES);
  });
});

describe('the processor', () => {
  type Step = (b: Bench) => string;
  const STEPS: Record<string, Step> = {
    vmxon: ({ vmx }) => vmx.vmxon(VMXON_REGION).kind,
    vmclearA: ({ vmx }) => vmx.vmclear(VMCS_A).kind,
    vmclearB: ({ vmx }) => vmx.vmclear(VMCS_B).kind,
    vmptrldA: ({ vmx }) => vmx.vmptrld(VMCS_A).kind,
    vmptrldB: ({ vmx }) => vmx.vmptrld(VMCS_B).kind,
    program: (b) => {
      if (b.vmx.vmcs.present) b.write(BASELINE);
      return '';
    },
    launch: ({ vmx }) => vmx.launch().kind,
    resume: ({ vmx }) => vmx.resume().kind,
    exit: ({ vmx, cpu }) => {
      cpu.insn = insn({});
      vmx.exitOnInstruction(ExitReason.Cpuid);
      return '';
    },
    vmxoff: ({ vmx }) => vmx.vmxoff().kind,
  };

  it('walks the table: a shadow model of two VMCSs predicts every result', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...Object.keys(STEPS)), { maxLength: 40 }), (names) => {
        const bench = machine();
        // The model: which VMCS is current, which are launched, whether they are programmed.
        let on = false;
        let inGuest = false;
        let current: 'A' | 'B' | undefined;
        const launched = { A: false, B: false };
        const programmed = { A: false, B: false };
        for (const name of names) {
          if (inGuest !== (name === 'exit')) continue;
          if (!on && name !== 'vmxon') continue;
          const got = STEPS[name](bench);
          const which = name.endsWith('A') ? 'A' : 'B';
          if (name === 'vmxon') {
            expect(got).toBe(!on ? 'succeed' : current ? 'fail-valid' : 'fail-invalid');
            on = true;
          } else if (name.startsWith('vmclear')) {
            expect(got).toBe('succeed');
            launched[which] = false;
            if (current === which) current = undefined;
          } else if (name.startsWith('vmptrld')) {
            expect(got).toBe('succeed');
            current = which;
          } else if (name === 'program') {
            if (current) programmed[current] = true;
          } else if (name === 'launch' || name === 'resume') {
            if (!current) expect(got).toBe('fail-invalid');
            else if (launched[current] === (name === 'launch')) expect(got).toBe('fail-valid');
            else if (!programmed[current]) expect(got).toBe('fail-valid');
            else {
              expect(got).toBe('entered');
              launched[current] = true;
              inGuest = true;
            }
          } else if (name === 'exit') inGuest = false;
          else {
            expect(got).toBe('succeed');
            on = false;
            current = undefined;
          }
          const state = !on
            ? State.OutsideVmx
            : inGuest
              ? State.NonRoot
              : !current
                ? State.RootWithoutVmcs
                : launched[current]
                  ? State.RootWithLaunchedVmcs
                  : State.RootWithClearVmcs;
          expect(bench.vmx.state).toBe(state);
          expect(bench.vmx.guestMode).toBe(inGuest);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the launch state in the region across VMPTRLD of another VMCS', () => {
    const bench = rootWithVmcs();
    expect(bench.vmx.launch().kind).toBe('entered');
    bench.cpu.insn = insn({});
    bench.vmx.exitOnInstruction(ExitReason.Cpuid);
    bench.vmx.vmclear(VMCS_B);
    bench.vmx.vmptrld(VMCS_B);
    expect(bench.vmx.resume()).toEqual({ kind: 'fail-valid', error: VmInstructionError.VmresumeNonLaunchedVmcs });
    bench.vmx.vmptrld(VMCS_A);
    expect(bench.vmx.launch()).toEqual({ kind: 'fail-valid', error: VmInstructionError.VmlaunchNonClearVmcs });
    expect(bench.vmx.resume().kind).toBe('entered');
  });
});
