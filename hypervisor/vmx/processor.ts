/**
 * VT-x behind the port: programs VMCS, bitmaps and EPT in host memory as a kernel module would, and turns exit reasons into Exit.
 */
import { DEBUGCTL_DEFINED, DebugCtl } from '../../cpu/branch-records';
import { Cr4, Efer, type Cpu } from '../../cpu/cpu';
import type { Engine } from '../../cpu/engine';
import { Dr7, dr6After } from '../../cpu/debug';
import { EventType, REGISTERS_HOLD_IT, type CpuEvent, type CpuProfile } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import type { EntryState } from '../../guests/boot/entry-state';
import { EptQualification } from '../../ept/format';
import { explain, violations } from '../../vmx/entry/check';
import { ALL_CHECKS } from '../../vmx/entry/groups';
import { ExitReason, VM_ENTRY_FAILURE, exitReasonName } from '../../vmx/exit/reason';
import { Interruptibility, Interruption, PinBased, Primary } from '../../vmx/controls';
import { VMCS } from '../../vmx/vmcs/fields';
import type { Vmx } from '../../vmx/vmx';
import type { Stateful } from '../../memory/stateful';
import type { ExitInformation } from '../../trace/exit-row';
import type { RawExit } from '../exit';
import type { HostFrames } from '../frames';
import { NestedTables, type NestedFormat } from '../nested-tables';
import { pageTableBase, type CodeAddress, type Injection, type RunResult, type VirtualProcessor } from '../port';
import { buildRootProgram, enterRootProgram, type RootProgram } from '../root-program';
import { branchStateFrom, branchStateTo } from './branch-state';
import { Components } from './components';
import { Doorbell } from './doorbell';
import { VMX_EXITS } from './exits';
import { GuestStateExchange, loadEntryState, readControl, writeControl } from './guest-state';
import { enterVmxOperation, setUpVmcs } from './vmcs-setup';

/** Write-back, four levels. */
const EPTP_FORMAT = 0x1e;
const EPT_MEMORY_TYPE_WB = 6 << 3;
const EPT_FORMAT: NestedFormat = { table: 7, readWriteExecute: 7 | EPT_MEMORY_TYPE_WB, readExecute: 5 | EPT_MEMORY_TYPE_WB };
const MAX_TIMER = 0xffff_ffff;
const SHADOW = Interruptibility.BLOCKING_BY_STI | Interruptibility.BLOCKING_BY_MOV_SS;
const CS_LONG = 0x2000;
const RFLAGS_TF = 0x100,
  RFLAGS_IF = 0x200,
  RFLAGS_RF = 0x1_0000;
/** Pending debug exceptions: a single-step trap. */
const PENDING_BS = 0x4000;
const RSP = 4;

/** What the hypervisor remembers of a VMCS; the VMCS itself and the root program are host RAM. */
export interface VmxProcessorState {
  /** Where the root program stands: part of the build, not of the state. */
  readonly gate: number;
  readonly launched: boolean;
  readonly paused: boolean;
  readonly windowRequested: boolean;
  readonly pinBased: number;
  readonly primary: number;
  readonly injecting: boolean;
}

export class VmxProcessor implements VirtualProcessor, Stateful<VmxProcessorState> {
  private readonly root: RootProgram;
  private readonly ept: NestedTables;
  private readonly c: Components;
  private readonly exchange: GuestStateExchange;
  private launched = false;
  paused = false;
  private readonly doorbell = new Doorbell();
  windowRequested = false;
  private pinBased: number;
  private primary: number;
  private injecting = false;

  constructor(
    private readonly cpu: Cpu,
    private readonly engine: Engine,
    private readonly vmx: Vmx,
    frames: HostFrames,
    guest: CpuProfile,
  ) {
    this.root = buildRootProgram(cpu.memory, frames, { launch: [0x0f, 0x01, 0xc2], resume: [0x0f, 0x01, 0xc3] });
    for (const gate of this.root.gates) engine.addGate(gate);
    engine.hosted = true;
    cpu.interrupts = this.doorbell;
    this.ept = new NestedTables(cpu.memory, frames, EPT_FORMAT);
    enterRootProgram(cpu, this.root, { cr4: Cr4.VMXE });
    enterVmxOperation(vmx, cpu, frames);
    this.c = new Components(vmx);
    this.exchange = new GuestStateExchange(this.c, cpu);
    ({ pinBased: this.pinBased, primary: this.primary } = setUpVmcs(this.c, cpu, guest, this.root, frames, this.ept.root | EPTP_FORMAT));
  }

  load(state: EntryState): void {
    loadEntryState(this.c, this.cpu, state);
  }

  // ---- entering ----

