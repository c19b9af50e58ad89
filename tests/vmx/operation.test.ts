/** VMX operation: transitions by name, and random walks that compare the processor with the table. */
import fc from 'fast-check';
import { VmInstructionError } from '../../vmx/instructions/result';
import { OPERATION, State, transition, type Event } from '../../vmx/operation';
import { ExitReason } from '../../vmx/exit/reason';
import { BASELINE, VMCS_A, VMCS_B, VMXON_REGION, insn, machine, rootWithVmcs, type Bench } from './bench';

const EVENTS = Object.keys(OPERATION[State.OutsideVmx]) as Event[];

describe('the table', () => {
  // SDM, the "Operation" sections of the VMX instruction reference.
  it.each<[State, Event, object]>([
    [State.OutsideVmx, 'VMXON', { kind: 'to', state: State.RootWithoutVmcs }],
    [State.OutsideVmx, 'VMREAD', { kind: 'undefined-opcode' }],
    [State.OutsideVmx, 'VMCALL', { kind: 'undefined-opcode' }],
    [State.RootWithoutVmcs, 'VMXON', { kind: 'fail-valid', error: 15 }],
    [State.RootWithoutVmcs, 'VMREAD', { kind: 'fail-invalid' }],
    [State.RootWithoutVmcs, 'VMLAUNCH', { kind: 'fail-invalid' }],
    [State.RootWithClearVmcs, 'VMRESUME', { kind: 'fail-valid', error: 5 }],
    [State.RootWithClearVmcs, 'VMLAUNCH', { kind: 'to', state: State.NonRoot }],
    [State.RootWithClearVmcs, 'VM-entry failure', { kind: 'to', state: State.RootWithClearVmcs }],
    [State.RootWithLaunchedVmcs, 'VMLAUNCH', { kind: 'fail-valid', error: 4 }],
    [State.RootWithLaunchedVmcs, 'VMCLEAR of the current VMCS', { kind: 'to', state: State.RootWithoutVmcs }],
    [State.RootWithLaunchedVmcs, 'VMCALL', { kind: 'fail-valid', error: 1 }],
    [State.NonRoot, 'VM exit', { kind: 'to', state: State.RootWithLaunchedVmcs }],
    [State.NonRoot, 'VMXOFF', { kind: 'exit', reason: 26 }],
    [State.NonRoot, 'INVVPID', { kind: 'exit', reason: 53 }],
  ])('%s --%s--> %j', (state, event, expected) => expect(transition(state, event)).toEqual(expected));

  it('lets every VMX instruction exit in non-root operation', () => {
    for (const event of EVENTS.filter((e) => /^[VI][MN]/.test(e) && !e.startsWith('VM exit') && !e.startsWith('VM-') && !e.startsWith('VMX '))) {
      expect(transition(State.NonRoot, event).kind).toBe('exit');
    }
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
