import fc from 'fast-check';
import { R } from '../../cpu/layout';
import { writeEfer } from '../../cpu/system/control-state';
import { OPERATION, State, transition, type Event, type Transition } from '../../svm/operation';
import { HOST_CODE, VMRUN, svmBench, type SvmBench } from './bench';

const SVM_OPCODES: Partial<Record<Event, number>> = {
  VMRUN: 0xd8,
  VMMCALL: 0xd9,
  VMLOAD: 0xda,
  VMSAVE: 0xdb,
  STGI: 0xdc,
  CLGI: 0xdd,
  SKINIT: 0xde,
  INVLPGA: 0xdf,
};
const EVENTS = Object.keys(OPERATION[State.Host]) as Event[];
const REACHABLE = Object.values(State);

/** Executes one instruction at HOST_CODE in the host; the vector of its fault. */
function execute(b: SvmBench, code: readonly number[], limit = 1): number | undefined {
  let vector: number | undefined;
  b.memory.writeBytes(HOST_CODE, Uint8Array.from(code));
  b.engine.clearGates();
  b.engine.addGate(HOST_CODE + code.length);
  b.cpu.setGpr(0, BigInt(b.vmcb));
  b.cpu.rip = BigInt(HOST_CODE);
  b.engine.onFault = (event) => {
    if (b.svm.guestMode) return false;
    vector = event.vector;
    b.engine.stop();
    return true;
  };
  b.engine.run(b.cpu.now() + limit);
  b.engine.onFault = undefined;
  return vector;
}

/** The same in the guest, which executes it and VMMCALL; `intercept` sets its bit. */
function executeInGuest(b: SvmBench, opcode: number, word: 3 | 4, bit: number, intercept: boolean): bigint {
  const base = word === 3 ? { INTERCEPTS_3: (0x8000_0000 | (intercept ? bit : 0)) >>> 0 } : { INTERCEPTS_4: 3 | (intercept ? bit : 0) };
  if (!intercept && bit === 2) Object.assign(base, { INTERCEPTS_4: 1 });
  b.create([0x0f, 0x01, opcode], { ...base, RAX: b.vmcb, EXCEPTION_INTERCEPTS: 1 << 6 });
  execute(b, VMRUN, 1000);
  return b.exitCode;
}

describe('the table', () => {
  it('says for each state and event what happens', () => {
    for (const state of REACHABLE) for (const event of EVENTS) expect(transition(state, event)).toBeDefined();
  });
  it.each([
    // APM: "VMRUN sets GIF", "#VMEXIT clears GIF", #UD without EFER.SVME, VMMCALL is #UD unless intercepted.
    [State.Host, 'VMRUN', { kind: 'to', state: State.Guest }],
    [State.HostGifClear, 'VMRUN', { kind: 'to', state: State.Guest }],
    [State.Guest, '#VMEXIT', { kind: 'to', state: State.HostGifClear }],
    [State.Host, 'VMRUN of an illegal VMCB', { kind: 'to', state: State.HostGifClear }],
    [State.Host, 'VMMCALL', { kind: 'undefined-opcode' }],
    [State.Disabled, 'STGI', { kind: 'undefined-opcode' }],
    [State.HostGifClear, 'STGI', { kind: 'to', state: State.Host }],
  ] as const)('%s --%s', (state, event, next) => expect(transition(state, event)).toEqual(next));
});

/**
 * The whole table once more, by the sentences of the manual. `H` host with GIF 1, `h` with GIF 0, `G` and `g` the same of a guest, `-` SVM
 * disabled, `#UD`, `!` cannot happen; `bit n of word w: exit code, else what`.
 */
