/** What the hypervisor makes of an exit code and its EXITINFO. APM volume 2, Appendix C, "IOIO Intercepts", "MSR Intercepts", "Nested Paging". */
import type { Exit } from '../../hypervisor/exit';
import type { ControlBlock } from '../../hypervisor/svm/control-block';
import { decodeExit } from '../../hypervisor/svm/exits';

/** Offsets in the VMCB. */
const EXITINFO1 = 0x78,
  EXITINFO2 = 0x80;

const exit = (code: number, info1 = 0n, info2 = 0n): Exit => {
  const field = (offset: number): bigint => (offset === EXITINFO1 ? info1 : offset === EXITINFO2 ? info2 : 0n);
  const block: Partial<ControlBlock> = {
    get32: (offset) => Number(field(offset) & 0xffff_ffffn),
    high32: (offset) => Number(field(offset) >> 32n),
    number: (offset) => Number(field(offset)),
  };
  return decodeExit(code, block as ControlBlock);
};
const spoken = (e: Exit): string => ('instruction' in e ? `${e.kind} ${e.instruction}` : e.kind);
const NOT_ASKED = (name: string): Exit => ({ kind: 'unexpected', explanation: `#VMEXIT "${name}" that no intercept asked for` });

describe('kinds', () => {
  /** Exit codes of Appendix C: the kind, and the instruction if it is about one. */
  const KINDS: Readonly<Record<number, string>> = {
    0x60: 'external-interrupt',
    0x61: 'nmi',
    0x64: 'interrupt-window',
    0x65: 'monitored-instruction MOV CR0',
    0x66: 'monitored-instruction SIDT',
    0x67: 'monitored-instruction SGDT',
    0x68: 'monitored-instruction SLDT',
    0x69: 'monitored-instruction STR',
    0x6a: 'monitored-instruction LIDT',
    0x6b: 'monitored-instruction LGDT',
    0x6c: 'monitored-instruction LLDT',
    0x6d: 'monitored-instruction LTR',
    0x6e: 'monitored-instruction RDTSC',
    0x6f: 'monitored-instruction RDPMC',
    0x70: 'monitored-instruction PUSHF',
    0x71: 'monitored-instruction POPF',
    0x72: 'cpuid',
    0x73: 'unavailable-instruction RSM',
    0x74: 'monitored-instruction IRET',
    0x75: 'monitored-instruction INT',
    0x76: 'cache-control INVD',
    0x77: 'monitored-instruction PAUSE',
    0x78: 'hlt',
    0x79: 'monitored-instruction INVLPG',
    0x7a: 'unavailable-instruction INVLPGA',
    0x7d: 'task-switch',
    0x7f: 'triple-fault',
    0x80: 'unavailable-instruction VMRUN',
    0x81: 'hypercall',
    0x82: 'unavailable-instruction VMLOAD',
    0x83: 'unavailable-instruction VMSAVE',
    0x84: 'unavailable-instruction STGI',
    0x85: 'unavailable-instruction CLGI',
    0x86: 'unavailable-instruction SKINIT',
    0x87: 'monitored-instruction RDTSCP',
    0x88: 'monitored-instruction INT1',
    0x89: 'cache-control WBINVD',
    0x8a: 'unavailable-instruction MONITOR',
    0x8b: 'unavailable-instruction MWAIT',
    0x8c: 'unavailable-instruction MWAIT',
    0x8d: 'xsetbv',
    0x8e: 'unavailable-instruction RDPRU',
    0xa0: 'unavailable-instruction INVLPGB',
    0xa1: 'unavailable-instruction INVLPGB',
    0xa2: 'monitored-instruction INVPCID',
    0xa3: 'unavailable-instruction MCOMMIT',
    0xa4: 'unavailable-instruction TLBSYNC',
  };
  it.each(Object.entries(KINDS))('%s: %s', (code, kind) => expect(spoken(exit(Number(code)))).toBe(kind));

  /** Exits that the hypervisor's VMCB does not ask for, or that its processor does not have. */
  const UNASKED: Readonly<Record<number, string>> = {
    0x62: 'SMI',
    0x63: 'INIT',
    0x7e: 'FERR_FREEZE',
    0x8f: 'EFER_WRITE_TRAP',
    0xa5: 'BUSLOCK',
    0xa6: 'IDLE_HLT',
    0x401: 'AVIC_INCOMPLETE_IPI',
    0x402: 'AVIC_NOACCEL',
    0x403: 'VMGEXIT',
    [-1]: 'INVALID',
    [-2]: 'BUSY',
    [-3]: 'IDLE_REQUIRED',
    [-4]: 'INVALID_PMC',
  };
  it.each(Object.entries(UNASKED))('%s: %s is named as one that nobody asked for', (code, name) => expect(exit(Number(code))).toEqual(NOT_ASKED(name)));
  it('a number that has no name is shown as it is', () => expect(exit(0x65f)).toEqual({ kind: 'unexpected', explanation: 'exit code 0x65f' }));
  it('an interrupt is still pending: nobody has its vector yet', () => expect(exit(0x60)).toEqual({ kind: 'external-interrupt', vector: undefined }));
});

