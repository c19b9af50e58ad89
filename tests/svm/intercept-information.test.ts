/** What instruction intercepts record with decode assists and without, and what is not intercepted. APM "Decode Assists", "Instruction Intercepts". */
import { Segment } from '../../cpu/decoder/insn';
import { Sensitive, type CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { AMD_SVM, IOPM, bit, svmBench, type SvmBench } from './bench';

/** CPUID Fn8000_000A_EDX: nested paging and nothing else, as the first processors with it. */
const FIRST_GENERATION: CpuProfile = {
  name: 'first generation',
  vendor: 'amd',
  physicalAddressWidth: AMD_SVM.physicalAddressWidth,
  cpuid: (leaf, subleaf) => {
    const [a, b, c, d] = AMD_SVM.cpuid(leaf, subleaf);
    return leaf === 0x8000_000a ? [a, b, c, 1] : [a, b, c, d];
  },
  has: (feature) => AMD_SVM.has(feature),
};
const ADDRESS = 0xffff_8003_2345_678fn;

describe('without decode assists EXITINFO1 is 0', () => {
  it.each<[string, number[], Patch, number]>([
    ['MOV from CR0', [0x0f, 0x20, 0xc5], { CR_READ_INTERCEPTS: 1 }, 0x00],
    ['MOV to CR0', [0x0f, 0x22, 0xc5], { CR_WRITE_INTERCEPTS: 1 }, 0x10],
    ['MOV from DR7', [0x0f, 0x21, 0xfd], { DR_READ_INTERCEPTS: 0x80 }, 0x27],
    ['MOV to DR7', [0x0f, 0x23, 0xfd], { DR_WRITE_INTERCEPTS: 0x80 }, 0x37],
    ['INVLPG', [0x0f, 0x01, 0x38], { INTERCEPTS_3: bit(25), RAX: ADDRESS }, 0x79],
    ['INVLPGA', [0x0f, 0x01, 0xdf], { INTERCEPTS_3: bit(26), RAX: ADDRESS }, 0x7a],
    ['INT 21h', [0xcd, 0x21], { INTERCEPTS_3: bit(21) }, 0x75],
  ])('%s', (_name, code, patch, exit) => {
    const b = svmBench({}, FIRST_GENERATION);
    b.cpu.setGpr(5, 0x8001_0033n);
    expect(b.run(code, patch)).toBe(BigInt(exit));
    expect([b.read('EXITINFO1'), b.read('EXITINFO2'), b.read('NRIP')]).toEqual([0n, 0n, 0n]);
  });
});

it('INVLPG: all 64 bits of the linear address', () => {
  const b = svmBench();
  b.run([0x0f, 0x01, 0x38], { INTERCEPTS_3: bit(25), RAX: ADDRESS });
  expect(b.read('EXITINFO1')).toBe(ADDRESS);
});

describe('INVPCID: the linear address of its descriptor', () => {
  const ABSOLUTE = [0x66, 0x0f, 0x38, 0x82, 0x0c, 0x25, 0, 0, 0x60, 0];
  const exit = (code: readonly number[], patch: Patch = {}, prepare: (b: SvmBench) => void = () => {}): bigint[] => {
    const b = svmBench();
    b.create(code, { INTERCEPTS_5: 4, ...patch });
    b.cpu.setGpr(1, 0xffff_ffff_0000_0003n);
    prepare(b);
    b.enter();
    return [b.exitCode, b.read('EXITINFO1'), b.read('EXITINFO2')];
  };
  const TYPE = 0xffff_ffff_0000_0003n;
  it('in 64-bit mode no base but those of FS and GS counts', () => {
    expect(exit(ABSOLUTE, { DS_BASE: 0x1000 })).toEqual([0xa2n, 0x60_0000n, TYPE]);
    for (const [prefix, segment] of [
      [0x64, Segment.FS],
      [0x65, Segment.GS],
    ] as const) {
      const withBase = exit([prefix, ...ABSOLUTE], {}, ({ cpu }) => cpu.setSegment(segment, 0, 0xc093, 0xffff_ffff, 0xffff_8003_0000_0001n));
      expect(withBase).toEqual([0xa2n, 0xffff_8003_0060_0001n, TYPE]);
    }
  });
  it('in 32-bit mode each base counts, modulo 4 Gbytes', () => {
    const protectedMode = { EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b, DS_BASE: 0xffff_f000 };
    expect(exit([0x66, 0x0f, 0x38, 0x82, 0x0d, 0, 0, 0x60, 0], protectedMode)).toEqual([0xa2n, 0x5f_f000n, 3n]);
  });
});

describe('is not intercepted, and executes:', () => {
  it('MOV to and from a debug register whose bits are clear', () => {
    const b = svmBench();
    // mov dr0, rax; mov rbx, dr0
    const others = { DR_READ_INTERCEPTS: 0xfffe, DR_WRITE_INTERCEPTS: 0xfffe };
    expect(b.run([0x0f, 0x23, 0xc0, 0x0f, 0x21, 0xc3], { ...others, RAX: 0x1234 })).toBe(0x81n);
    expect([b.cpu.get64(R.DR0), b.cpu.gpr(3)]).toEqual([0x1234n, 0x1234n]);
  });
  it('IN and OUT without IOIO_PROT, whatever the permissions map has', () => {
    const b = svmBench();
    b.memory.writeBytes(IOPM, new Uint8Array(0x3000).fill(0xff));
    const written: number[] = [];
    b.cpu.ports = { read: () => 0x5a, write: (_port, _size, value) => void written.push(value) };
    // in al, 80h; out 80h, al
    expect(b.run([0xe4, 0x80, 0xe6, 0x80])).toBe(0x81n);
    expect([b.read('RAX'), written]).toEqual([0x5an, [0x5a]]);
    b.cpu.ports = undefined;
  });
  // Appendix B has no bit for the first five. The instructions of SVM are intercepted where they execute, and those of VMX are #UD.
  it.each([
    ...(['GETSEC', 'RDRAND', 'RDSEED', 'XSAVES', 'XRSTORS'] as const),
    ...(['VMRUN', 'VMLOAD', 'VMSAVE', 'STGI', 'CLGI', 'INVLPGA', 'VMMCALL', 'SKINIT'] as const),
    ...(['VMCALL', 'VMCLEAR', 'VMLAUNCH', 'VMPTRLD', 'VMPTRST', 'VMREAD', 'VMRESUME', 'VMWRITE', 'VMXOFF', 'VMXON', 'VMFUNC', 'INVEPT', 'INVVPID'] as const),
  ])('%s', (name) => {
    const b = svmBench();
    const all = { INTERCEPTS_3: 0xffff_ffff, INTERCEPTS_4: 0xffff_ffff, INTERCEPTS_5: 0xffff_ffff };
    b.create([0x90], { ...all, CR_READ_INTERCEPTS: 0xffff, CR_WRITE_INTERCEPTS: 0xffff });
    let exited: boolean | undefined;
    b.svm.observer = { entry: () => void (exited = b.svm.instruction(Sensitive[name], 0, 0n)) };
    b.enter();
    expect(exited).toBe(false);
  });
});
