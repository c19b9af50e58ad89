/** What a #VMEXIT because of an exception records: APM "Exception Intercepts", "Decode Assists", "#PF (Page Fault)", "#DB (Debug)". */
import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { GUEST_CODE, HOST_CODE, HOST_TABLES, VMRUN, svmBench, type SvmBench } from './bench';

const DR6_RESET = 0xffff_0ff0n;

/** Runs the guest; the host is back behind its VMRUN, and no exception goes to it. */
function run(vector: number, code: readonly number[], patch: Patch = {}, prepare: (b: SvmBench) => void = () => {}): SvmBench {
  const b = svmBench();
  b.create(code, { EXCEPTION_INTERCEPTS: (1 << vector) >>> 0, ...patch });
  prepare(b);
  const delivered: number[] = [];
  b.cpu.observer = { deliver: (_cpu, event) => void delivered.push(event.vector) };
  expect(b.enter()).toBe('gate');
  b.cpu.observer = {};
  expect(b.cpu.rip).toBe(BigInt(HOST_CODE + VMRUN.length));
  expect(b.exitCode).toBe(BigInt(0x40 + vector));
  expect(delivered).not.toContain(vector);
  return b;
}
const info = (b: SvmBench): bigint[] => [b.read('EXITINFO1'), b.read('EXITINFO2'), b.read('BYTES_FETCHED')];

/** mov rax, address; mov cl, [rax] */
const load = (address: bigint): number[] => [0x48, 0xb8, ...Array.from({ length: 8 }, (_, i) => Number((address >> BigInt(8 * i)) & 0xffn)), 0x8a, 0x08];

it('#PF: EXITINFO2 is the faulting address, all 64 bits of it; up to 15 bytes of the instruction; DR6 stays', () => {
  const address = 0xffff_8003_2345_678fn;
  const b = run(14, load(address));
  // Not present, a read, by a supervisor.
  expect(info(b)).toEqual([0n, address, 15n]);
  expect([b.at, b.read('DR6')]).toEqual([10, DR6_RESET]);
});

it('#PF by a fetch has no instruction bytes, although some of them could be fetched', () => {
  // The last byte of a page, and the next page is not present.
  const at = 0x5f_ffff;
  const b = run(14, [], { RIP: at }, ({ memory }) => {
    memory.write8(at, 0x48);
    memory.write64(HOST_TABLES + 0x2000 + 8 * 3, 0n);
  });
  expect(info(b)).toEqual([0x10n, BigInt(at + 1), 0n]);
});

it('#PF while an event is delivered has no instruction bytes either', () => {
  const b = run(14, [0xcd, 0x80], { RSP: 0x60_1000 }, ({ memory }) => memory.write64(HOST_TABLES + 0x2000 + 8 * 3, 0n));
  expect(b.read('EXITINTINFO')).toBe(0x8000_0480n);
  // A write by a supervisor to a page that is not present.
  expect([b.read('EXITINFO1'), b.read('BYTES_FETCHED')]).toEqual([2n, 0n]);
});

// EXITINFO2 is undefined for these; here it is 0.
it.each<[string, number, number[], bigint]>([
  ['#UD', 6, [0x0f, 0x0b], 0n],
  ['#GP: an MSR that does not exist', 13, [0xb9, 0xff, 0xff, 0, 0, 0x0f, 0x32], 0n],
  ['#GP: a selector beyond the descriptor table', 13, [0xb8, 0x7c, 0x56, 0, 0, 0x8e, 0xd8], 0x567cn],
])('%s: the error code, and no instruction bytes', (_name, vector, code, errorCode) => {
  const b = run(vector, code);
  expect(info(b)).toEqual([errorCode, 0n, 0n]);
  expect(b.read('DR6')).toBe(DR6_RESET);
});

it('ICEBP as a #DB: no condition goes to DR6, none of it is cleared, and DR7.GD stays', () => {
  const b = run(1, [0xf1], { DR6: 0xffff_0ff5, DR7: 0x2400 });
  expect([b.read('DR6'), b.read('DR7')]).toEqual([0xffff_0ff5n, 0x2400n]);
});
it('#DB by a breakpoint: DR6 has its condition, DR7.GD is clear', () => {
  const b = run(1, [0x90], { DR6: 0xffff_0ff4, DR7: 0x2401 }, ({ cpu }) => cpu.set64(R.DR0, BigInt(GUEST_CODE)));
  expect([b.read('DR6'), b.read('DR7')]).toEqual([0xffff_0ff1n, 0x401n]);
});
