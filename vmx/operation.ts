/**
 * VMX operation as a state machine. SDM "VMX Operation", "State of VMCSs" and, for each instruction, the "Operation" section of
 * the VMX instruction reference. A cell says what the processor does when the event's own operand is good; faults for CPL,
 * mode and operands, and failures because of the operand (errors 2, 3, 9-13, 28), are decided by the instruction.
 */
import { ExitReason } from './exit/reason';
import { VmInstructionError } from './instructions/result';

export enum State {
  OutsideVmx = 'outside VMX operation',
  /** VMX root operation; no VMCS is current. */
  RootWithoutVmcs = 'root, no current VMCS',
  /** VMX root operation; the launch state of the current VMCS is "clear". */
  RootWithClearVmcs = 'root, current VMCS clear',
  RootWithLaunchedVmcs = 'root, current VMCS launched',
  NonRoot = 'non-root',
  /** After a VMX abort. */
  Shutdown = 'shutdown',
}

/** VMCLEAR and VMPTRLD are split by what their operand names. */
// prettier-ignore
export type Event =
  | 'VMXON' | 'VMXOFF' | 'VMCLEAR of the current VMCS' | 'VMCLEAR of another VMCS' | 'VMPTRLD of a clear VMCS' | 'VMPTRLD of a launched VMCS' | 'VMPTRST'
  | 'VMREAD' | 'VMWRITE' | 'VMLAUNCH' | 'VMRESUME' | 'VMCALL' | 'INVEPT' | 'INVVPID' | 'VM exit' | 'VM-entry failure' | 'VMX abort';

export type Transition =
  /** VMsucceed, or the transfer between root and non-root operation. */
  | { readonly kind: 'to'; readonly state: State }
  | { readonly kind: 'fail-invalid' }
  /** VMfailValid, where no current VMCS turns it into VMfailInvalid. */
  | { readonly kind: 'fail-valid'; readonly error: VmInstructionError }
  | { readonly kind: 'undefined-opcode' }
  | { readonly kind: 'exit'; readonly reason: ExitReason }
  /** Cannot happen in this state: asking is an error of the model. */
  | { readonly kind: 'never' };

const to = (state: State): Transition => ({ kind: 'to', state });
const fails = (error: VmInstructionError): Transition => ({ kind: 'fail-valid', error });
const exits = (reason: ExitReason): Transition => ({ kind: 'exit', reason });
const INVALID: Transition = { kind: 'fail-invalid' };
const UD: Transition = { kind: 'undefined-opcode' };
const NEVER: Transition = { kind: 'never' };

const OUTSIDE = to(State.OutsideVmx),
  WITHOUT = to(State.RootWithoutVmcs),
  CLEAR = to(State.RootWithClearVmcs),
  LAUNCHED = to(State.RootWithLaunchedVmcs);
const NON_ROOT = to(State.NonRoot),
  SHUTDOWN = to(State.Shutdown);
const E = VmInstructionError;

