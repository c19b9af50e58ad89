/** The host over a VMRUN: APM "VMRUN Instruction", "#VMEXIT" and "Host Save Area". */
import { Activity } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { R, S, seg } from '../../cpu/layout';
import { HOST_CODE, HOST_SAVE_AREA, HOST_TABLES, VMRUN, svmBench, type SvmBench } from './bench';

const RSP = 4;
const WIDE = [R.CR0, R.CR3, R.CR4, R.EFER, R.PAT, R.GPR + 8 * RSP, R.GDTR_BASE, R.IDTR_BASE];
const SEGMENTS = [Segment.ES, Segment.CS, Segment.SS, Segment.DS];
const state = (b: SvmBench): unknown => ({
  registers: WIDE.map((register) => b.cpu.get64(register)),
  limits: [b.cpu.get32(R.GDTR_LIMIT), b.cpu.get32(R.IDTR_LIMIT)],
  segments: SEGMENTS.map((s) => [b.cpu.selector(s), b.cpu.segmentAccess(s), b.cpu.segmentLimit(s), b.cpu.segmentBase(s)]),
});

it('the host has its registers back, none of them with what the guest has', () => {
  const b = svmBench();
  const { cpu, memory } = b;
  // Host tables of its own: a copy of those that the guest uses.
  const tables = 0x50_0000;
  memory.writeBytes(tables, memory.readBytes(HOST_TABLES, 0x3000));
  memory.write64(tables, BigInt(tables + 0x1000) | 7n);
  memory.write64(tables + 0x1000, BigInt(tables + 0x2000) | 7n);
  b.create([0x90], { CR0: 0x8005_0033, CR4: 0x6b0, EFER: 0x1d00, G_PAT: 0x0606_0606_0606_0606n, DS_ATTRIB: 0xcf3, SS_SELECTOR: 0x33, ES_SELECTOR: 0x2b });
  cpu.set64(R.CR3, BigInt(tables));
  cpu.setGpr(RSP, 0x1122_3344_5566_7788n);
  cpu.set64(R.GDTR_BASE, 0xffff_8000_1111_2222n);
  cpu.set32(R.GDTR_LIMIT, 0x3333);
  cpu.set64(R.IDTR_BASE, 0xffff_8000_4444_5555n);
  cpu.set32(R.IDTR_LIMIT, 0x6666);
  SEGMENTS.forEach((s, i) => {
    if (s !== Segment.CS) cpu.setSegment(s, 0x40 + 8 * i, 0xc093, 0x1000 * i + 0xfff, BigInt(0x10_0000 * (i + 1)));
  });
  cpu.modeChanged();
  cpu.mmu.flushAll();
  const before = state(b);
  let inside: unknown;
  b.svm.observer = { entry: () => void (inside = state(b)) };
  expect(b.enter()).toBe('gate');
  expect(b.exitCode).toBe(0x81n);
  expect(state(b)).toEqual(before);
  expect(inside).not.toEqual(before);
  expect([cpu.rip, cpu.gpr(0)]).toEqual([BigInt(HOST_CODE + VMRUN.length), BigInt(b.vmcb)]);
  // "CPL is set to 0", breakpoints are off; the guest's TSC offset is gone.
  expect([cpu.cpl, cpu.get64(R.DR7), cpu.get64(R.GUEST_TSC_OFFSET)]).toEqual([0, 0x400n, 0n]);
});

it('the TSC offset of the guest ends with it', () => {
  const b = svmBench();
  b.run([0x90], { TSC_OFFSET: 0x1234_5678_9abc_def0n });
  expect(b.cpu.get64(R.GUEST_TSC_OFFSET)).toBe(0n);
});

