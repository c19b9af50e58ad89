/** Where in the machine each event comes from. */
import type { Cpu, CpuObserver } from '../cpu/cpu';
import { EventType } from '../cpu/interfaces';
import { Access } from '../cpu/page-walker';
import type { Guest } from '../hypervisor/guest';
import type { ExitRecord } from '../hypervisor/vcpu';
import type { DeviceObserver } from '../memory/physical-memory';
import { OFFSET } from '../vmx/vmcs/layout';
import { VMCB } from '../svm/vmcb/layout';
import type { Hooks } from './event-stream';
import type { InjectEvent, InterruptEvent, Moment } from './events';

const RAX = 0,
  RDX = 2;
/** Interruption information and EVENTINJ have the same format: vector, type, error code valid, valid. */
const INFORMATION = { VECTOR: 0xff, TYPE_SHIFT: 8, TYPE: 7, ERROR_CODE: 1 << 11, VALID: 0x8000_0000 } as const;

/** What the machine of a computer offers to hooks, beside itself. */
export interface HookSources {
  readonly guest: Guest;
  /** Hears of every handled exit until the function it returns is called. */
  onExit(listener: (record: ExitRecord) => void): () => void;
  onConsole(listener: (byte: number) => void): () => void;
}

const typeOf = (type: number): InjectEvent['type'] =>
  type === EventType.ExternalInterrupt
    ? 'external-interrupt'
    : type === EventType.Nmi
      ? 'nmi'
      : type === EventType.SoftwareInterrupt || type === EventType.SoftwareException
        ? 'software'
        : 'exception';

export function hooksOf({ guest, onExit, onConsole }: HookSources): Hooks {
  const { machine, vm } = guest;
  const { cpu } = machine;
  const now = (): Moment => ({ instructions: guest.instructions, ticks: guest.time });
  const onEntry = entriesOf(guest);
  const inGuest = (): boolean => vm === undefined || cpu.guestMode;

  return {
    exit: (emit) => onExit(({ instructions, ticks, rip, raw, exit, outcome, detail }) => emit({ instructions, ticks, rip, ...raw, exit, outcome, detail })),
    entry: (emit) => onEntry(() => emit({ ...now(), rip: cpu.rip })),
    inject: (emit) =>
      onEntry(() => {
        const { vmx, svm } = machine;
        const [information, errorCode] =
          vmx !== undefined
            ? [vmx.vmcs.low(OFFSET.ENTRY_INTERRUPTION_INFORMATION), vmx.vmcs.low(OFFSET.ENTRY_EXCEPTION_ERROR_CODE)]
            : [svm!.vmcb.low(VMCB.EVENTINJ), svm!.vmcb.high(VMCB.EVENTINJ)];
        if ((information & INFORMATION.VALID) === 0) return;
        emit({
          ...now(),
          vector: information & INFORMATION.VECTOR,
          type: typeOf((information >>> INFORMATION.TYPE_SHIFT) & INFORMATION.TYPE),
          errorCode: (information & INFORMATION.ERROR_CODE) === 0 ? undefined : errorCode,
        });
      }),
    interrupt: (emit) =>
      onProcessor(cpu, 'deliver', (_cpu, { vector, type, errorCode }) => {
        if (inGuest()) emit({ ...now(), vector, type: typeOf(type), errorCode, handler: cpu.rip } satisfies InterruptEvent);
      }),
    msr: (emit) => {
      const own = onProcessor(cpu, 'msr', (_cpu, index, value, write) => {
        if (inGuest()) emit({ ...now(), index, value, write, exited: false });
      });
      const exited = onExit(({ instructions, ticks, exit, outcome, detail }) => {
        if ((exit.kind !== 'rdmsr' && exit.kind !== 'wrmsr') || detail === undefined || outcome.kind === 'inject') return;
        const { processor } = vm!;
        const value = (BigInt(processor.gpr32(RDX)) << 32n) | BigInt(processor.gpr32(RAX));
        emit({ instructions, ticks, index: detail, value, write: exit.kind === 'wrmsr', exited: true });
      });
      return () => {
        own();
        exited();
      };
    },
    pageWalk: (emit) =>
      onProcessor(cpu, 'pageWalk', (_cpu, low, high, access, physical) =>
        emit({
          ...now(),
          linear: linearOf(low, high),
          access: (access & Access.Fetch) !== 0 ? 'fetch' : (access & Access.Write) !== 0 ? 'write' : 'read',
          physical: physical < 0 ? undefined : physical,
          guest: inGuest(),
        }),
      ),
    tlbFill: (emit) =>
      onProcessor(cpu, 'tlbFill', (_cpu, low, high, host) =>
        emit({ ...now(), page: linearOf(low & ~0xfff, high), frame: machine.memory.physical(host - (host & 0xfff)), guest: inGuest() }),
      ),
    deviceAccess: (emit) => {
      const told =
        (space: 'port' | 'memory'): DeviceObserver =>
        (address, size, value, write) =>
          emit({ ...now(), space, address, size, value, write });
      const sources = [
        [vm?.ports ?? machine.ports, 'port'],
        [vm?.memory ?? machine.memory, 'memory'],
      ] as const;
      for (const [source, space] of sources) source.onDevice = told(space);
      return () => {
        for (const [source] of sources) source.onDevice = undefined;
      };
    },
    console: (emit) => onConsole((byte) => emit({ ...now(), byte })),
  };
}

const linearOf = (low: number, high: number): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

/** Adds a hook to a processor's observer, beside the one that may be there. */
function onProcessor<K extends keyof CpuObserver>(cpu: Cpu, name: K, hook: NonNullable<CpuObserver[K]>): () => void {
  const before = cpu.observer[name] as ((...args: readonly unknown[]) => void) | undefined;
  const own = hook as (...args: readonly unknown[]) => void;
  const both = before === undefined ? own : (...args: readonly unknown[]): void => (before(...args), own(...args));
  cpu.observer = { ...cpu.observer, [name]: both };
  return () => void (cpu.observer = { ...cpu.observer, [name]: before });
}

/** One place in the machine for any number of hooks: taken when the first comes, and given back when the last goes. */
export function shared<T>(install: (fire: (value: T) => void) => () => void): (listener: (value: T) => void) => () => void {
  const listeners = new Set<(value: T) => void>();
  let remove: (() => void) | undefined;
  return (listener) => {
    listeners.add(listener);
    remove ??= install((value) => {
      for (const heard of listeners) heard(value);
    });
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return;
      remove?.();
      remove = undefined;
    };
  };
}

/** VM entries of whatever extension the physical processor has; none without one. */
const entriesOf = ({ machine }: Guest): ((listener: () => void) => () => void) =>
  shared<void>((fire) => {
    const extension: { observer: { readonly entry?: (of: never) => void } } | undefined = machine.vmx ?? machine.svm;
    if (extension === undefined) return () => {};
    const { entry: before } = extension.observer;
    const entry = (of: never): void => {
      before?.(of);
      fire();
    };
    extension.observer = { ...extension.observer, entry };
    return () => void (extension.observer = { ...extension.observer, entry: before });
  });
