import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, GUEST_GDT, GUEST_STACK, HOST_TABLES, NPT, svmBench, type SvmBench } from './bench';

const NOPS = [0x90, 0x90];
const inject = (event: bigint | number, patch: Patch = {}, code: readonly number[] = NOPS): SvmBench => {
  const b = svmBench();
  b.run(code, { EVENTINJ: event, ...patch });
  return b;
};
const VALID = 0x8000_0000n;

describe('EVENTINJ', () => {
  it.each([
    ['an interrupt, whatever IF is', VALID | 0x21n, 0x21, undefined],
    ['an NMI', VALID | 0x202n, 2, undefined],
    ['an NMI, whatever the vector is: KVM writes 0', VALID | 0x200n, 2, undefined],
    ['an NMI with vector 33', VALID | 0x221n, 2, undefined],
    ['#UD', VALID | 0x306n, 6, undefined],
    ['#GP with an error code', VALID | 0xb0dn | (0x1238n << 32n), 13, 0x1238n],
    ['a software interrupt', VALID | 0x430n, 0x30, undefined],
  ])('%s', (_name, event, vector, errorCode) => {
    const b = inject(event);
    expect(b.delivered).toBe(vector);
    const frame = errorCode === undefined ? 0 : 1;
    if (errorCode !== undefined) expect(b.pushed(0)).toBe(errorCode);
    expect([b.pushed(frame), b.pushed(frame + 1), b.pushed(frame + 3), b.pushed(frame + 4)]).toEqual([BigInt(GUEST_CODE), 8n, BigInt(GUEST_STACK), 0x10n]);
    // #VMEXIT clears the valid bit.
    expect(b.read('EVENTINJ') & VALID).toBe(0n);
    expect(b.read('EXITINTINFO')).toBe(0n);
  });
  it('a software event returns to nRIP', () => {
    expect(inject(VALID | 0x430n, { NRIP: GUEST_CODE + 2 }).pushed(0)).toBe(BigInt(GUEST_CODE + 2));
    expect(inject(VALID | 0x303n, { NRIP: GUEST_CODE + 1 }).pushed(0)).toBe(BigInt(GUEST_CODE + 1));
    expect(inject(VALID | 0x306n, { NRIP: GUEST_CODE + 1 }).pushed(0)).toBe(BigInt(GUEST_CODE));
  });
  it('... in the upper half of the address space too', () => {
    const rip = 0xffff_ffff_8040_1401n;
    for (const length of [1n, 2n]) expect(inject(VALID | 0x430n, { RIP: rip, NRIP: rip + length }).pushed(0)).toBe(rip + length);
  });
  it('a page fault has the CR2 of the VMCB', () => {
    const b = inject(VALID | 0xb0en | (7n << 32n), { CR2: 0x1234_5000n });
    expect([b.delivered, b.pushed(0), b.read('CR2')]).toEqual([14, 7n, 0x1234_5000n]);
  });
  it('ends the interrupt shadow', () => expect(inject(VALID | 0x306n, { INTERRUPT_SHADOW: 1 }).read('INTERRUPT_SHADOW')).toBe(0n));
  it('is not subject to intercepts', () => {
    expect(inject(VALID | 0x306n, { EXCEPTION_INTERCEPTS: 0xffff_ffff }).delivered).toBe(6);
    expect(inject(VALID | 0x421n, { INTERCEPTS_3: 0x8020_0000 }).delivered).toBe(0x21);
    expect(inject(VALID | 0x202n, { INTERCEPTS_3: 0x8000_0002 }).delivered).toBe(2);
  });
  it('but exceptions of its delivery are, with the event in EXITINTINFO', () => {
    const b = inject(VALID | 0xb0dn | (0x20n << 32n), { IDTR_LIMIT: 0, EXCEPTION_INTERCEPTS: 1 << 13 });
    expect([b.exitCode, b.read('EXITINTINFO'), b.at]).toEqual([0x4dn, (0x20n << 32n) | 0x8000_0b0dn, 0]);
  });
  it.each([
    ['interrupt', VALID | 0x21n],
    ['NMI', VALID | 0x202n],
    ['exception', VALID | 0xb0dn | (0x20n << 32n)],
    ['software interrupt', VALID | 0x430n],
  ])('a nested page fault in the delivery of an %s', (_name, event) => {
    const b = svmBench();
    // The IDT is at a page that only the guest maps.
    b.create(NOPS, { EVENTINJ: event, IDTR_BASE: 0xe0_0000, NRIP: GUEST_CODE + 2 });
    b.memory.write64(NPT + 0x2000 + 8 * 7, 0n);
    b.enter();
    expect([b.exitCode, b.read('EXITINTINFO'), b.read('EVENTINJ') & VALID]).toEqual([0x400n, event, 0n]);
    // nRIP is not for exits while an event is delivered, not even one of an instruction.
    expect([b.read('BYTES_FETCHED'), b.read('NRIP')]).toEqual([0n, 0n]);
  });
  it('nor is there an nRIP if INT n cannot be delivered', () => {
    const b = svmBench();
    expect(b.run([0xcd, 0x21], { IDTR_LIMIT: 0, EXCEPTION_INTERCEPTS: 1 << 13 })).toBe(0x4dn);
    expect([b.read('EXITINTINFO'), b.read('NRIP')]).toEqual([VALID | 0x421n, 0n]);
  });
});