  run(limit: number): RunResult {
    if (!this.paused) {
      this.cpu.set32(R.RIP, this.launched ? this.root.resume : this.root.launch);
      this.cpu.set32(R.RIP + 4, 0);
    }
    this.paused = false;
    const stop = this.engine.run(limit);
    if (stop !== 'gate') {
      this.paused = true;
      return { kind: 'paused', because: stop };
    }
    this.doorbell.rung = false;
    const at = this.cpu.get32(R.RIP);
    const reason = this.vmx.vmread32(VMCS.EXIT_REASON);
    if (at !== this.root.exit || reason >>> 31 !== 0) return { kind: 'exit', exit: { kind: 'entry-failure', explanation: this.explainFailure(at) } };
    this.launched = true;
    this.injecting = false;
    if ((reason & 0xffff) === ExitReason.EptViolation) this.restoreNmiBlocking();
    const decode = VMX_EXITS[(reason & 0xffff) as ExitReason];
    const exit = decode ? decode(this.vmx) : { kind: 'unexpected' as const, explanation: `exit reason ${reason}` };
    return { kind: 'exit', exit };
  }

  /** IRET has ended the blocking, but it is to be executed again. SDM "Exit Qualification for EPT Violations", bit 12. */
  private restoreNmiBlocking(): void {
    const { vmx } = this;
    if ((vmx.vmread32(VMCS.EXIT_QUALIFICATION) & EptQualification.NMI_UNBLOCKING) === 0) return;
    if ((vmx.vmread32(VMCS.IDT_VECTORING_INFORMATION) & Interruption.VALID) !== 0) return;
    vmx.vmwrite32(VMCS.GUEST_INTERRUPTIBILITY_STATE, vmx.vmread32(VMCS.GUEST_INTERRUPTIBILITY_STATE) | Interruptibility.BLOCKING_BY_NMI);
  }

  kick(): void {
    this.doorbell.rung = true;
  }

  private explainFailure(at: number): string {
    if (!this.root.gates.includes(at)) return `root mode stopped at 0x${at.toString(16)}`;
    const error = this.c.get32('VM_INSTRUCTION_ERROR');
    const broken = violations(ALL_CHECKS, this.vmx.entryState).map(explain).join('\n');
    return `VM entry failed (VM-instruction error ${error}, exit reason 0x${this.c.get32('EXIT_REASON').toString(16)}):\n${broken}`;
  }

  exitName(): string {
    return reasonName(this.vmx.vmread32(VMCS.EXIT_REASON) & 0xffff);
  }
  raw(): RawExit {
    const code = this.c.get32('EXIT_REASON') & 0xffff;
    return { reason: reasonName(code), code, qualification: this.c.get64('EXIT_QUALIFICATION') };
  }

  // ---- registers ----

  gpr(register: number): bigint {
    return register === RSP ? this.c.get64('GUEST_RSP') : this.cpu.gpr(register);
  }
  setGpr(register: number, value: bigint): void {
    if (register === RSP) this.c.set64('GUEST_RSP', value);
    else this.cpu.setGpr(register, value);
  }
  gpr32(register: number): number {
    return register === RSP ? this.c.get32('GUEST_RSP') : this.cpu.gpr32(register);
  }
  setGpr32(register: number, value: number): void {
    if (register === RSP) this.c.set32('GUEST_RSP', value);
    else this.cpu.setGpr32(register, value);
  }
  rip(): bigint {
    return this.c.get64('GUEST_RIP');
  }
  cr4(): number {
    return ((this.c.get32('GUEST_CR4') & ~Cr4.VMXE) | (this.c.get32('CR4_READ_SHADOW') & Cr4.VMXE)) >>> 0;
  }

  longCode(): CodeAddress | undefined {
    const { vmx } = this;
    if ((vmx.vmread32(VMCS.GUEST_CS_ACCESS_RIGHTS) & CS_LONG) === 0 || (vmx.vmread32(VMCS.GUEST_IA32_EFER) & Efer.LMA) === 0) return undefined;
    if ((vmx.vmread32(VMCS.GUEST_CR4) & Cr4.LA57) !== 0) return undefined;
    return { low: vmx.vmread32(VMCS.GUEST_RIP), high: vmx.vmreadHigh32(VMCS.GUEST_RIP), cr3: pageTableBase(vmx.vmreadNumber(VMCS.GUEST_CR3)) };
  }

