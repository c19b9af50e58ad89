/**
 * SVM operation as a state machine. APM "Secure Virtual Machine": "Enabling SVM", "VMRUN Instruction", "#VMEXIT", "Global Interrupt Flag,
 * STGI and CLGI Instructions" and the "SVM Instructions". A cell says what the processor does when the event's operand is good; faults for
 * CPL, mode and operands are decided by the instruction.
 */
import { Intercept3, Intercept4 } from './controls';
import { ExitCode } from './exit/code';

export enum State {
  /** EFER.SVME = 0. */
  Disabled = 'SVM disabled',
  Host = 'host, GIF = 1',
  HostGifClear = 'host, GIF = 0',
  /** With virtual GIF, the flag of guest mode is the virtual one. */
  Guest = 'guest, GIF = 1',
  GuestGifClear = 'guest, GIF = 0',
}

// prettier-ignore
export type Event =
  | 'EFER.SVME := 1' | 'EFER.SVME := 0' | 'VMRUN' | 'VMRUN of an illegal VMCB' | 'VMLOAD' | 'VMSAVE' | 'STGI' | 'CLGI' | 'INVLPGA' | 'VMMCALL' | 'SKINIT'
  | '#VMEXIT';

export type Transition =
  | { readonly kind: 'to'; readonly state: State }
  | { readonly kind: 'undefined-opcode' }
  /** #VMEXIT if the bit of intercept word `word` is set, `otherwise` if not. */
  | { readonly kind: 'intercept'; readonly word: 3 | 4; readonly bit: number; readonly code: number; readonly otherwise: State | 'undefined-opcode' }
  /** Cannot happen in this state, or the manual does not define it: asking is an error of the model. */
  | { readonly kind: 'never' };

const to = (state: State): Transition => ({ kind: 'to', state });
const intercept = (word: 3 | 4, bit: number, code: number, otherwise: State | 'undefined-opcode'): Transition => ({
  kind: 'intercept',
  word,
  bit,
  code,
  otherwise,
});
const UD: Transition = { kind: 'undefined-opcode' };
const NEVER: Transition = { kind: 'never' };

const DISABLED = to(State.Disabled),
  HOST = to(State.Host),
  HOST_CLEAR = to(State.HostGifClear),
  GUEST = to(State.Guest);

/** The instructions in guest mode: `here` is the state that an instruction without consequences stays in. */
const inGuest = (here: State): Readonly<Record<Event, Transition>> => ({
  // The hypervisor must not let a guest write EFER.SVME: "the effect of turning off EFER.SVME while a guest is running is undefined".
  'EFER.SVME := 1': to(here),
  'EFER.SVME := 0': NEVER,
  VMRUN: intercept(4, Intercept4.VMRUN, ExitCode.VMRUN, 'undefined-opcode'),
  'VMRUN of an illegal VMCB': intercept(4, Intercept4.VMRUN, ExitCode.VMRUN, 'undefined-opcode'),
  VMLOAD: intercept(4, Intercept4.VMLOAD, ExitCode.VMLOAD, here),
  VMSAVE: intercept(4, Intercept4.VMSAVE, ExitCode.VMSAVE, here),
  STGI: intercept(4, Intercept4.STGI, ExitCode.STGI, State.Guest),
  CLGI: intercept(4, Intercept4.CLGI, ExitCode.CLGI, State.GuestGifClear),
  INVLPGA: intercept(3, Intercept3.INVLPGA, ExitCode.INVLPGA, here),
  VMMCALL: intercept(4, Intercept4.VMMCALL, ExitCode.VMMCALL, 'undefined-opcode'),
  // "SKINIT ... can be used when either EFER.SVME is set to 1 or CPUID Fn8000_0001_ECX[SKINIT]": in a guest SVME is 1, so that the intercept
  // comes before the #UD of a processor without it.
  SKINIT: intercept(4, Intercept4.SKINIT, ExitCode.SKINIT, 'undefined-opcode'),
  '#VMEXIT': HOST_CLEAR,
});

// prettier-ignore
export const OPERATION: Readonly<Record<State, Readonly<Record<Event, Transition>>>> = {
  [State.Disabled]: {
    'EFER.SVME := 1': HOST, 'EFER.SVME := 0': DISABLED,
    'VMRUN': UD, 'VMRUN of an illegal VMCB': UD, 'VMLOAD': UD, 'VMSAVE': UD, 'STGI': UD, 'CLGI': UD, 'INVLPGA': UD, 'VMMCALL': UD, 'SKINIT': UD,
    '#VMEXIT': NEVER,
  },
  [State.Host]: {
    'EFER.SVME := 1': HOST, 'EFER.SVME := 0': DISABLED,
    // "VMRUN ... sets GIF"; a VMRUN that fails ends with a #VMEXIT, which clears it. No processor of this model has SKINIT.
    'VMRUN': GUEST, 'VMRUN of an illegal VMCB': HOST_CLEAR,
    'VMLOAD': HOST, 'VMSAVE': HOST, 'STGI': HOST, 'CLGI': HOST_CLEAR, 'INVLPGA': HOST, 'VMMCALL': UD, 'SKINIT': UD,
    '#VMEXIT': NEVER,
  },
  [State.HostGifClear]: {
    // With SVM goes GIF: there would be no instruction to set it.
    'EFER.SVME := 1': HOST_CLEAR, 'EFER.SVME := 0': DISABLED,
    'VMRUN': GUEST, 'VMRUN of an illegal VMCB': HOST_CLEAR,
    'VMLOAD': HOST_CLEAR, 'VMSAVE': HOST_CLEAR, 'STGI': HOST, 'CLGI': HOST_CLEAR, 'INVLPGA': HOST_CLEAR, 'VMMCALL': UD, 'SKINIT': UD,
    '#VMEXIT': NEVER,
  },
  [State.Guest]: inGuest(State.Guest),
  [State.GuestGifClear]: inGuest(State.GuestGifClear),
};

export const transition = (state: State, event: Event): Transition => OPERATION[state][event];
