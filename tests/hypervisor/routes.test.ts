/** Which handler an exit goes to, and what it decides. */
import { EventType, REGISTERS_HOLD_IT, type CpuEvent } from '../../cpu/interfaces';
import type { Exit, Outcome } from '../../hypervisor/exit';
import { ROUTES, dispatch, withRoutes } from '../../hypervisor/routes';
import type { Vcpu } from '../../hypervisor/vcpu';

const EMULATED: Outcome = { kind: 'stop', because: 'internal', explanation: 'emulated' };
const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3;

/** A virtual processor that remembers what it was told. */
function vcpuWith(
  registers: Partial<Record<number, bigint>> = {},
  backed = true,
): Vcpu & { gprs: bigint[]; said: string[]; reinjected: number; interrupted: CpuEvent | undefined; breakpoints: boolean } {
  const gprs = Array.from({ length: 16 }, (_, r) => registers[r] ?? 0n);
  const said: string[] = [];
  const vcpu = {
    gprs,
    said,
    reinjected: 0,
    interrupted: undefined as CpuEvent | undefined,
    breakpoints: false,
    detail: undefined,
    emulate: () => EMULATED,
    accessDevice: () => EMULATED,
    deliver: (event: CpuEvent) => ({ ...EMULATED, explanation: `delivered ${event.vector}` }),
    cpuid: (leaf: number, subleaf: number) => [leaf + 1, subleaf + 2, 3, 4] as const,
    readMsr: (index: number) => (index === 0x1b ? 0x1234_5679_9abc_def1n : undefined),
    writeMsr: (index: number, value: bigint) => {
      said.push(`msr ${index.toString(16)} = ${value.toString(16)}`);
      return index === 0x1b;
    },
    ports: {
      read: (port: number, size: number) => {
        said.push(`in ${port.toString(16)} ${size}`);
        return { 1: 0xaa, 2: 0xabcc, 4: 0xabcd_ef01 }[size]!;
      },
      write: (port: number, size: number, value: number) => said.push(`out ${port.toString(16)} ${size} ${value.toString(16)}`),
    },
    memory: { back: () => backed },
    processor: {
      gpr: (r: number) => gprs[r],
      gpr32: (r: number) => Number(gprs[r] & 0xffff_ffffn),
      setGpr: (r: number, value: bigint) => (gprs[r] = value),
      setGpr32: (r: number, value: number) => (gprs[r] = BigInt(value >>> 0)),
      reinjectInterrupted: () => vcpu.reinjected++,
      readControl: () => 0x20n,
      interrupted: () => vcpu.interrupted,
      breakpointsEnabled: () => vcpu.breakpoints,
    },
  };
  return vcpu as unknown as ReturnType<typeof vcpuWith>;
}
const route = (exit: Exit, vcpu: Vcpu = vcpuWith()): Outcome => dispatch(ROUTES, vcpu, exit);

describe('decided without looking at the guest', () => {
  it.each<[Exit, Outcome]>([
    [{ kind: 'hlt' }, { kind: 'halt' }],
    [{ kind: 'nmi' }, { kind: 'retry' }],
    [{ kind: 'external-interrupt', vector: 0x20 }, { kind: 'retry' }],
    [{ kind: 'interrupt-window' }, { kind: 'retry' }],
    [{ kind: 'nmi-window' }, { kind: 'retry' }],
    [{ kind: 'timer' }, { kind: 'retry' }],
    [
      { kind: 'exception', vector: 14, errorCode: 6 },
      { kind: 'inject', vector: 14, errorCode: 6 },
    ],
    // #UD: this VM has neither hypercalls nor VMX.
    [{ kind: 'hypercall' }, { kind: 'inject', vector: 6 }],
    [
      { kind: 'unavailable-instruction', instruction: 'VMXON' },
      { kind: 'inject', vector: 6 },
    ],
    [{ kind: 'cache-control', instruction: 'WBINVD' }, { kind: 'next-instruction' }],
    [{ kind: 'task-switch' }, { kind: 'stop', because: 'internal', explanation: 'the guest switches tasks in hardware, which the emulator cannot do for it' }],
    [{ kind: 'triple-fault' }, { kind: 'stop', because: 'triple-fault', explanation: 'the guest triple-faulted' }],
    [
      { kind: 'entry-failure', explanation: 'why' },
      { kind: 'stop', because: 'internal', explanation: 'why' },
    ],
    [
      { kind: 'unexpected', explanation: 'what' },
      { kind: 'stop', because: 'internal', explanation: 'what' },
    ],
  ])('%j', (exit, outcome) => expect(route(exit)).toEqual(outcome));
  it('wrong nested tables end the run, with the address', () => {
    expect(route({ kind: 'nested-misconfiguration', gpa: 0xfee0_0000 })).toEqual({
      kind: 'stop',
      because: 'internal',
      explanation: 'the nested paging structures are wrong for guest-physical 0xfee00000',
    });
  });
});

describe('emulated', () => {
  it.each<Exit>([
    { kind: 'monitored-instruction', instruction: 'RDTSC' },
    { kind: 'xsetbv' },
    { kind: 'cr-access', register: 8, access: 'write', gpr: 0, source: 0 },
    { kind: 'io', port: 0x1f0, size: 2, input: true, string: true },
  ])('%j', (exit) => expect(route(exit)).toBe(EMULATED));
  it('RDMSR and WRMSR of IA32_EFER', () => {
    expect([route({ kind: 'rdmsr' }, vcpuWith({ [RCX]: 0xc000_0080n })), route({ kind: 'wrmsr' }, vcpuWith({ [RCX]: 0xc000_0080n }))]).toEqual([
      EMULATED,
      EMULATED,
    ]);
  });
});

