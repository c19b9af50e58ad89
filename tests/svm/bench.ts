/** A host with AMD-V, a VMCB it can run and a guest of a few bytes: the baseline from which each test changes one thing. */
import { Activity, Cpu } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { Engine, type RunStop } from '../../cpu/engine';
import type { CpuProfile, InterruptController } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { parseProfile } from '../../cpu/profiles/profile';
import { Scheduler } from '../../devices/bus';
import { PhysicalMemory } from '../../memory/physical-memory';
import { Svm, type SvmOptions } from '../../svm/svm';
import { describeField } from '../../svm/vmcb/fields';
import type { VmcbField } from '../../svm/vmcb/layout';
import type { Patch } from './entry/vmcb-image';

export const VMCB_A = 0x2000;
export const HOST_SAVE_AREA = 0x3000;
export const IOPM = 0x4000;
export const MSRPM = 0x7000;
export const NPT = 0xa000;
export const VMCB_B = 0xd000;
export const HOST_TABLES = 0x10_0000;
/** VMRUN, and the instruction behind it at which the host stops. */
export const HOST_CODE = 0x11_0000;
export const VMRUN = [0x0f, 0x01, 0xd8];
export const GUEST_CODE = 0x40_1000;
export const GUEST_STACK = 0x41_0000;
export const GUEST_GDT = 0x42_0000;
/** Vector v leads to a VMMCALL at GUEST_HANDLERS + 16 * v. */
export const GUEST_HANDLERS = 0x43_0000;
const GUEST_IDT = 0x42_1000;
export const VMMCALL = [0x0f, 0x01, 0xd9];
export const INVALID = 0xffff_ffff_ffff_ffffn;

/** Interrupts as a test raises them. */
export class TestInterrupts implements InterruptController {
  vector = -1;
  acknowledged: number[] = [];
  tpr = 0;
  pending(): boolean {
    return this.vector >= 0;
  }
  acknowledge(): number {
    const { vector } = this;
    this.vector = -1;
    this.acknowledged.push(vector);
    return vector;
  }
  readCr8(): number {
    return this.tpr;
  }
  writeCr8(value: number): void {
    this.tpr = value;
  }
  readMsr(): bigint | undefined {
    return undefined;
  }
  writeMsr(): boolean {
    return false;
  }
}

const USED_RAM = 0x70_0000;
const benches = new Map<CpuProfile, SvmBench>();
export const AMD_SVM = parseProfile('amd-svm');

/** A machine in its first state. There is one a profile, because it takes a while to build: a test has it until it asks for the next. */
export function svmBench(options: SvmOptions = {}, profile: CpuProfile = AMD_SVM): SvmBench {
  let bench = benches.get(profile);
  if (bench === undefined) benches.set(profile, (bench = new SvmBench(profile)));
  return bench.reset(options);
}

export class SvmBench {
  readonly memory = new PhysicalMemory(16 << 20);
  readonly cpu: Cpu;
  readonly engine: Engine;
  svm!: Svm;
  interrupts = new TestInterrupts();
  vmcb = VMCB_A;

  constructor(profile: CpuProfile) {
    const cpu = (this.cpu = new Cpu(this.memory, profile));
    this.engine = new Engine(cpu, new Scheduler({ now: () => cpu.now() }));
    this.engine.addGate(HOST_CODE + VMRUN.length);
  }

  /** RAM, registers and SVM as after construction. */
  reset(options: SvmOptions): this {
    const { memory, cpu } = this;
    memory.writeBytes(0, new Uint8Array(USED_RAM));
    cpu.u8.fill(0, cpu.base, cpu.base + R.MASK16);
    Object.assign(cpu, { activity: Activity.Active, nmiPending: false, nmiBlocked: false, shadowAt: -1, pendingDebug: 0, guestTscRatio: undefined });
    cpu.mmu.asid = 0;
    cpu.interrupts = this.interrupts = new TestInterrupts();
    this.vmcb = VMCB_A;
    this.svm = new Svm(cpu, options).attach();
    // Identity maps of the first 16 MiB: 2-Mbyte pages, for everybody; host and guest share theirs.
    for (const base of [HOST_TABLES, NPT]) {
      memory.write64(base, BigInt(base + 0x1000) | 7n);
      memory.write64(base + 0x1000, BigInt(base + 0x2000) | 7n);
      for (let i = 0; i < 8; i++) memory.write64(base + 0x2000 + 8 * i, BigInt(i * 0x20_0000) | 0x87n);
    }
    memory.write64(GUEST_GDT + 8, 0x00af_9b00_0000_ffffn);
    memory.write64(GUEST_GDT + 16, 0x00cf_9300_0000_ffffn);
    for (let v = 0; v < 256; v++) {
      const handler = BigInt(GUEST_HANDLERS + 16 * v);
      memory.write64(GUEST_IDT + 16 * v, (handler & 0xffffn) | (8n << 16n) | (0x8e00n << 32n) | ((handler >> 16n) << 48n));
      memory.writeBytes(GUEST_HANDLERS + 16 * v, Uint8Array.from(VMMCALL));
    }
    memory.writeBytes(HOST_CODE, Uint8Array.from(VMRUN));
    this.host();
    return this;
  }