const IN_GUEST = (here: 'G' | 'g'): Record<Event, string> => ({
  'EFER.SVME := 1': here,
  'EFER.SVME := 0': '!',
  VMRUN: '0 of 4: 80h, else #UD',
  'VMRUN of an illegal VMCB': '0 of 4: 80h, else #UD',
  VMMCALL: '1 of 4: 81h, else #UD',
  VMLOAD: `2 of 4: 82h, else ${here}`,
  VMSAVE: `3 of 4: 83h, else ${here}`,
  STGI: '4 of 4: 84h, else G',
  CLGI: '5 of 4: 85h, else g',
  SKINIT: '6 of 4: 86h, else #UD',
  INVLPGA: `26 of 3: 7ah, else ${here}`,
  '#VMEXIT': 'h',
});
const INSTRUCTIONS_UD = { VMLOAD: '#UD', VMSAVE: '#UD', STGI: '#UD', CLGI: '#UD', INVLPGA: '#UD' };
const BY_THE_MANUAL: Record<State, Record<Event, string>> = {
  [State.Disabled]: {
    ...{ 'EFER.SVME := 1': 'H', 'EFER.SVME := 0': '-', VMRUN: '#UD', 'VMRUN of an illegal VMCB': '#UD', ...INSTRUCTIONS_UD },
    ...{ VMMCALL: '#UD', SKINIT: '#UD', '#VMEXIT': '!' },
  },
  [State.Host]: {
    ...{ 'EFER.SVME := 1': 'H', 'EFER.SVME := 0': '-', VMRUN: 'G', 'VMRUN of an illegal VMCB': 'h', VMLOAD: 'H', VMSAVE: 'H', STGI: 'H', CLGI: 'h' },
    ...{ INVLPGA: 'H', VMMCALL: '#UD', SKINIT: '#UD', '#VMEXIT': '!' },
  },
  [State.HostGifClear]: {
    ...{ 'EFER.SVME := 1': 'h', 'EFER.SVME := 0': '-', VMRUN: 'G', 'VMRUN of an illegal VMCB': 'h', VMLOAD: 'h', VMSAVE: 'h', STGI: 'H', CLGI: 'h' },
    ...{ INVLPGA: 'h', VMMCALL: '#UD', SKINIT: '#UD', '#VMEXIT': '!' },
  },
  [State.Guest]: IN_GUEST('G'),
  [State.GuestGifClear]: IN_GUEST('g'),
};
const LETTER: Record<State | 'undefined-opcode', string> = {
  [State.Disabled]: '-',
  [State.Host]: 'H',
  [State.HostGifClear]: 'h',
  [State.Guest]: 'G',
  [State.GuestGifClear]: 'g',
  'undefined-opcode': '#UD',
};
const written = (next: Transition): string => {
  switch (next.kind) {
    case 'to':
      return LETTER[next.state];
    case 'undefined-opcode':
      return '#UD';
    case 'never':
      return '!';
    case 'intercept':
      return `${Math.log2(next.bit >>> 0)} of ${next.word}: ${next.code.toString(16)}h, else ${LETTER[next.otherwise]}`;
  }
};
describe.each(REACHABLE)('the table by the manual: %s', (state) => {
  it('has the events of the manual', () => expect(Object.keys(OPERATION[state]).sort()).toEqual(Object.keys(BY_THE_MANUAL[state]).sort()));
  it.each(Object.entries(BY_THE_MANUAL[state]))('%s: %s', (event, expected) => expect(written(transition(state, event as Event))).toBe(expected));
});

describe('in the host', () => {
  const step = (b: SvmBench, event: Event): number | undefined => {
    switch (event) {
      case 'EFER.SVME := 1':
        writeEfer(b.cpu, b.cpu.get64(R.EFER) | 0x1000n);
        return undefined;
      case 'EFER.SVME := 0':
        writeEfer(b.cpu, b.cpu.get64(R.EFER) & ~0x1000n);
        return undefined;
      case 'VMRUN':
      case 'VMRUN of an illegal VMCB':
        b.create([], { GUEST_ASID: event === 'VMRUN' ? 1 : 0 });
        return execute(b, VMRUN, 1000);
      default:
        return execute(b, [0x0f, 0x01, SVM_OPCODES[event]!]);
    }
  };

  it('a random walk goes where the table says', () => {
    const b = svmBench();
    const events = EVENTS.filter((e) => e !== '#VMEXIT');
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events), { maxLength: 30 }), (walk) => {
        b.reset({});
        for (const event of walk) {
          const before = b.svm.state;
          let next: Transition = transition(before, event);
          const vector = step(b, event);
          expect(vector).toBe(next.kind === 'undefined-opcode' ? 6 : undefined);
          // A guest that ran has ended with a VMMCALL.
          if (next.kind === 'to' && next.state === State.Guest) next = transition(next.state, '#VMEXIT');
          expect([event, b.svm.state]).toEqual([event, next.kind === 'to' ? next.state : before]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('in the guest', () => {
  const inGuest = EVENTS.flatMap((event) => {
    const next = transition(State.Guest, event);
    return next.kind === 'intercept' && SVM_OPCODES[event] !== undefined ? [[event, next] as const] : [];
  });
  it.each(inGuest)('%s', (event, next) => {
    const b = svmBench();
    const opcode = SVM_OPCODES[event]!;
    expect(executeInGuest(b, opcode, next.word, next.bit, true)).toBe(BigInt(next.code));
    // VMRUN is always intercepted.
    if (event === 'VMRUN') return;
    expect(executeInGuest(b, opcode, next.word, next.bit, false)).toBe(next.otherwise === 'undefined-opcode' ? 0x46n : 0x81n);
  });
  it('all are #UD when the guest has cleared EFER.SVME by itself', () => {
    const b = svmBench();
    b.create([0x0f, 0x30, 0x0f, 0x01, 0xdc], { EXCEPTION_INTERCEPTS: 1 << 6, RAX: 0xd01 });
    b.cpu.setGpr(1, 0xc000_0080n);
    b.cpu.setGpr(2, 0n);
    execute(b, VMRUN, 1000);
    expect(b.exitCode).toBe(0x46n);
  });
});

describe('host TypeScript', () => {
  it('is told when an instruction would fault', () => {
    const b = svmBench();
    expect(() => b.svm.vmload(8)).toThrow('VMLOAD: 0x8 is no page-aligned address of RAM');
    b.cpu.set64(R.EFER, 0xd01n);
    expect(() => b.svm.stgi()).toThrow('STGI in state "SVM disabled"');
  });
});
