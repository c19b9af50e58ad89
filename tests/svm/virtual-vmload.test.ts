/** VMLOAD and VMSAVE of a guest under APM "VMSAVE and VMLOAD Virtualization", at its edges; and what is common to instructions that exit. */
import type { CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { AMD_SVM, NPT, bit, svmBench, type SvmBench } from './bench';

const VMLOAD = [0x0f, 0x01, 0xda],
  VMSAVE = [0x0f, 0x01, 0xdb],
  STGI = [0x0f, 0x01, 0xdc];
/** LSTAR in a VMCB. */
const LSTAR = 0x608;
const STORED = 0x60_0000;
const VIRTUAL: Patch = { VIRTUALIZATION_ENABLE: 2, EXCEPTION_INTERCEPTS: 1 << 13 };
const OUTSIDE_LONG_MODE: Patch = { EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b };

/** Guest-physical E0_0000h and what follows are system-physical 60_0000h, with these flags. */
function run(code: readonly number[], patch: Patch, flags = 0x87n, b: SvmBench = svmBench()): SvmBench {
  b.create(code, { ...VIRTUAL, ...patch });
  b.memory.write64(NPT + 0x2000 + 8 * 7, BigInt(STORED) | flags);
  b.cpu.set64(R.LSTAR, 0x4242n);
  b.enter();
  return b;
}

it('VMLOAD reads its operand: the nested page may be read-only', () => {
  const b = svmBench();
  b.memory.write64(STORED + LSTAR, 0x1234n);
  expect(run(VMLOAD, { RAX: 0xe0_0000 }, 0x85n, b).exitCode).toBe(0x81n);
  expect(b.cpu.get64(R.LSTAR)).toBe(0x1234n);
});
it('outside long mode each exits by its own code', () => {
  expect(run(VMLOAD, { ...OUTSIDE_LONG_MODE, RAX: 0xd000 }).exitCode).toBe(0x82n);
  expect(run(VMSAVE, { ...OUTSIDE_LONG_MODE, RAX: 0xd000 }).exitCode).toBe(0x83n);
});
it('guest-physical page 0 is a page like another', () => {
  const b = svmBench();
  b.memory.write64(LSTAR, 0x1234n);
  expect(run(VMLOAD, { RAX: 0 }, 0x87n, b).exitCode).toBe(0x81n);
  expect(b.cpu.get64(R.LSTAR)).toBe(0x1234n);
});
it.each([
  ['not aligned to 4 Kbytes', 0xe0_0008n],
  ['at the end of the physical address space', 1n << 46n],
  ['far beyond it', 0xffff_ffff_ffff_f000n],
])('#GP for a guest-physical operand %s', (_name, rax) => {
  const b = run(VMSAVE, { RAX: rax });
  expect([b.exitCode, b.at, b.memory.read64(STORED + LSTAR)]).toEqual([0x4dn, 0, 0n]);
});
it('needs CPUID Fn8000_000A_EDX[15]: without, the operand is system-physical', () => {
  const without: CpuProfile = {
    name: 'without VmsaveVirt',
    vendor: 'amd',
    physicalAddressWidth: AMD_SVM.physicalAddressWidth,
    cpuid: (leaf, subleaf) => {
      const [a, b, c, d] = AMD_SVM.cpuid(leaf, subleaf);
      return leaf === 0x8000_000a ? [a, b, c, d & ~0x8000] : [a, b, c, d];
    },
    has: (feature) => AMD_SVM.has(feature),
  };
  const b = svmBench({}, without);
  b.memory.write64(0xe0_0000 + LSTAR, 0n);
  run(VMSAVE, { RAX: 0xe0_0000 }, 0x87n, b);
  expect([b.exitCode, b.memory.read64(0xe0_0000 + LSTAR), b.memory.read64(STORED + LSTAR)]).toEqual([0x81n, 0x4242n, 0n]);
});

describe('an instruction that exits does not retire', () => {
  /** Instructions that retired from VMRUN to behind it. */
  const retired = (code: readonly number[], patch: Patch, flags: bigint): number => {
    const b = svmBench();
    const before = b.cpu.retired();
    run([0x90, ...code], patch, flags, b);
    expect(b.at).toBe(1);
    return b.cpu.retired() - before;
  };
  // VMRUN and NOP.
  const EXPECTED = 2;
  it.each<[string, number[], Patch, bigint]>([
    ['CPUID', [0x0f, 0xa2], { INTERCEPTS_3: (0x8000_0000 | bit(18)) >>> 0 }, 0x87n],
    ['STGI', STGI, { INTERCEPTS_4: 3 | bit(4) }, 0x87n],
    ['VMMCALL', [0x0f, 0x01, 0xd9], {}, 0x87n],
    ['VMLOAD outside long mode', VMLOAD, OUTSIDE_LONG_MODE, 0x87n],
    ['VMSAVE by a nested page fault', VMSAVE, { RAX: 0xe0_0000 }, 0x85n],
  ])('%s', (_name, code, patch, flags) => expect(retired(code, patch, flags)).toBe(EXPECTED));
});