describe('registers', () => {
  const NUMBERS = Array.from({ length: 16 }, (_, n) => n);
  it.each(NUMBERS.filter((n) => n !== 8))('MOV from and to CR%i: 0h + n, 10h + n; its write trap: 90h + n', (n) => {
    expect(exit(n)).toEqual({ kind: 'monitored-instruction', instruction: `MOV from CR${n}` });
    expect(exit(0x10 + n)).toEqual({ kind: 'monitored-instruction', instruction: `MOV to CR${n}` });
    expect(exit(0x90 + n)).toEqual(NOT_ASKED(`CR${n}_WRITE_TRAP`));
  });
  it.each(NUMBERS)('MOV from and to DR%i: 20h + n, 30h + n', (n) => {
    expect(exit(0x20 + n)).toEqual({ kind: 'monitored-instruction', instruction: `MOV from DR${n}` });
    expect(exit(0x30 + n)).toEqual({ kind: 'monitored-instruction', instruction: `MOV to DR${n}` });
  });
  it('the write trap of CR8', () => expect(exit(0x98)).toEqual(NOT_ASKED('CR8_WRITE_TRAP')));
  // EXITINFO1[3:0] is the GPR; bit 63 says MOV.
  it.each([0, 7, 15])('CR8 from and to GPR %i', (gpr) => {
    const info = 0x8000_0000_0000_0000n | BigInt(gpr);
    expect(exit(0x08, info)).toEqual({ kind: 'cr-access', register: 8, access: 'read', gpr, source: 0 });
    expect(exit(0x18, info)).toEqual({ kind: 'cr-access', register: 8, access: 'write', gpr, source: 0 });
  });
  it('bits 62:4 of EXITINFO1 do not matter', () => {
    expect(exit(0x18, 0x8000_0000_0000_0ff3n)).toEqual({ kind: 'cr-access', register: 8, access: 'write', gpr: 3, source: 0 });
  });
});

describe('exceptions', () => {
  /** Exceptions that push an error code: APM "Vectors", column "Error Code". #HV (28) has none. */
  const WITH_ERROR_CODE = [8, 10, 11, 12, 13, 14, 17, 21];
  it.each(Array.from({ length: 32 }, (_, n) => n))('40h + %i', (vector) => {
    const errorCode = WITH_ERROR_CODE.includes(vector) ? 0x1234 : undefined;
    expect(exit(0x40 + vector, 0x1234n)).toEqual({ kind: 'exception', vector, errorCode });
  });
});

describe('IOIO and MSR', () => {
  // 31:16 port, 6:4 size, 2 STR, 0 TYPE (1: IN).
  it.each([
    ['IN AL, 60h', 0x60_0211n, { port: 0x60, size: 1, input: true, string: false }],
    ['IN AX, DX', 0x1234_0021n, { port: 0x1234, size: 2, input: true, string: false }],
    ['OUT DX, EAX', 0xffff_0040n, { port: 0xffff, size: 4, input: false, string: false }],
    ['OUT 80h, AL', 0x0080_0010n, { port: 0x80, size: 1, input: false, string: false }],
    ['REP OUTSW', 0x8000_0e2cn, { port: 0x8000, size: 2, input: false, string: true }],
    ['INSD', 0x0001_0245n, { port: 1, size: 4, input: true, string: true }],
    ['REP alone says nothing of a string', 0x0001_0018n, { port: 1, size: 1, input: false, string: false }],
  ])('%s', (_name, info, expected) => expect(exit(0x7b, info, 0x5000n)).toEqual({ kind: 'io', ...expected }));
  it('EXITINFO1 of an MSR intercept: 0 RDMSR, 1 WRMSR', () => {
    expect(exit(0x7c, 0n)).toEqual({ kind: 'rdmsr' });
    expect(exit(0x7c, 1n)).toEqual({ kind: 'wrmsr' });
  });
});

describe('nested page faults', () => {
  const GPA = 0x12_3456_7abcn;
  const none = { kind: 'nested-page-fault', gpa: Number(GPA), linear: 0n, read: false, write: false, fetch: false, table: false, present: false };
  const FINAL = 1n << 32n,
    PAGE_TABLE = 1n << 33n;
  // As a page-fault error code: 0 P, 1 RW, 2 US, 3 RSV, 4 ID; 32 the final access, 33 an entry of the guest's tables.
  it.each([
    ['a read of what is not there', FINAL | 0x4n, { read: true }],
    ['a write', FINAL | 0x6n, { write: true }],
    ['a fetch', FINAL | 0x14n, { fetch: true }],
    ['a read in front of a present entry', FINAL | 0x5n, { read: true, present: true }],
    ['a write to what may only be read', FINAL | 0x7n, { write: true, present: true }],
    ['a fetch from a no-execute page', FINAL | 0x15n, { fetch: true, present: true }],
    ['a reserved bit', FINAL | 0xdn, { read: true, present: true }],
    ['an entry of the guest that lies in no page', PAGE_TABLE | 0x6n, { write: true, table: true }],
    ['a supervisor shadow-stack access', FINAL | 0x5n | (1n << 37n), { read: true, present: true }],
  ])('%s', (_name, info, expected) => expect(exit(0x400, info, GPA)).toEqual({ ...none, ...expected }));
});