// prettier-ignore
export const OPERATION: Readonly<Record<State, Readonly<Record<Event, Transition>>>> = {
  [State.OutsideVmx]: {
    'VMXON': WITHOUT, 'VMXOFF': UD,
    'VMCLEAR of the current VMCS': UD, 'VMCLEAR of another VMCS': UD, 'VMPTRLD of a clear VMCS': UD, 'VMPTRLD of a launched VMCS': UD, 'VMPTRST': UD,
    'VMREAD': UD, 'VMWRITE': UD, 'VMLAUNCH': UD, 'VMRESUME': UD, 'VMCALL': UD, 'INVEPT': UD, 'INVVPID': UD,
    'VM exit': NEVER, 'VM-entry failure': NEVER, 'VMX abort': NEVER,
  },
  [State.RootWithoutVmcs]: {
    'VMXON': fails(E.VmxonInRootOperation), 'VMXOFF': OUTSIDE,
    'VMCLEAR of the current VMCS': NEVER, 'VMCLEAR of another VMCS': WITHOUT, 'VMPTRLD of a clear VMCS': CLEAR, 'VMPTRLD of a launched VMCS': LAUNCHED, 'VMPTRST': WITHOUT,
    'VMREAD': INVALID, 'VMWRITE': INVALID, 'VMLAUNCH': INVALID, 'VMRESUME': INVALID, 'VMCALL': fails(E.VmcallInRootOperation), 'INVEPT': WITHOUT, 'INVVPID': WITHOUT,
    'VM exit': NEVER, 'VM-entry failure': NEVER, 'VMX abort': NEVER,
  },
  [State.RootWithClearVmcs]: {
    'VMXON': fails(E.VmxonInRootOperation), 'VMXOFF': OUTSIDE,
    'VMCLEAR of the current VMCS': WITHOUT, 'VMCLEAR of another VMCS': CLEAR, 'VMPTRLD of a clear VMCS': CLEAR, 'VMPTRLD of a launched VMCS': LAUNCHED, 'VMPTRST': CLEAR,
    'VMREAD': CLEAR, 'VMWRITE': CLEAR, 'VMLAUNCH': NON_ROOT, 'VMRESUME': fails(E.VmresumeNonLaunchedVmcs), 'VMCALL': fails(E.VmcallInRootOperation), 'INVEPT': CLEAR, 'INVVPID': CLEAR,
    // A failed VMLAUNCH leaves the launch state as it was.
    'VM exit': NEVER, 'VM-entry failure': CLEAR, 'VMX abort': SHUTDOWN,
  },
  [State.RootWithLaunchedVmcs]: {
    'VMXON': fails(E.VmxonInRootOperation), 'VMXOFF': OUTSIDE,
    'VMCLEAR of the current VMCS': WITHOUT, 'VMCLEAR of another VMCS': LAUNCHED, 'VMPTRLD of a clear VMCS': CLEAR, 'VMPTRLD of a launched VMCS': LAUNCHED, 'VMPTRST': LAUNCHED,
    'VMREAD': LAUNCHED, 'VMWRITE': LAUNCHED, 'VMLAUNCH': fails(E.VmlaunchNonClearVmcs), 'VMRESUME': NON_ROOT, 'VMCALL': fails(E.VmcallInRootOperation), 'INVEPT': LAUNCHED, 'INVVPID': LAUNCHED,
    'VM exit': NEVER, 'VM-entry failure': LAUNCHED, 'VMX abort': SHUTDOWN,
  },
  [State.NonRoot]: {
    'VMXON': exits(ExitReason.Vmxon), 'VMXOFF': exits(ExitReason.Vmxoff),
    'VMCLEAR of the current VMCS': exits(ExitReason.Vmclear), 'VMCLEAR of another VMCS': exits(ExitReason.Vmclear),
    'VMPTRLD of a clear VMCS': exits(ExitReason.Vmptrld), 'VMPTRLD of a launched VMCS': exits(ExitReason.Vmptrld), 'VMPTRST': exits(ExitReason.Vmptrst),
    'VMREAD': exits(ExitReason.Vmread), 'VMWRITE': exits(ExitReason.Vmwrite), 'VMLAUNCH': exits(ExitReason.Vmlaunch), 'VMRESUME': exits(ExitReason.Vmresume),
    'VMCALL': exits(ExitReason.Vmcall), 'INVEPT': exits(ExitReason.Invept), 'INVVPID': exits(ExitReason.Invvpid),
    'VM exit': LAUNCHED, 'VM-entry failure': NEVER, 'VMX abort': SHUTDOWN,
  },
  [State.Shutdown]: {
    'VMXON': NEVER, 'VMXOFF': NEVER,
    'VMCLEAR of the current VMCS': NEVER, 'VMCLEAR of another VMCS': NEVER, 'VMPTRLD of a clear VMCS': NEVER, 'VMPTRLD of a launched VMCS': NEVER, 'VMPTRST': NEVER,
    'VMREAD': NEVER, 'VMWRITE': NEVER, 'VMLAUNCH': NEVER, 'VMRESUME': NEVER, 'VMCALL': NEVER, 'INVEPT': NEVER, 'INVVPID': NEVER,
    'VM exit': NEVER, 'VM-entry failure': NEVER, 'VMX abort': NEVER,
  },
};

export const transition = (state: State, event: Event): Transition => OPERATION[state][event];