  skipInstruction(length = this.vmx.vmread32(VMCS.EXIT_INSTRUCTION_LENGTH)): void {
    const { vmx } = this;
    const low = vmx.vmread32(VMCS.GUEST_RIP) + length;
    const long = (vmx.vmread32(VMCS.GUEST_CS_ACCESS_RIGHTS) & CS_LONG) !== 0;
    const carry = low > 0xffff_ffff ? 1 : 0;
    vmx.vmwriteWords(VMCS.GUEST_RIP, low >>> 0, long ? (vmx.vmreadHigh32(VMCS.GUEST_RIP) + carry) >>> 0 : 0);
    const blocking = vmx.vmread32(VMCS.GUEST_INTERRUPTIBILITY_STATE);
    if ((blocking & SHADOW) !== 0) vmx.vmwrite32(VMCS.GUEST_INTERRUPTIBILITY_STATE, blocking & ~SHADOW);
    const rflags = vmx.vmread32(VMCS.GUEST_RFLAGS);
    if ((rflags & (RFLAGS_TF | RFLAGS_RF)) === 0) return;
    vmx.vmwrite32(VMCS.GUEST_RFLAGS, rflags & ~RFLAGS_RF);
    // A single-stepped instruction has retired, which was no branch: its trap is pending.
    if ((rflags & RFLAGS_TF) === 0 || (vmx.vmread32(VMCS.GUEST_IA32_DEBUGCTL) & DebugCtl.BTF) !== 0) return;
    vmx.vmwrite32(VMCS.GUEST_PENDING_DEBUG_EXCEPTIONS, vmx.vmread32(VMCS.GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_BS);
  }

  // ---- events ----

  interruptible(): boolean {
    const { vmx } = this;
    if (this.eventDue || (vmx.vmread32(VMCS.GUEST_RFLAGS) & RFLAGS_IF) === 0) return false;
    return (vmx.vmread32(VMCS.GUEST_INTERRUPTIBILITY_STATE) & SHADOW) === 0;
  }

  /** A pending trap comes before interrupts and NMIs, and an injected event would drop it. */
  get eventDue(): boolean {
    return this.injecting || this.vmx.vmread32(VMCS.GUEST_PENDING_DEBUG_EXCEPTIONS) !== 0;
  }

  nmiAllowed(): boolean {
    return (this.vmx.vmread32(VMCS.GUEST_INTERRUPTIBILITY_STATE) & (SHADOW | Interruptibility.BLOCKING_BY_NMI)) === 0;
  }

  offerNmi(): boolean {
    const now = !this.eventDue && this.nmiAllowed();
    if (now) this.inject({ type: 'nmi', vector: 2 });
    const primary = (now ? this.primary & ~Primary.NMI_WINDOW_EXITING : this.primary | Primary.NMI_WINDOW_EXITING) >>> 0;
    if (primary !== this.primary) this.c.set32('PRIMARY_PROCESSOR_BASED_CONTROLS', (this.primary = primary));
    return now;
  }

  inject(event: Injection): void {
    const type = event.type === 'interrupt' ? 0 : event.type === 'nmi' ? 2 : 3;
    const hasCode = event.errorCode !== undefined;
    this.c.set32('ENTRY_INTERRUPTION_INFORMATION', Interruption.VALID | (type << 8) | (hasCode ? Interruption.ERROR_CODE : 0) | event.vector);
    if (hasCode) this.c.set32('ENTRY_EXCEPTION_ERROR_CODE', event.errorCode!);
    this.injecting = true;
  }

  interrupted(): CpuEvent | undefined {
    const information = this.vmx.vmread32(VMCS.IDT_VECTORING_INFORMATION);
    if ((information & Interruption.VALID) === 0) return undefined;
    const type: EventType = (information & Interruption.TYPE) >>> 8;
    const software = type === EventType.SoftwareInterrupt || type === EventType.SoftwareException || type === EventType.PrivilegedSoftwareException;
    return {
      vector: information & Interruption.VECTOR,
      type,
      errorCode: (information & Interruption.ERROR_CODE) !== 0 ? this.c.get32('IDT_VECTORING_ERROR_CODE') : undefined,
      payload: REGISTERS_HOLD_IT,
      length: software ? this.c.get32('EXIT_INSTRUCTION_LENGTH') : 0,
    };
  }

  exitInformation(): ExitInformation {
    const { vmx } = this;
    // SDM "VM-Entry Failures During or After Loading Guest State": of the exit information only reason and qualification are written.
    if ((vmx.vmread32(VMCS.EXIT_REASON) & VM_ENTRY_FAILURE) !== 0) return { info2: 0n, interruption: 0, errorCode: 0 };
    const interruption = vmx.vmread32(VMCS.EXIT_INTERRUPTION_INFORMATION) >>> 0;
    const coded = (interruption & Interruption.VALID) !== 0 && (interruption & Interruption.ERROR_CODE) !== 0;
    return {
      info2: BigInt(vmx.vmread32(VMCS.IDT_VECTORING_INFORMATION) >>> 0),
      interruption,
      errorCode: coded ? vmx.vmread32(VMCS.EXIT_INTERRUPTION_ERROR_CODE) >>> 0 : 0,
    };
  }

  reinjectInterrupted(): void {
    const information = this.vmx.vmread32(VMCS.IDT_VECTORING_INFORMATION);
    if ((information & Interruption.VALID) === 0) return;
    this.c.set32('ENTRY_INTERRUPTION_INFORMATION', information & ~Interruption.NMI_UNBLOCKING);
    if ((information & Interruption.ERROR_CODE) !== 0) this.c.set32('ENTRY_EXCEPTION_ERROR_CODE', this.c.get32('IDT_VECTORING_ERROR_CODE'));
    this.c.set32('ENTRY_INSTRUCTION_LENGTH', this.c.get32('EXIT_INSTRUCTION_LENGTH'));
    this.injecting = true;
  }

  setCr2(address: bigint): void {
    this.cpu.set64(R.CR2, address);
  }

  recordDebugException(bits: number): void {
    this.cpu.set32(R.DR6, dr6After(this.cpu.get32(R.DR6), bits));
    this.c.set32('GUEST_DR7', this.c.get32('GUEST_DR7') & ~Dr7.GD);
    const control = this.c.get32('GUEST_IA32_DEBUGCTL');
    if (control !== 0) this.c.set32('GUEST_IA32_DEBUGCTL', control & ~DEBUGCTL_DEFINED);
  }

  breakpointsEnabled(): boolean {
    return (this.vmx.vmread32(VMCS.GUEST_DR7) & Dr7.ENABLES) !== 0;
  }

  requestInterruptWindow(on: boolean): void {
    if (on === this.windowRequested) return;
    this.windowRequested = on;
    this.primary = (on ? this.primary | Primary.INTERRUPT_WINDOW_EXITING : this.primary & ~Primary.INTERRUPT_WINDOW_EXITING) >>> 0;
    this.c.set32('PRIMARY_PROCESSOR_BASED_CONTROLS', this.primary);
  }

  setDeadline(tick: number): void {
    const on = tick !== Infinity;
    const pin = on ? this.pinBased | PinBased.ACTIVATE_PREEMPTION_TIMER : this.pinBased & ~PinBased.ACTIVATE_PREEMPTION_TIMER;
    if (pin !== this.pinBased) this.c.set32('PIN_BASED_CONTROLS', (this.pinBased = pin));
    if (on) this.c.set32('PREEMPTION_TIMER_VALUE', Math.max(0, Math.min(MAX_TIMER, tick - this.cpu.now())));
  }

  setTscOffset(offset: bigint): void {
    this.c.set64('TSC_OFFSET', offset);
  }

  // ---- memory ----

  map(gpa: number, host: number, size: number, writable: boolean): void {
    this.ept.map(gpa, host, size, writable);
  }

  get nestedRoot(): number {
    return this.ept.root;
  }

  unmap(gpa: number, size: number): void {
    this.ept.unmap(gpa, size);
    this.vmx.invept(1, BigInt(this.ept.root | EPTP_FORMAT));
  }

  // ---- snapshots ----

  saveState(): VmxProcessorState {
    const { launched, paused, windowRequested, pinBased, primary, injecting } = this;
    return { gate: this.root.exit, launched, paused, windowRequested, pinBased, primary, injecting };
  }

  /** Host RAM has been restored. Throws Error when this hypervisor was built at other addresses; then nothing was changed. */
  restoreState({ gate, ...state }: VmxProcessorState): void {
    if (gate !== this.root.exit) throw new Error('the snapshot is of a hypervisor whose root program stands elsewhere: it was made by another version');
    Object.assign(this, state);
  }

  // ---- the whole state, for emulation ----

  copyTo(model: Cpu): void {
    this.exchange.toModel(model);
  }
  copyFrom(model: Cpu): void {
    this.exchange.fromModel(model);
  }
  branchStateTo(model: Cpu): void {
    branchStateTo(this.c, this.cpu, model);
  }
  branchStateFrom(model: Cpu): void {
    branchStateFrom(this.c, this.cpu, model);
  }
  readControl(register: 0 | 3 | 4): bigint {
    return readControl(this.c, register);
  }
  writeControl(register: 0 | 3 | 4, value: bigint): void {
    writeControl(this.c, register, value);
  }
}

const reasonNames = new Map<number, string>();
/** An exit reason as people write it: EPT_VIOLATION, IO_INSTRUCTION. */
function reasonName(code: number): string {
  let name = reasonNames.get(code);
  if (name === undefined) {
    name = exitReasonName(code)
      .replace(/([a-z])([A-Z])/g, '$1_$2')
      .toUpperCase();
    reasonNames.set(code, name);
  }
  return name;
}