describe('exception intercepts', () => {
  const exits = (code: readonly number[], vector: number, patch: Patch = {}): SvmBench => {
    const b = svmBench();
    b.run([0x90, ...code], { EXCEPTION_INTERCEPTS: (1 << vector) >>> 0, ...patch });
    expect(b.exitCode).toBe(BigInt(0x40 + vector));
    return b;
  };
  it.each([
    ['#DE', [0x31, 0xc9, 0xf7, 0xf1], 0, 2],
    ['#UD', [0x0f, 0x0b], 6, 0],
    ['#BP', [0xcc], 3, 0],
  ])('%s', (_name, code, vector, offset) => {
    const b = exits(code, vector);
    expect([b.at, b.read('EXITINFO1'), b.read('EXITINTINFO')]).toEqual([1 + offset, 0n, 0n]);
  });
  it('INT3 has a next rIP', () => expect(exits([0xcc], 3).read('NRIP')).toBe(BigInt(GUEST_CODE + 2)));
  it('INT n is no exception', () => {
    const b = svmBench();
    b.run([0xcd, 6], { EXCEPTION_INTERCEPTS: 1 << 6 });
    expect(b.delivered).toBe(6);
  });
  it('#GP: the error code', () => {
    // MOV EAX, FFF8h; MOV DS, AX
    expect(exits([0xb8, 0xf8, 0xff, 0, 0, 0x8e, 0xd8], 13).read('EXITINFO1')).toBe(0xfff8n);
  });
  it('#NM', () => void exits([0xdb, 0xe3], 7, { CR0: 0x8001_003b }));

  // 32-bit code without paging.
  const PROTECTED = { EFER: 0x1000, CR0: 0x33, CR4: 0, CR3: 0, CS_ATTRIB: 0xc9b };
  const inProtectedMode = (code: readonly number[], vector: number, patch: Patch, descriptor = 0n): SvmBench => {
    const b = svmBench();
    b.create(code, { ...PROTECTED, EXCEPTION_INTERCEPTS: (1 << vector) >>> 0, ...patch });
    b.memory.write64(GUEST_GDT + 24, descriptor);
    b.enter();
    return b;
  };
  const NOT_PRESENT_DATA = 0x00cf_1300_0000_ffffn;
  it.each<[string, number[], number, Patch, bigint, bigint]>([
    ['#OF: INTO with OF = 1', [0xce], 4, { RFLAGS: 0x802 }, 0n, 0n],
    ['#BR: BOUND EAX, [600000h], 0 to 0', [0x62, 0x05, 0, 0, 0x60, 0], 5, { RAX: 5 }, 0n, 0n],
    ['#NP: MOV DS, a segment that is not present', [0x8e, 0xd8], 11, { RAX: 0x18, GDTR_LIMIT: 0xff }, NOT_PRESENT_DATA, 0x18n],
    ['#SS: MOV SS, a segment that is not present', [0x8e, 0xd0], 12, { RAX: 0x18, GDTR_LIMIT: 0xff }, NOT_PRESENT_DATA, 0x18n],
  ])('%s, with its error code', (_name, code, vector, patch, descriptor, errorCode) => {
    const b = inProtectedMode(code, vector, patch, descriptor);
    expect([b.exitCode, b.read('RIP'), b.read('EXITINFO1'), b.read('EXITINTINFO')]).toEqual([BigInt(0x40 + vector), BigInt(GUEST_CODE), errorCode, 0n]);
  });
  it('#BR tells what is behind BOUND: "exceptions caused by the INT3, INTO, and BOUND instructions"', () => {
    const b = inProtectedMode([0x62, 0x05, 0, 0, 0x60, 0], 5, { RAX: 5 });
    expect(b.read('NRIP')).toBe(BigInt(GUEST_CODE + 6));
  });
  it('#MF: FWAIT behind 0 / 0 with the invalid-operation exception unmasked', () => {
    // FNINIT; PUSH 37Eh; FLDCW [ESP]; FLDZ; FDIV ST0, ST0; FWAIT
    const b = inProtectedMode([0xdb, 0xe3, 0x68, 0x7e, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xee, 0xd8, 0xf0, 0x9b], 16, {});
    expect([b.exitCode, b.read('RIP')]).toEqual([0x50n, BigInt(GUEST_CODE + 14)]);
  });
  it('#XF: DIVPS 0 / 0 with every exception of MXCSR unmasked', () => {
    // MOV DWORD [600000h], 0; LDMXCSR [600000h]; XORPS XMM0, XMM0; DIVPS XMM0, XMM0
    const code = [0xc7, 0x04, 0x25, 0, 0, 0x60, 0, 0, 0, 0, 0, 0x0f, 0xae, 0x14, 0x25, 0, 0, 0x60, 0, 0x0f, 0x57, 0xc0, 0x0f, 0x5e, 0xc0];
    const b = svmBench();
    b.run(code, { CR4: 0x6a0, EXCEPTION_INTERCEPTS: 1 << 19 });
    expect([b.exitCode, b.at]).toEqual([0x53n, 22]);
  });
  it.each([
    ['read', [0x8b, 0x04, 0x25, 0, 0, 0, 0x40], 0n],
    ['write', [0x89, 0x04, 0x25, 0, 0, 0, 0x40], 2n],
  ])('#PF by a %s: error code, address, bytes; CR2 stays', (_name, code, error) => {
    const b = exits(code, 14, { CR2: 0x1111 });
    expect([b.read('EXITINFO1'), b.read('EXITINFO2'), b.read('CR2')]).toEqual([error, 0x4000_0000n, 0x1111n]);
    expect([b.read('BYTES_FETCHED'), b.read('INSTRUCTION_BYTES') & 0xffn]).toEqual([15n, BigInt(code[0])]);
  });
  it('#PF by a fetch: no bytes', () => {
    const b = svmBench();
    b.run([], { RIP: 0x4000_0000, EXCEPTION_INTERCEPTS: 1 << 14 });
    expect([b.exitCode, b.read('EXITINFO1'), b.read('EXITINFO2'), b.read('BYTES_FETCHED')]).toEqual([0x4en, 0x10n, 0x4000_0000n, 0n]);
  });
  it('#DB: DR6 is what the handler would see', () => {
    const b = exits([0x90], 1, { RFLAGS: 0x102 });
    expect([b.at, b.read('DR6')]).toEqual([1, 0xffff_4ff0n]);
    const gd = exits([0x0f, 0x21, 0xc0], 1, { DR7: 0x2400 });
    expect([gd.read('DR6'), gd.read('DR7')]).toEqual([0xffff_2ff0n, 0x400n]);
  });
  it('a second exception exits with the first in EXITINTINFO, before a double fault is thought of', () => {
    const b = exits([0x31, 0xc9, 0xf7, 0xf1], 13, { IDTR_LIMIT: 0, EXCEPTION_INTERCEPTS: (1 << 13) | (1 << 8) });
    expect(b.read('EXITINTINFO')).toBe(0x8000_0300n);
  });
  it('#DF', () => {
    const b = exits([0x31, 0xc9, 0xf7, 0xf1], 8, { IDTR_LIMIT: 0 });
    expect([b.read('EXITINFO1'), b.read('EXITINTINFO')]).toEqual([0n, 0n]);
  });
  it('ICEBP is a #DB exception when its own intercept is clear', () => {
    const b = exits([0xf1], 1);
    expect(b.at).toBe(1);
  });
});

