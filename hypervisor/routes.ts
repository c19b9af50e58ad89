import type { Exit, ExitKind, ExitOf, Outcome } from './exit';
import { invalidOpcode, nextInstruction, retry, halt, tripleFault } from './exit';
import type { Vcpu } from './vcpu';
import { handleCpuid } from './handlers/cpuid';
import { handleControlRegister } from './handlers/control-register';
import { handleException } from './handlers/exception';
import { handleIo } from './handlers/io';
import { handleRdmsr, handleWrmsr } from './handlers/msr';
import { handleNestedPageFault } from './handlers/nested-page-fault';
import { handleXsetbv } from './handlers/xsetbv';

export type ExitHandler<K extends ExitKind = ExitKind> = (vcpu: Vcpu, exit: ExitOf<K>) => Outcome;
export type Routes = { readonly [K in ExitKind]: ExitHandler<K> };

/** The dispatcher's one table, the same for both vendors. A forgotten kind does not compile. */
export const ROUTES: Routes = {
  cpuid: handleCpuid,
  hlt: () => halt,
  io: handleIo,
  rdmsr: handleRdmsr,
  wrmsr: handleWrmsr,
  'cr-access': handleControlRegister,
  'nested-page-fault': handleNestedPageFault,
  'nested-misconfiguration': (_vcpu, exit) => ({
    kind: 'stop',
    because: 'internal',
    explanation: `the nested paging structures are wrong for guest-physical 0x${exit.gpa.toString(16)}`,
  }),
  xsetbv: handleXsetbv,
  exception: handleException,
  nmi: () => retry,
  'external-interrupt': () => retry,
  // The run loop injects what is pending before every entry; the window or the timer only had to bring us here.
  'interrupt-window': () => retry,
  'nmi-window': () => retry,
  timer: () => retry,
  'triple-fault': () => tripleFault,
  // This VM has no hypercalls: as on a processor without the extension.
  hypercall: () => invalidOpcode,
  // Caches are not modelled, so there is nothing to lose or write back.
  'cache-control': () => nextInstruction,
  'task-switch': () => ({ kind: 'stop', because: 'internal', explanation: 'the guest switches tasks in hardware, which the emulator cannot do for it' }),
  'unavailable-instruction': () => invalidOpcode,
  'monitored-instruction': (vcpu) => vcpu.emulate(),
  'entry-failure': (_vcpu, exit) => ({ kind: 'stop', because: 'internal', explanation: exit.explanation }),
  unexpected: (_vcpu, exit) => ({ kind: 'stop', because: 'internal', explanation: exit.explanation }),
};

/** A research override: the same table with some routes replaced. */
export const withRoutes = (routes: Partial<Routes>): Routes => ({ ...ROUTES, ...routes });

export function dispatch(routes: Routes, vcpu: Vcpu, exit: Exit): Outcome {
  // One cast, here: TypeScript cannot correlate the key with the payload across a table.
  return (routes[exit.kind] as ExitHandler)(vcpu, exit);
}
