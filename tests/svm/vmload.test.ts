import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import { GUEST_CODE, NPT, VMCB_B, svmBench } from './bench';

const FIELDS = {
  STAR: R.STAR,
  LSTAR: R.LSTAR,
  CSTAR: R.CSTAR,
  SFMASK: R.SFMASK,
  KERNEL_GS_BASE: R.KERNEL_GS_BASE,
  SYSENTER_CS: R.SYSENTER_CS,
  SYSENTER_ESP: R.SYSENTER_ESP,
  SYSENTER_EIP: R.SYSENTER_EIP,
} as const;
const VMLOAD = [0x0f, 0x01, 0xda];
const VMSAVE = [0x0f, 0x01, 0xdb];

describe('VMSAVE and VMLOAD', () => {
  it('move FS, GS, LDTR, TR, KernelGSBase and the syscall and SYSENTER MSRs', () => {
    const b = svmBench();
    b.vmcb = VMCB_B;
    Object.values(FIELDS).forEach((offset, i) => b.cpu.set64(offset, BigInt(i + 1) * 0x1111n));
    b.cpu.setSegment(Segment.FS, 0x23, 0xc0f3, 0xffff_ffff, 0x7fff_0000_1000n);
    b.cpu.setSegment(Segment.LDTR, 0x30, 0x82, 0xffff, 0xffff_8000_0000_2000n);
    b.svm.vmsave(VMCB_B);
    Object.keys(FIELDS).forEach((name, i) => expect(b.read(name as keyof typeof FIELDS)).toBe(BigInt(i + 1) * 0x1111n));
    expect([b.read('FS_SELECTOR'), b.read('FS_ATTRIB'), b.read('FS_LIMIT'), b.read('FS_BASE')]).toEqual([0x23n, 0xcf3n, 0xffff_ffffn, 0x7fff_0000_1000n]);
    expect([b.read('LDTR_SELECTOR'), b.read('LDTR_ATTRIB'), b.read('LDTR_BASE')]).toEqual([0x30n, 0x82n, 0xffff_8000_0000_2000n]);
    expect([b.read('TR_SELECTOR'), b.read('TR_ATTRIB'), b.read('TR_LIMIT'), b.read('TR_BASE')]).toEqual([0x18n, 0x8bn, 0x67n, 0x5000n]);

    b.host();
    Object.values(FIELDS).forEach((offset) => b.cpu.set64(offset, 0n));
    b.svm.vmload(VMCB_B);
    Object.values(FIELDS).forEach((offset, i) => expect(b.cpu.get64(offset)).toBe(BigInt(i + 1) * 0x1111n));
    expect([b.cpu.selector(Segment.FS), b.cpu.segmentAccess(Segment.FS), b.cpu.segmentBase(Segment.FS)]).toEqual([0x23, 0xc0f3, 0x7fff_0000_1000n]);
    expect([b.cpu.selector(Segment.LDTR), b.cpu.segmentBase(Segment.LDTR)]).toEqual([0x30, 0xffff_8000_0000_2000n]);
  });
  it('write nothing else', () => {
    const b = svmBench();
    b.memory.writeBytes(VMCB_B, new Uint8Array(4096).fill(0xa5));
    b.svm.vmsave(VMCB_B);
    const touched: string[] = [];
    for (let at = 0; at < 4096; at += 16)
      if (b.memory.u8.subarray(b.memory.host(VMCB_B) + at, b.memory.host(VMCB_B) + at + 16).some((x) => x !== 0xa5)) touched.push(at.toString(16));
    // FS, GS; LDTR; TR; STAR to SYSENTER_EIP: APM Appendix B, "VMCB Layout, State Save Area".
    expect(touched).toEqual(['440', '450', '470', '490', '600', '610', '620', '630']);
  });
  it('make bases canonical', () => {
    const b = svmBench();
    b.vmcb = VMCB_B;
    b.write({ FS_BASE: 0x8000_0000_0000n, KERNEL_GS_BASE: 0x1234_8000_0000_1000n, FS_ATTRIB: 0xc93 });
    b.svm.vmload(VMCB_B);
    expect([b.cpu.segmentBase(Segment.FS), b.cpu.get64(R.KERNEL_GS_BASE)]).toEqual([0xffff_8000_0000_0000n, 0xffff_8000_0000_1000n]);
  });
  it('an absent segment is not usable', () => {
    const b = svmBench();
    b.svm.vmload(VMCB_B);
    expect(b.cpu.segmentAccess(Segment.GS) & 0x1_0000).not.toBe(0);
  });
});

describe('in a guest', () => {
  const STORED = 0x60_0000;
  it('without an intercept the operand is system-physical', () => {
    const b = svmBench();
    // Guest-physical 0xe0_0000 is physical 0x60_0000.
    b.create(VMSAVE, { RAX: 0xe0_0000 });
    b.memory.write64(NPT + 0x2000 + 8 * 7, BigInt(STORED) | 0x87n);
    b.cpu.set64(R.LSTAR, 0x4242n);
    b.enter();
    expect([b.memory.read64(STORED + 0x608), b.memory.read64(0xe0_0000 + 0x608)]).toEqual([0n, 0x4242n]);
  });
  it('with VMSAVE and VMLOAD virtualization it is guest-physical', () => {
    const b = svmBench();
    b.create([...VMSAVE, ...VMLOAD], { RAX: 0xe0_0000, VIRTUALIZATION_ENABLE: 2 });
    b.memory.write64(NPT + 0x2000 + 8 * 7, BigInt(STORED) | 0x87n);
    b.cpu.set64(R.LSTAR, 0x4242n);
    b.enter();
    expect([b.exitCode, b.memory.read64(STORED + 0x608)]).toEqual([0x81n, 0x4242n]);
  });
  it('... and a nested page fault exits', () => {
    const b = svmBench();
    b.create([0x90, ...VMSAVE], { RAX: 0xe0_0000, VIRTUALIZATION_ENABLE: 2 });
    b.memory.write64(NPT + 0x2000 + 8 * 7, 0x60_0085n);
    b.enter();
    expect([b.exitCode, b.at, b.read('EXITINFO1'), b.read('EXITINFO2')]).toEqual([0x400n, 1, 0x1_0000_0007n, 0xe0_0000n]);
  });
  it('... and a guest outside long mode exits by VMLOAD', () => {
    const b = svmBench();
    b.run([...VMLOAD], { RAX: 0xd000, VIRTUALIZATION_ENABLE: 2, EFER: 0x1000, CR0: 0x11, CR4: 0, CS_ATTRIB: 0xc9b });
    expect(b.exitCode).toBe(0x82n);
  });
  it('#GP for an operand that is not aligned', () => {
    const b = svmBench();
    b.run(VMLOAD, { RAX: 0xd008, EXCEPTION_INTERCEPTS: 1 << 13 });
    expect([b.exitCode, b.read('RIP')]).toEqual([0x4dn, BigInt(GUEST_CODE)]);
  });
});