describe('page faults of the guest', () => {
  it('are its own with nested paging', () => {
    const b = svmBench();
    b.run([0x8b, 0x04, 0x25, 0, 0, 0, 0x40]);
    expect([b.delivered, b.pushed(0), b.read('CR2')]).toEqual([14, 0n, 0x4000_0000n]);
  });
  it('the guest page tables are written as user data', () => {
    const b = svmBench();
    // Guest tables on a page of their own; its nested entry is read-only.
    const copy = 0x60_0000;
    b.create(NOPS, { CR3: copy });
    b.memory.writeBytes(copy, b.memory.u8.slice(b.memory.host(HOST_TABLES), b.memory.host(HOST_TABLES) + 4096));
    b.memory.write64(NPT + 0x2000 + 8 * 3, 0x60_0085n);
    b.enter();
    expect([b.exitCode, b.read('EXITINFO1'), b.read('EXITINFO2')]).toEqual([0x400n, 0x2_0000_0007n, 0x60_0000n]);
  });
});

it('TF traps behind the first guest instruction', () => {
  const b = svmBench();
  b.run(NOPS, { RFLAGS: 0x102 });
  expect([b.delivered, b.pushed(0), b.cpu.get32(R.GUEST_TSC_OFFSET)]).toEqual([1, BigInt(GUEST_CODE + 1), 0]);
});