it('CPUID: leaf in EAX, subleaf in ECX, the answer in EAX to EDX', () => {
  const vcpu = vcpuWith({ [RAX]: 0xffff_ffff_0000_0007n, [RCX]: 1n });
  expect(route({ kind: 'cpuid' }, vcpu)).toEqual({ kind: 'next-instruction' });
  expect([vcpu.gprs[RAX], vcpu.gprs[RBX], vcpu.gprs[RCX], vcpu.gprs[RDX], vcpu.detail]).toEqual([8n, 3n, 3n, 4n, 7]);
});

it('RDMSR gives EDX:EAX, or #GP(0)', () => {
  const vcpu = vcpuWith({ [RCX]: 0x1bn });
  expect(route({ kind: 'rdmsr' }, vcpu)).toEqual({ kind: 'next-instruction' });
  expect([vcpu.gprs[RDX], vcpu.gprs[RAX], vcpu.detail]).toEqual([0x1234_5679n, 0x9abc_def1n, 0x1b]);
  expect(route({ kind: 'rdmsr' }, vcpuWith({ [RCX]: 0x1cn }))).toEqual({ kind: 'inject', vector: 13, errorCode: 0 });
});

it('WRMSR takes EDX:EAX, or #GP(0)', () => {
  const vcpu = vcpuWith({ [RCX]: 0x1bn, [RDX]: 0x11n, [RAX]: 0x22n });
  expect(route({ kind: 'wrmsr' }, vcpu)).toEqual({ kind: 'next-instruction' });
  expect(vcpu.said).toEqual(['msr 1b = 1100000022']);
  expect(route({ kind: 'wrmsr' }, vcpuWith({ [RCX]: 0x1cn }))).toEqual({ kind: 'inject', vector: 13, errorCode: 0 });
});

it('IN changes as many bytes of RAX as it reads, and clears the upper half with four', () => {
  const read = (size: 1 | 2 | 4): bigint => {
    const vcpu = vcpuWith({ [RAX]: 0x1111_2222_3333_4445n });
    expect(route({ kind: 'io', port: 0x3f8, size, input: true, string: false }, vcpu)).toEqual({ kind: 'next-instruction' });
    expect(vcpu.said).toEqual([`in 3f8 ${size}`]);
    return vcpu.gprs[RAX];
  };
  expect([read(1), read(2), read(4)]).toEqual([0x1111_2222_3333_44aan, 0x1111_2222_3333_abccn, 0xabcd_ef01n]);
});

it('OUT writes as many bytes of EAX as it has', () => {
  const vcpu = vcpuWith({ [RAX]: 0x1111_2222_3333_4445n });
  for (const size of [1, 2, 4] as const) route({ kind: 'io', port: 0x80, size, input: false, string: false }, vcpu);
  expect(vcpu.said).toEqual(['out 80 1 45', 'out 80 2 4445', 'out 80 4 33334445']);
  expect(vcpu.detail).toBe(0x80);
});

it('a nested page fault: backed by memory, the interrupted event goes in again; else it is a device', () => {
  const fault: Exit = { kind: 'nested-page-fault', gpa: 0x1234_5678, linear: 0n, read: true, write: false, fetch: false, table: false, present: false };
  const vcpu = vcpuWith();
  expect([route(fault, vcpu), vcpu.reinjected, vcpu.detail]).toEqual([{ kind: 'retry' }, 1, 0x1234_5000]);
  const device = vcpuWith({}, false);
  expect([route(fault, device), device.reinjected]).toEqual([EMULATED, 0]);
});

it('a nested page fault while an event is delivered: a device makes the delivery be emulated, but INT n its instruction', () => {
  const fault: Exit = { kind: 'nested-page-fault', gpa: 0xf000_0000, linear: 0n, read: false, write: true, fetch: false, table: false, present: false };
  const vcpu = vcpuWith({}, false);
  vcpu.interrupted = { vector: 6, type: EventType.HardwareException, errorCode: undefined, payload: REGISTERS_HOLD_IT, length: 0 };
  expect(route(fault, vcpu)).toMatchObject({ explanation: 'delivered 6' });
  vcpu.interrupted = { vector: 0x80, type: EventType.SoftwareInterrupt, errorCode: undefined, payload: REGISTERS_HOLD_IT, length: 2 };
  expect(route(fault, vcpu)).toBe(EMULATED);
});

it('IN and OUT are emulated while breakpoints are armed: one may be for the port', () => {
  const vcpu = vcpuWith();
  vcpu.breakpoints = true;
  expect(route({ kind: 'io', port: 0x80, size: 1, input: false, string: false }, vcpu)).toBe(EMULATED);
  expect(vcpu.said).toEqual([]);
});

it('routes may be replaced one by one', () => {
  const routes = withRoutes({ hypercall: () => ({ kind: 'next-instruction' }) });
  expect(dispatch(routes, vcpuWith(), { kind: 'hypercall' })).toEqual({ kind: 'next-instruction' });
  expect(dispatch(routes, vcpuWith(), { kind: 'hlt' })).toEqual({ kind: 'halt' });
});
