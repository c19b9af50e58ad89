/** APM "Last Branch Record Virtualization", "Hardware Acceleration for LBR Virtualization"; KVM's tests of LBR virtualization. */
import type { CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import type { Patch } from './entry/vmcb-image';
import { AMD_SVM, GUEST_CODE, GUEST_HANDLERS, HOST_CODE, MSRPM, VMMCALL, VMRUN, svmBench, type SvmBench } from './bench';

const ENABLE: Patch = { VIRTUALIZATION_ENABLE: 1 };
const JMP = [0xeb, 0x00];
const WITHOUT_FEATURE: CpuProfile = {
  name: 'without LbrVirt',
  vendor: 'amd',
  physicalAddressWidth: AMD_SVM.physicalAddressWidth,
  cpuid: (leaf, subleaf) => {
    const [a, b, c, d] = AMD_SVM.cpuid(leaf, subleaf);
    return leaf === 0x8000_000a ? [a, b, c, d & ~2] : [a, b, c, d];
  },
  has: (feature) => AMD_SVM.has(feature),
};
const REGISTERS = [R.DEBUGCTL, R.LAST_BRANCH_FROM, R.LAST_BRANCH_TO, R.LAST_INT_FROM, R.LAST_INT_TO];
/** DBGCTL, BR_FROM, BR_TO, LASTEXCPFROM, LASTEXCPTO: offsets from the beginning of the VMCB, out of the APM's layout and not out of the table. */
const OFFSETS = [0x670, 0x678, 0x680, 0x688, 0x690];
const HOST_VALUES = [2n, 0xffff_8000_0000_0011n, 0xffff_8000_0000_0022n, 0xffff_8000_0000_0033n, 0xffff_8000_0000_0044n];
const GUEST_VALUES = [1n, 0x0000_7fff_1111_1111n, 0xffff_ffff_2222_2222n, 0x0000_7fff_3333_3333n, 0xffff_ffff_4444_4444n];

const registers = (b: SvmBench): bigint[] => REGISTERS.map((r) => b.cpu.get64(r));
const fields = (b: SvmBench): bigint[] => OFFSETS.map((offset) => b.memory.read64(b.vmcb + offset));
const loadHost = (b: SvmBench, values = HOST_VALUES): void => REGISTERS.forEach((r, i) => b.cpu.set64(r, values[i]));
const write = (b: SvmBench, values = GUEST_VALUES): void => OFFSETS.forEach((offset, i) => b.memory.write64(b.vmcb + offset, values[i]));

function run(code: readonly number[], patch: Patch, b: SvmBench = svmBench()): { inGuest: bigint[]; b: SvmBench } {
  b.create(code, patch);
  loadHost(b);
  write(b);
  let inGuest: bigint[] = [];
  b.svm.observer = { entry: () => void (inGuest = registers(b)) };
  b.enter();
  return { inGuest, b };
}

describe('VMCB 0B8h bit 0', () => {
  it('set: VMRUN saves the five MSRs of the host and loads those of the guest, #VMEXIT the other way round', () => {
    const { inGuest, b } = run([0x90], ENABLE);
    expect(inGuest).toEqual(GUEST_VALUES);
    expect(fields(b)).toEqual(GUEST_VALUES);
    expect(registers(b)).toEqual(HOST_VALUES);
  });
  it('set: what the guest recorded goes to its VMCB', () => {
    const { b } = run([...JMP, 0xcd, 0x80], ENABLE);
    // Vector 80h: its handler's VMMCALL. INT is at +2; the branch before it was the JMP.
    const at = BigInt(GUEST_CODE);
    expect(fields(b)).toEqual([1n, at + 2n, BigInt(GUEST_HANDLERS + 0x800), at, at + 2n]);
    expect(registers(b)).toEqual(HOST_VALUES);
  });
  it('clear: host and guest have the same MSRs, and the fields are neither read nor written', () => {
    const b = svmBench();
    b.create(JMP);
    loadHost(b, [1n, 5n, 6n, 7n, 8n]);
    write(b);
    let inGuest: bigint[] = [];
    b.svm.observer = { entry: () => void (inGuest = registers(b)) };
    b.enter();
    expect(inGuest).toEqual([1n, 5n, 6n, 7n, 8n]);
    expect(fields(b)).toEqual(GUEST_VALUES);
    expect(registers(b)).toEqual([1n, BigInt(GUEST_CODE), BigInt(GUEST_CODE + 2), 7n, 8n]);
  });
  it('without the feature: as if clear', () => {
    const { inGuest, b } = run([0x90], ENABLE, svmBench({}, WITHOUT_FEATURE));
    expect(inGuest).toEqual(HOST_VALUES);
    expect(fields(b)).toEqual(GUEST_VALUES);
  });
  it('counts at each VMRUN anew, also of a VMRUN that fails', () => {
    const { b } = run([0x90], ENABLE);
    b.write({ VIRTUALIZATION_ENABLE: 0, RIP: GUEST_CODE, EFER: 0 });
    loadHost(b, GUEST_VALUES);
    b.enter();
    expect(b.exitCode).toBe(0xffff_ffff_ffff_ffffn);
    expect(registers(b)).toEqual(GUEST_VALUES);
  });
});

it('VMRUN and #VMEXIT are no control transfers', () => {
  const b = svmBench();
  // The host jumps to its VMRUN.
  b.create([0x90]);
  b.memory.writeBytes(HOST_CODE - 2, Uint8Array.from([...JMP, ...VMRUN]));
  b.cpu.set64(R.DEBUGCTL, 1n);
  b.cpu.setGpr(0, BigInt(b.vmcb));
  b.cpu.rip = BigInt(HOST_CODE - 2);
  b.engine.run(b.cpu.now() + 1000);
  expect(b.exitCode).toBe(0x81n);
  expect(registers(b).slice(0, 3)).toEqual([1n, BigInt(HOST_CODE - 2), BigInt(HOST_CODE)]);
});

it('reserved bits of DBGCTL are ignored, not refused', () => {
  const b = svmBench();
  b.create([0x90], { ...ENABLE, DBGCTL: 0xffff_ffff_ffff_fffdn });
  b.enter();
  expect([b.exitCode, b.read('DBGCTL')]).toEqual([0x81n, 1n]);
});

describe('#DB in the guest', () => {
  const trapped = (patch: Patch): SvmBench => run([...JMP, 0x90], { ...ENABLE, DR7: 0x401, ...patch }).b;
  const breakpoint = (patch: Patch = {}): SvmBench => {
    const b = svmBench();
    b.cpu.set64(R.DR0, BigInt(GUEST_CODE + 2));
    b.create([...JMP, 0x90], { ...ENABLE, DBGCTL: 1, DR7: 0x401, ...patch });
    b.enter();
    return b;
  };
  it('clears its DBGCTL.LBR and records nothing', () => {
    const b = breakpoint();
    expect([b.delivered, b.read('DBGCTL'), b.read('BR_FROM'), b.read('LASTEXCPFROM')]).toEqual([1, 0n, BigInt(GUEST_CODE), 0n]);
  });
  it('that is intercepted: as the handler would have found it', () => {
    const b = breakpoint({ EXCEPTION_INTERCEPTS: 2 });
    expect([b.exitCode, b.read('DBGCTL'), b.read('BR_FROM')]).toEqual([0x41n, 0n, BigInt(GUEST_CODE)]);
  });
  it('does not touch the DebugCtl of the host', () => expect(registers(trapped({}))[0]).toBe(2n));
});

describe('the MSR permissions map', () => {
  const rdmsr = (index: number): number[] => [0xb9, index & 0xff, index >> 8, 0, 0, 0x0f, 0x32];
  const wrmsr = [0xb9, 0xd9, 0x01, 0, 0, 0x31, 0xd2, 0xb8, 1, 0, 0, 0, 0x0f, 0x30];
  const withMap = (code: readonly number[], bits: readonly number[]): SvmBench => {
    const b = svmBench();
    b.create(code, { ...ENABLE, INTERCEPTS_3: 0x9000_0000 });
    write(b, [0n, ...GUEST_VALUES.slice(1)]);
    loadHost(b);
    for (const n of bits) b.memory.write8(MSRPM + (n >>> 3), b.memory.read8(MSRPM + (n >>> 3)) | (1 << (n & 7)));
    b.enter();
    return b;
  };
  it.each([0x1db, 0x1dc, 0x1dd, 0x1de])('RDMSR of %i: two bits an MSR, the lower one for reads', (index) => {
    const read = withMap(rdmsr(index), []);
    const value = GUEST_VALUES[index - 0x1da];
    expect([read.exitCode, read.read('RAX'), read.cpu.gpr(2)]).toEqual([0x81n, value & 0xffff_ffffn, value >> 32n]);
    expect(withMap(rdmsr(index), [2 * index + 1]).exitCode).toBe(0x81n);
    expect(withMap(rdmsr(index), [2 * index]).exitCode).toBe(0x7cn);
  });
  it('WRMSR of DebugCtl by the guest is its own', () => {
    const b = withMap([...wrmsr, ...JMP], []);
    expect([b.exitCode, ...fields(b).slice(0, 3)]).toEqual([0x81n, 1n, BigInt(GUEST_CODE + wrmsr.length), BigInt(GUEST_CODE + wrmsr.length + 2)]);
    expect(registers(b)[0]).toBe(2n);
    expect(withMap([...wrmsr, ...JMP], [2 * 0x1d9 + 1]).exitCode).toBe(0x7cn);
  });
});

it('a snapshot in the guest keeps the way back to the records of the host', () => {
  const b = svmBench();
  b.create([0x90, 0xeb, 0xfe], ENABLE);
  loadHost(b);
  write(b);
  b.enter(20);
  const engine = b.engine.saveState();
  const svm = b.svm.saveState();
  loadHost(b, [0n, 0n, 0n, 0n, 0n]);
  b.svm.restoreState(svm);
  b.engine.restoreState(engine);
  b.memory.writeBytes(GUEST_CODE + 1, Uint8Array.from(VMMCALL));
  b.engine.code.invalidate(GUEST_CODE, 16);
  b.engine.run(b.cpu.now() + 1000);
  expect(b.exitCode).toBe(0x81n);
  expect(registers(b)).toEqual(HOST_VALUES);
});
