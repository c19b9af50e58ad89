/**
 * AMD-V behind the port: programs VMCB, permission maps and nested page tables in host memory as a kernel module would, and turns exit
 * codes into Exit.
 */
import { DEBUGCTL_DEFINED, DebugCtl } from '../../cpu/branch-records';
import { Cr4, Efer, type Cpu } from '../../cpu/cpu';
import type { Engine } from '../../cpu/engine';
import { Dr6, Dr7, dr6After } from '../../cpu/debug';
import { EventType as CpuEventType, REGISTERS_HOLD_IT, type CpuEvent, type CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import type { Scheduler } from '../../devices/bus';
import type { EntryState } from '../../guests/boot/entry-state';
import { EVENT_TYPE_SHIFT, EventInfo, EventType, Intercept3, InterruptShadow, TlbControl, VIntr, V_INTR_PRIO_SHIFT } from '../../svm/controls';
import { explain, violations } from '../../svm/entry/explain';
import { ExitCode, exitCodeName, exitCodeOf } from '../../svm/exit/code';
import { SvmFeature } from '../../svm/features';
import type { Svm } from '../../svm/svm';
import { VMCB } from '../../svm/vmcb/layout';
import type { Stateful } from '../../memory/stateful';
import type { ExitInformation } from '../../trace/exit-row';
import type { RawExit } from '../exit';
import type { HostFrames } from '../frames';
import { NestedTables, type NestedFormat } from '../nested-tables';
import { pageTableBase, type CodeAddress, type Injection, type RunResult, type VirtualProcessor } from '../port';
import { buildRootProgram, enterRootProgram, type RootProgram } from '../root-program';
import { branchStateFrom, branchStateTo } from './branch-state';
import { ControlBlock } from './control-block';
import { setUpControls } from './control-setup';
import { decodeExit } from './exits';
import { GuestStateExchange, loadEntryState } from './guest-state';
import { HostTimer } from './host-timer';

/** Present, writable, user: nested tables are walked as if by user-mode accesses. */
const NPT_FORMAT: NestedFormat = { table: 7, readWriteExecute: 7, readExecute: 5 };
/** Next RIPs tell where an intercepted instruction ends; virtual NMIs are held by the processor while they are masked; branch records are swapped. */
const NEEDED = [SvmFeature.NP, SvmFeature.LBR_VIRT, SvmFeature.NRIPS, SvmFeature.VNMI];
const VMRUN = [0x0f, 0x01, 0xd8];
const VM_HSAVE_PA = 0xc001_0117;
/** Software interrupts and INT3, INTO or INT1 happen again when the instruction does. */
const BREAKPOINT = 3,
  OVERFLOW = 4,
  DEBUG = 1;
const RFLAGS_FIXED = 0x2,
  RFLAGS_TF = 0x100,
  RFLAGS_IF = 0x200,
  RFLAGS_RF = 0x1_0000;
const CS_LONG = 0x200;
const CPU_EVENT_TYPES: Readonly<Record<number, CpuEventType>> = {
  [EventType.INTR]: CpuEventType.ExternalInterrupt,
  [EventType.NMI]: CpuEventType.Nmi,
  [EventType.EXCEPTION]: CpuEventType.HardwareException,
  [EventType.SOFTWARE_INTERRUPT]: CpuEventType.SoftwareInterrupt,
};
const HIGHEST_PRIORITY = 0xf;
const RAX = 0,
  RSP = 4;

/** What the hypervisor remembers of a VMCB; the VMCB itself and the root program are host RAM. */
export interface SvmProcessorState {
  /** Where the root program and the VMCB stand: part of the build, not of the state. */
  readonly gate: number;
  readonly vmcb: number;
  readonly clean: number;
  readonly deadline: number;
  readonly paused: boolean;
  readonly windowRequested: boolean;
  readonly injecting: boolean;
}

export class SvmProcessor implements VirtualProcessor, Stateful<SvmProcessorState> {
  private readonly root: RootProgram;
  private readonly npt: NestedTables;
  private readonly block: ControlBlock;
  private readonly exchange: GuestStateExchange;
  private readonly timer: HostTimer;
  paused = false;
  windowRequested = false;
  private injecting = false;

  /** @param scheduler timers of the physical machine. */
  constructor(
    private readonly cpu: Cpu,
    private readonly engine: Engine,
    private readonly svm: Svm,
    frames: HostFrames,
    guest: CpuProfile,
    scheduler: Scheduler,
  ) {
    for (const feature of NEEDED)
      if (!svm.has(feature)) throw new Error(`this processor lacks 0x${feature.toString(16)} of CPUID 8000_000Ah EDX, which the hypervisor needs`);
    this.root = buildRootProgram(cpu.memory, frames, { launch: VMRUN, resume: VMRUN });
    for (const gate of this.root.gates) engine.addGate(gate);
    engine.hosted = true;
    this.timer = new HostTimer(scheduler);
    cpu.interrupts = this.timer;
    this.npt = new NestedTables(cpu.memory, frames, NPT_FORMAT);
    enterRootProgram(cpu, this.root, { efer: Efer.SVME });
    if (!svm.writeMsr(VM_HSAVE_PA, BigInt(frames.takeZeroed(cpu.memory)))) throw new Error('the processor refuses VM_HSAVE_PA');
    // Interrupts are enabled but held by GIF: while the guest runs they end its turn, and in the host they wait.
    svm.clgi();
    cpu.setRflags(RFLAGS_FIXED | RFLAGS_IF);
    this.block = new ControlBlock(cpu.memory, frames.takeZeroed(cpu.memory));
    setUpControls(this.block, cpu, guest, frames, this.npt.root);
    this.exchange = new GuestStateExchange(this.block, cpu);
  }

  load(state: EntryState): void {
    loadEntryState(this.block, this.cpu, state);
    this.svm.vmload(this.block.address);
  }

  // ---- entering ----

  run(limit: number): RunResult {
    const { cpu, block } = this;
    if (!this.paused) {
      block.publishClean();
      cpu.setGpr(RAX, BigInt(block.address));
      cpu.set32(R.RIP, this.root.launch);
      cpu.set32(R.RIP + 4, 0);
    }
    this.paused = false;
    const stop = this.engine.run(limit);
    if (stop !== 'gate') {
      this.paused = true;
      return { kind: 'paused', because: stop };
    }
    const at = cpu.get32(R.RIP);
    const code = exitCodeOf(block.get32(VMCB.EXITCODE), block.high32(VMCB.EXITCODE));
    if (at !== this.root.launch + VMRUN.length || code === ExitCode.INVALID) {
      return { kind: 'exit', exit: { kind: 'entry-failure', explanation: this.explainFailure(at) } };
    }
    block.allClean();
    if (block.get8(VMCB.TLB_CONTROL) !== TlbControl.DO_NOTHING) block.set8(VMCB.TLB_CONTROL, TlbControl.DO_NOTHING);
    this.injecting = false;
    return { kind: 'exit', exit: decodeExit(code, block) };
  }

  /** The host's timer is due at once; the run loop sets it again after the exit. */
  kick(): void {
    this.timer.set(this.cpu.now());
  }

  private explainFailure(at: number): string {
    if (at !== this.root.launch + VMRUN.length) return `root mode stopped at 0x${at.toString(16)}`;
    return `VMRUN failed (VMEXIT_INVALID):\n${violations(this.svm.entryState).map(explain).join('\n')}`;
  }

  private code(): number {
    return exitCodeOf(this.block.get32(VMCB.EXITCODE), this.block.high32(VMCB.EXITCODE));
  }
  exitName(): string {
    return shortName(this.code());
  }
  raw(): RawExit {
    const code = this.code();
    return { reason: shortName(code), code, qualification: this.block.get64(VMCB.EXITINFO1) };
  }

  // ---- registers ----

  /** RAX and RSP are in the VMCB, all others in the processor. */
  gpr(register: number): bigint {
    return register === RAX ? this.block.get64(VMCB.RAX) : register === RSP ? this.block.get64(VMCB.RSP) : this.cpu.gpr(register);
  }
  setGpr(register: number, value: bigint): void {
    if (register === RAX) this.block.set64(VMCB.RAX, value);
    else if (register === RSP) this.block.set64(VMCB.RSP, value);
    else this.cpu.setGpr(register, value);
  }
  gpr32(register: number): number {
    return register === RAX ? this.block.get32(VMCB.RAX) : register === RSP ? this.block.get32(VMCB.RSP) : this.cpu.gpr32(register);
  }
  setGpr32(register: number, value: number): void {
    if (register === RAX) this.block.setWords(VMCB.RAX, value, 0);
    else if (register === RSP) this.block.setWords(VMCB.RSP, value, 0);
    else this.cpu.setGpr32(register, value);
  }
  rip(): bigint {
    return this.block.get64(VMCB.RIP);
  }
  cr4(): number {
    return this.block.get32(VMCB.CR4);
  }

  private in64BitMode(): boolean {
    return (this.block.get16(VMCB.CS_ATTRIB) & CS_LONG) !== 0 && (this.block.get32(VMCB.EFER) & Efer.LMA) !== 0;
  }

  longCode(): CodeAddress | undefined {
    const { block } = this;
    if (!this.in64BitMode() || (block.get32(VMCB.CR4) & Cr4.LA57) !== 0) return undefined;
    return { low: block.get32(VMCB.RIP), high: block.high32(VMCB.RIP), cr3: pageTableBase(block.number(VMCB.CR3)) };
  }

  skipInstruction(length?: number): void {
    const { block } = this;
    const low = length === undefined ? block.get32(VMCB.NRIP) : block.get32(VMCB.RIP) + length;
    const high = length === undefined ? block.high32(VMCB.NRIP) : block.high32(VMCB.RIP) + (low > 0xffff_ffff ? 1 : 0);
    block.setWords(VMCB.RIP, low >>> 0, this.in64BitMode() ? high >>> 0 : 0);
    const shadow = block.get32(VMCB.INTERRUPT_SHADOW);
    if ((shadow & InterruptShadow.INTERRUPT_SHADOW) !== 0) block.set32(VMCB.INTERRUPT_SHADOW, shadow & ~InterruptShadow.INTERRUPT_SHADOW);
    const rflags = block.get32(VMCB.RFLAGS);
    if ((rflags & (RFLAGS_TF | RFLAGS_RF)) === 0) return;
    block.set32(VMCB.RFLAGS, rflags & ~RFLAGS_RF);
    // A single-stepped instruction has retired, which was no branch.
    if ((rflags & RFLAGS_TF) !== 0 && (block.get32(VMCB.DBGCTL) & DebugCtl.BTF) === 0) this.injectDebugException(Dr6.BS);
  }

  /** There is no place for a pending trap in a VMCB. */
  private injectDebugException(bits: number): void {
    this.recordDebugException(bits);
    this.inject({ type: 'exception', vector: DEBUG });
  }

  // ---- events ----

  interruptible(): boolean {
    const { block } = this;
    if (this.eventDue || (block.get32(VMCB.RFLAGS) & RFLAGS_IF) === 0) return false;
    return (block.get32(VMCB.INTERRUPT_SHADOW) & InterruptShadow.INTERRUPT_SHADOW) === 0;
  }

  /** A virtual NMI that nothing masks comes before interrupts. */
  get eventDue(): boolean {
    return this.injecting || (this.block.get32(VMCB.V_INTR) & (VIntr.V_NMI | VIntr.V_NMI_MASK)) === VIntr.V_NMI;
  }

  /** The processor keeps the virtual NMI until nothing masks it; one that waits already stands for both. */
  offerNmi(): boolean {
    this.block.set32(VMCB.V_INTR, this.block.get32(VMCB.V_INTR) | VIntr.V_NMI);
    return true;
  }
  nmiAllowed(): boolean {
    return (this.block.get32(VMCB.V_INTR) & VIntr.V_NMI_MASK) === 0;
  }

  inject(event: Injection): void {
    const type = event.type === 'interrupt' ? EventType.INTR : event.type === 'nmi' ? EventType.NMI : EventType.EXCEPTION;
    const hasCode = event.errorCode !== undefined;
    const information = (EventInfo.VALID | (type << EVENT_TYPE_SHIFT) | (hasCode ? EventInfo.ERROR_CODE : 0) | event.vector) >>> 0;
    this.block.setWords(VMCB.EVENTINJ, information, event.errorCode ?? 0);
    this.injecting = true;
  }

  interrupted(): CpuEvent | undefined {
    const { block } = this;
    const information = block.get32(VMCB.EXITINTINFO);
    if ((information & EventInfo.VALID) === 0) return undefined;
    const type = (information & EventInfo.TYPE) >>> EVENT_TYPE_SHIFT;
    const vector = information & EventInfo.VECTOR;
    // A #DB of INT1 would look like any other: INT1 is intercepted.
    const ofInstruction = vector === BREAKPOINT || vector === OVERFLOW;
    const software = type === EventType.SOFTWARE_INTERRUPT || (type === EventType.EXCEPTION && ofInstruction);
    return {
      vector,
      type: software ? CpuEventType.SoftwareInterrupt : CPU_EVENT_TYPES[type],
      errorCode: (information & EventInfo.ERROR_CODE) !== 0 ? block.high32(VMCB.EXITINTINFO) : undefined,
      payload: REGISTERS_HOLD_IT,
      // Its length is not recorded; it is one byte or two.
      length: software ? 1 : 0,
    };
  }

  exitInformation(): ExitInformation {
    const { block } = this;
    const interruption = block.get32(VMCB.EXITINTINFO) >>> 0;
    const coded = (interruption & EventInfo.VALID) !== 0 && (interruption & EventInfo.ERROR_CODE) !== 0;
    return { info2: block.get64(VMCB.EXITINFO2), interruption, errorCode: coded ? block.high32(VMCB.EXITINTINFO) >>> 0 : 0 };
  }

  reinjectInterrupted(): void {
    const { block } = this;
    const event = this.interrupted();
    if (event === undefined || event.length !== 0) return;
    block.setWords(VMCB.EVENTINJ, block.get32(VMCB.EXITINTINFO), block.high32(VMCB.EXITINTINFO));
    this.injecting = true;
  }

  setCr2(address: bigint): void {
    this.block.set64(VMCB.CR2, address);
  }

  recordDebugException(bits: number): void {
    const { block } = this;
    block.set32(VMCB.DR6, dr6After(block.get32(VMCB.DR6), bits));
    block.set32(VMCB.DR7, block.get32(VMCB.DR7) & ~Dr7.GD);
    const control = block.get32(VMCB.DBGCTL);
    if (control !== 0) block.set32(VMCB.DBGCTL, control & ~DEBUGCTL_DEFINED);
  }

  breakpointsEnabled(): boolean {
    return (this.block.get32(VMCB.DR7) & Dr7.ENABLES) !== 0;
  }

  /** A virtual interrupt of the highest priority whose delivery is intercepted. */
  requestInterruptWindow(on: boolean): void {
    if (on === this.windowRequested) return;
    this.windowRequested = on;
    const { block } = this;
    const request = VIntr.V_IRQ | VIntr.V_IGN_TPR | (HIGHEST_PRIORITY << V_INTR_PRIO_SHIFT);
    const control = block.get32(VMCB.V_INTR);
    block.set32(VMCB.V_INTR, on ? control | request : control & ~request);
    const intercepts = block.get32(VMCB.INTERCEPTS_3);
    block.set32(VMCB.INTERCEPTS_3, on ? intercepts | Intercept3.VINTR : intercepts & ~Intercept3.VINTR);
  }

  setDeadline(tick: number): void {
    this.timer.set(tick);
  }

  setTscOffset(offset: bigint): void {
    this.block.set64(VMCB.TSC_OFFSET, BigInt.asUintN(64, offset));
  }

  // ---- memory ----

  map(gpa: number, host: number, size: number, writable: boolean): void {
    this.npt.map(gpa, host, size, writable);
  }

  get nestedRoot(): number {
    return this.npt.root;
  }

  unmap(gpa: number, size: number): void {
    this.npt.unmap(gpa, size);
    this.block.set8(VMCB.TLB_CONTROL, TlbControl.FLUSH_GUEST);
  }

  // ---- snapshots ----

  saveState(): SvmProcessorState {
    const { paused, windowRequested, injecting, block } = this;
    return { gate: this.root.launch, vmcb: block.address, clean: block.saveState(), deadline: this.timer.saveState(), paused, windowRequested, injecting };
  }

  /** Throws Error for a state of a processor that was built otherwise. */
  restoreState({ gate, vmcb, clean, deadline, ...fields }: SvmProcessorState): void {
    if (gate !== this.root.launch || vmcb !== this.block.address) throw new Error('the snapshot is of a hypervisor that stands elsewhere in host memory');
    this.block.restoreState(clean);
    this.timer.restoreState(deadline);
    Object.assign(this, fields);
  }

  // ---- the whole state, for emulation ----

  copyTo(model: Cpu): void {
    this.exchange.toModel(model);
  }
  copyFrom(model: Cpu): void {
    this.exchange.fromModel(model);
    if (model.pendingDebug !== 0) this.injectDebugException(model.pendingDebug);
  }

  branchStateTo(model: Cpu): void {
    branchStateTo(this.block, model);
  }
  branchStateFrom(model: Cpu): void {
    branchStateFrom(this.block, model);
  }

  readControl(register: 0 | 3 | 4): bigint {
    return this.block.get64(CONTROL_FIELDS[register]);
  }
  writeControl(register: 0 | 3 | 4, value: bigint): void {
    this.block.set64(CONTROL_FIELDS[register], value);
  }
}

const CONTROL_FIELDS = { 0: VMCB.CR0, 3: VMCB.CR3, 4: VMCB.CR4 } as const;

const shortNames = new Map<number, string>();
/** An exit code as statistics show it: NPF, IOIO, MSR. */
function shortName(code: number): string {
  let name = shortNames.get(code);
  if (name === undefined) shortNames.set(code, (name = exitCodeName(code).replace(/^VMEXIT_/, '')));
  return name;
}