  /** A 64-bit host at CPL 0 with SVM enabled. */
  host(): void {
    const { cpu } = this;
    for (const offset of [R.CR2, R.DR0, R.DR1, R.DR2, R.DR3, R.SYSENTER_CS, R.LSTAR, R.GUEST_TSC_OFFSET, R.TSC_OFFSET, R.MONITOR_ARMED]) cpu.set64(offset, 0n);
    for (const offset of [R.DEBUGCTL, R.LAST_BRANCH_FROM, R.LAST_BRANCH_TO, R.LAST_INT_FROM, R.LAST_INT_TO]) cpu.set64(offset, 0n);
    cpu.set64(R.CR0, 0x8001_0033n);
    cpu.set64(R.CR3, BigInt(HOST_TABLES));
    cpu.set64(R.CR4, 0x6a0n);
    cpu.set64(R.EFER, 0x1d01n);
    cpu.set64(R.DR6, 0xffff_0ff0n);
    cpu.set64(R.DR7, 0x400n);
    cpu.set64(R.PAT, 0x0007_0406_0007_0406n);
    cpu.setSegment(Segment.CS, 8, 0xa09b, 0xffff_ffff, 0n);
    for (const s of [Segment.SS, Segment.DS, Segment.ES, Segment.FS, Segment.GS]) cpu.setSegment(s, 0x10, 0xc093, 0xffff_ffff, 0n);
    cpu.setSegment(Segment.TR, 0x18, 0x8b, 0x67, 0x5000n);
    cpu.setSegment(Segment.LDTR, 0, 0x1_0000, 0, 0n);
    cpu.setRflags(2);
    cpu.set32(R.CPL, 0);
    cpu.modeChanged();
    cpu.mmu.flushAll();
    this.svm.writeMsr(0xc001_0117, BigInt(HOST_SAVE_AREA));
  }

  /** Writes the baseline VMCB with `patch` over it and `code` as the guest's program, then VMMCALL. */
  create(code: readonly number[] = [], patch: Patch = {}): this {
    this.memory.writeBytes(this.vmcb, new Uint8Array(0x1000));
    this.write({ ...BASELINE, ...patch });
    this.memory.writeBytes(GUEST_CODE, Uint8Array.from([...code, ...VMMCALL]));
    return this;
  }
  write(patch: Patch): void {
    for (const [name, value] of Object.entries(patch)) {
      const { offset, bits } = describeField(name as VmcbField);
      for (let i = 0; i < bits / 8; i++) this.memory.write8(this.vmcb + offset + i, Number((BigInt(value) >> BigInt(8 * i)) & 0xffn));
    }
  }
  read(name: VmcbField): bigint {
    const { offset, bits } = describeField(name);
    let value = 0n;
    for (let i = Math.min(bits, 64) / 8 - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.memory.read8(this.vmcb + offset + i));
    return value;
  }

  /** VMRUN until the host is back. */
  enter(limit = 10_000): RunStop {
    const { cpu } = this;
    cpu.setGpr(0, BigInt(this.vmcb));
    cpu.rip = BigInt(HOST_CODE);
    return this.engine.run(cpu.now() + limit);
  }
  /** create() and enter(); the exit code. */
  run(code: readonly number[] = [], patch: Patch = {}): bigint {
    this.create(code, patch);
    this.enter();
    return this.exitCode;
  }
  get exitCode(): bigint {
    return this.read('EXITCODE');
  }
  /** Offset of the saved rIP in the guest's program. */
  get at(): number {
    return Number(this.read('RIP')) - GUEST_CODE;
  }
  /** The vector whose handler made the VMMCALL, -1 when the program did. */
  get delivered(): number {
    const rip = Number(this.read('RIP'));
    return this.exitCode === 0x81n && rip >= GUEST_HANDLERS && rip < GUEST_HANDLERS + 0x1000 ? (rip - GUEST_HANDLERS) / 16 : -1;
  }
  /** Quadword `n` on the guest's stack, from the top of the stack. */
  pushed(n: number): bigint {
    return this.memory.read64(Number(this.read('RSP')) + 8 * n);
  }
}

/** A 64-bit guest at CPL 0 under nested paging; VMRUN, VMMCALL and shutdown are intercepted. */
export const BASELINE: Patch = {
  INTERCEPTS_3: 0x8000_0000,
  INTERCEPTS_4: 3,
  IOPM_BASE_PA: IOPM,
  MSRPM_BASE_PA: MSRPM,
  GUEST_ASID: 1,
  NESTED_CONTROL: 1,
  N_CR3: NPT,
  CS_SELECTOR: 8,
  CS_ATTRIB: 0xa9b,
  CS_LIMIT: 0xffff_ffff,
  SS_SELECTOR: 0x10,
  SS_ATTRIB: 0xc93,
  SS_LIMIT: 0xffff_ffff,
  DS_SELECTOR: 0x10,
  DS_ATTRIB: 0xc93,
  DS_LIMIT: 0xffff_ffff,
  ES_SELECTOR: 0x10,
  ES_ATTRIB: 0xc93,
  ES_LIMIT: 0xffff_ffff,
  GDTR_BASE: GUEST_GDT,
  GDTR_LIMIT: 0x17,
  IDTR_BASE: GUEST_IDT,
  IDTR_LIMIT: 0xfff,
  EFER: 0x1d01,
  CR0: 0x8001_0033,
  CR3: HOST_TABLES,
  CR4: 0x6a0,
  DR6: 0xffff_0ff0,
  DR7: 0x400,
  RFLAGS: 2,
  RIP: GUEST_CODE,
  RSP: GUEST_STACK,
  G_PAT: 0x0007_0406_0007_0406n,
};

/** What must change for a guest at CPL 3. */
export const USER: Patch = { CPL: 3, CS_SELECTOR: 0x1b, CS_ATTRIB: 0xafb, SS_SELECTOR: 0x23, SS_ATTRIB: 0xcf3 };

export const bit = (n: number): number => (1 << n) >>> 0;