describe('the host save area', () => {
  /** Somebody writes to the area while the guest runs: CR0, CR3, CR4 and EFER are its first quadwords here. */
  const written = (
    ...writes: readonly (readonly [quadword: 'CR0' | 'CR4' | 'EFER', value: bigint])[]
  ): { activity: Activity; lost: string | undefined; b: SvmBench } => {
    const b = svmBench();
    b.create([0x90]);
    let lost: string | undefined;
    b.svm.observer = {
      entry: () => writes.forEach(([name, value]) => b.memory.write64(HOST_SAVE_AREA + { CR0: 0, CR4: 16, EFER: 24 }[name], value)),
      shutdown: (_svm, because) => void (lost = because),
    };
    b.enter();
    const { activity } = b.cpu;
    b.cpu.activity = Activity.Active;
    return { activity, lost, b };
  };
  const CR0 = 0x8001_0033n,
    CR4 = 0x6a0n,
    EFER = 0x1d01n;
  it.each<[string, readonly (readonly ['CR0' | 'CR4' | 'EFER', bigint])[]]>([
    ['CR0.NW without CR0.CD', [['CR0', CR0 | 0x2000_0000n]]],
    ['EFER.SVME 0', [['EFER', EFER & ~0x1000n]]],
    ['a reserved bit of EFER', [['EFER', EFER | 2n]]],
    ['a reserved bit of CR4', [['CR4', CR4 | 0x8000_0000n]]],
    ['CR0[63:32]', [['CR0', CR0 | (1n << 32n)]]],
    ['CR4[63:32]', [['CR4', CR4 | (1n << 63n)]]],
    ['EFER[63:32]', [['EFER', EFER | (1n << 40n)]]],
    ['EFER.LMA without LME', [['EFER', EFER & ~0x100n]]],
    ['EFER.LMA without CR0.PG', [['CR0', CR0 & ~0x8000_0000n]]],
    ['EFER.LMA without CR4.PAE', [['CR4', CR4 & ~0x20n]]],
  ])('that holds %s: "illegal host state" shuts the processor down', (_name, writes) => {
    expect(written(...writes)).toMatchObject({ activity: Activity.Shutdown, lost: 'illegal host state' });
  });
  it.each<[string, readonly (readonly ['CR0' | 'CR4' | 'EFER', bigint])[]]>([
    ['CR0.CD and NW', [['CR0', CR0 | 0x6000_0000n]]],
    ['CR0.CD alone', [['CR0', CR0 | 0x4000_0000n]]],
    ['nothing else', []],
  ])('that holds %s is legal', (_name, writes) => expect(written(...writes)).toMatchObject({ activity: Activity.Active, lost: undefined }));
  it('rFLAGS.VM is 0 whatever it holds', () => {
    const b = svmBench();
    b.create([0x90]);
    // Behind twelve quadwords and four segment registers of five words.
    b.svm.observer = { entry: () => b.memory.write32(HOST_SAVE_AREA + 12 * 8 + 4 * 20, 0x2_0003) };
    b.enter();
    expect(b.cpu.rflags()).toBe(3);
  });
  it('"CR0.PE is set" whatever it holds', () => {
    // Paging off and PE off, outside long mode.
    const { lost, b } = written(['CR0', 0x12n], ['EFER', 0x1000n]);
    expect([lost, b.cpu.cr0 & 1]).toEqual([undefined, 1]);
  });
});

it('a host with PAE paging: its four PDPEs are read again', () => {
  const b = svmBench();
  const { cpu, memory } = b;
  // Page-directory-pointer table at 52_0000h: the directory of the first gigabyte is that of the bench.
  const table = 0x52_0000;
  memory.write64(table, BigInt(HOST_TABLES + 0x2000) | 1n);
  for (let i = 1; i < 4; i++) memory.write64(table + 8 * i, BigInt(0x1000 * i));
  b.create([0x90]);
  cpu.set64(R.CR3, BigInt(table));
  cpu.set64(R.EFER, 0x1000n);
  cpu.setSegment(Segment.CS, 8, 0xc09b, 0xffff_ffff, 0n);
  cpu.set64(R.PDPTE0, BigInt(HOST_TABLES + 0x2000) | 1n);
  cpu.modeChanged();
  cpu.mmu.flushAll();
  b.svm.observer = { entry: () => [0, 8, 16, 24].forEach((at) => cpu.set64(R.PDPTE0 + at, 0n)) };
  // The long-mode guest has tables of the bench's own under nested paging, in the format of the host's.
  memory.writeBytes(0xa000, memory.readBytes(table, 32));
  b.enter();
  expect(cpu.get32(seg(Segment.CS, S.SELECTOR))).toBe(8);
  expect([0, 8, 16, 24].map((at) => cpu.get64(R.PDPTE0 + at))).toEqual([BigInt(HOST_TABLES + 0x2000) | 1n, 0x1000n, 0x2000n, 0x3000n]);
});
