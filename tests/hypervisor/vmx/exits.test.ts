/** What the hypervisor makes of an exit reason and its qualification. SDM Appendix C and "Basic VM-Exit Information". */
import type { Exit } from '../../../hypervisor/exit';
import { VMX_EXITS } from '../../../hypervisor/vmx/exits';
import { ExitReason } from '../../../vmx/exit/reason';
import type { Vmx } from '../../../vmx/vmx';

/** Fields of the VMCS by encoding. */
const EXIT_INTERRUPTION_INFORMATION = 0x4404,
  EXIT_INTERRUPTION_ERROR_CODE = 0x4406,
  EXIT_QUALIFICATION = 0x6400,
  GUEST_PHYSICAL_ADDRESS = 0x2400;
const exit = (reason: ExitReason, fields: Readonly<Record<number, number>> = {}): Exit => {
  const read = (encoding: number): number => fields[encoding] ?? 0;
  return VMX_EXITS[reason]({ vmread32: read, vmreadNumber: read } as Partial<Vmx> as Vmx);
};
const qualified = (reason: ExitReason, qualification: number, more: Readonly<Record<number, number>> = {}): Exit =>
  exit(reason, { [EXIT_QUALIFICATION]: qualification >>> 0, ...more });

describe('kinds', () => {
  /** Number of the reason: the kind, and the instruction if it is about one. */
  const KINDS: Readonly<Record<number, string>> = {
    2: 'triple-fault',
    7: 'interrupt-window',
    8: 'nmi-window',
    9: 'task-switch',
    10: 'cpuid',
    11: 'unavailable-instruction GETSEC',
    12: 'hlt',
    13: 'cache-control INVD',
    14: 'monitored-instruction INVLPG',
    15: 'monitored-instruction RDPMC',
    16: 'monitored-instruction RDTSC',
    18: 'hypercall',
    19: 'unavailable-instruction VMCLEAR',
    20: 'unavailable-instruction VMLAUNCH',
    21: 'unavailable-instruction VMPTRLD',
    22: 'unavailable-instruction VMPTRST',
    23: 'unavailable-instruction VMREAD',
    24: 'unavailable-instruction VMRESUME',
    25: 'unavailable-instruction VMWRITE',
    26: 'unavailable-instruction VMXOFF',
    27: 'unavailable-instruction VMXON',
    29: 'monitored-instruction MOV DR',
    31: 'rdmsr',
    32: 'wrmsr',
    36: 'unavailable-instruction MWAIT',
    39: 'unavailable-instruction MONITOR',
    40: 'monitored-instruction PAUSE',
    46: 'monitored-instruction LGDT/SGDT/LIDT/SIDT',
    47: 'monitored-instruction LLDT/LTR/SLDT/STR',
    50: 'unavailable-instruction INVEPT',
    51: 'monitored-instruction RDTSCP',
    52: 'timer',
    53: 'unavailable-instruction INVVPID',
    54: 'cache-control WBINVD',
    55: 'xsetbv',
    57: 'monitored-instruction RDRAND',
    58: 'monitored-instruction INVPCID',
    59: 'unavailable-instruction VMFUNC',
    61: 'monitored-instruction RDSEED',
  };
  it.each(Object.entries(KINDS))('%s: %s', (reason, kind) => {
    const made = exit(Number(reason));
    expect('instruction' in made ? `${made.kind} ${made.instruction}` : made.kind).toBe(kind);
  });
  const WITH_DATA = [0, 1, 28, 30, 48, 49];
  const others = Object.values(ExitReason).filter((r): r is ExitReason => typeof r === 'number' && !(r in KINDS) && !WITH_DATA.includes(r));
  it.each(others.map((r) => [ExitReason[r], r] as const))('%s is named as one that nobody asked for', (name, reason) => {
    expect(exit(reason)).toEqual({ kind: 'unexpected', explanation: `VM exit "${name}" that no control asked for` });
  });
});

describe('events', () => {
  const event = (reason: ExitReason, information: number, errorCode = 0): Exit =>
    exit(reason, { [EXIT_INTERRUPTION_INFORMATION]: information, [EXIT_INTERRUPTION_ERROR_CODE]: errorCode });
  it('an exception, with its error code if bit 11 says so', () => {
    expect(event(ExitReason.ExceptionOrNmi, 0x8000_0b0e, 2)).toEqual({ kind: 'exception', vector: 14, errorCode: 2 });
    expect(event(ExitReason.ExceptionOrNmi, 0x8000_0306, 2)).toEqual({ kind: 'exception', vector: 6, errorCode: undefined });
    expect(event(ExitReason.ExceptionOrNmi, 0x8000_0603)).toEqual({ kind: 'exception', vector: 3, errorCode: undefined });
  });
  it('an NMI is type 2', () => {
    expect(event(ExitReason.ExceptionOrNmi, 0x8000_0202)).toEqual({ kind: 'nmi' });
    expect(event(ExitReason.ExceptionOrNmi, 0x8000_0302).kind).toBe('exception');
  });
  it('an external interrupt, with its vector if it was acknowledged', () => {
    expect(event(ExitReason.ExternalInterrupt, 0x8000_00ef)).toEqual({ kind: 'external-interrupt', vector: 0xef });
    expect(event(ExitReason.ExternalInterrupt, 0x0000_00ef)).toEqual({ kind: 'external-interrupt', vector: undefined });
  });
});

describe('qualifications', () => {
  it.each([
    [0x60_0048, { port: 0x60, size: 1, input: true, string: false }],
    [0xffff_0013, { port: 0xffff, size: 4, input: false, string: true }],
    [0x8000_0001, { port: 0x8000, size: 2, input: false, string: false }],
  ])('I/O %i', (q, expected) => expect(qualified(ExitReason.IoInstruction, q)).toEqual({ kind: 'io', ...expected }));
  it.each([
    [0x0000_0f04, { register: 4, access: 'write', gpr: 15, source: 0 }],
    [0x0000_0718, { register: 8, access: 'read', gpr: 7, source: 0 }],
    [0x0000_0020, { register: 0, access: 'clts', gpr: 0, source: 0 }],
    [0x8001_0070, { register: 0, access: 'lmsw', gpr: 0, source: 0x8001 }],
  ])('control register %i', (q, expected) => expect(qualified(ExitReason.ControlRegisterAccess, q)).toEqual({ kind: 'cr-access', ...expected }));

  const none = { kind: 'nested-page-fault', gpa: 0x1_2345_6000, linear: 0n, read: false, write: false, fetch: false, table: true, present: false };
  it.each([
    ['a read', 0x001, { read: true }],
    ['a write', 0x002, { write: true }],
    ['a fetch', 0x004, { fetch: true }],
    ['an entry that can be read', 0x008, { present: true }],
    ['an entry that can be written', 0x010, { present: true }],
    ['an entry that can be fetched from', 0x020, { present: true }],
    ['a linear address that is valid', 0x080, {}],
    ['the final access, not the walk', 0x100, { table: false }],
    ['NMI unblocking', 0x1000, {}],
  ])('EPT violation: %s', (_what, q, expected) => {
    expect(qualified(ExitReason.EptViolation, q, { [GUEST_PHYSICAL_ADDRESS]: 0x1_2345_6000 })).toEqual({ ...none, ...expected });
  });
  it('EPT misconfiguration', () => {
    expect(qualified(ExitReason.EptMisconfiguration, 0, { [GUEST_PHYSICAL_ADDRESS]: 0x1_2345_6000 })).toEqual({
      kind: 'nested-misconfiguration',
      gpa: 0x1_2345_6000,
    });
  });
});
