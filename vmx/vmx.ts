/**
 * VT-x of one logical processor: what stands beside its registers (VMXON pointer, current VMCS, latched controls) and the two
 * interfaces on it. Decoded code reaches it through Interception; root-mode software written in TypeScript through the methods
 * named after VMX instructions, which are the same semantic functions.
 */
import type { Cpu } from '../cpu/cpu';
import type { Insn } from '../cpu/decoder/insn';
import { deliverEvent } from '../cpu/exceptions';
import type { CpuEvent, Interception, Sensitive } from '../cpu/interfaces';
import { R } from '../cpu/layout';
import { supportedCr4 } from '../cpu/system/control-state';
import type { Stateful } from '../memory/stateful';
import { Ept } from '../ept/ept';
import { ApicAccessPage } from './apic-virtualization/apic-access-page';
import { readCr8, writeCr8 } from './apic-virtualization/priority';
import { VirtualApic } from './apic-virtualization/virtual-apic';
import { readX2apic, writeX2apic } from './apic-virtualization/x2apic';
import { armed, boundary, nmiUnblocked } from './boundary';
import { FULL_VMX_PROFILE, vmxCapabilities, type VmxCapabilities, type VmxProfile } from './capabilities';
import { controlAllowed, controlsAllowVmx, readControl, writeControl } from './control-registers';
import { PinBased, Primary, Secondary } from './controls';
import type { EntryState } from './entry/check';
import { exitOnEptFault } from './exit/ept-fault';
import { exceptionExits, exitOnException, interruptionOf } from './exit/exception';
import { exitToRoot, type VmxAbort } from './exit/exit';
import { ExitReason } from './exit/reason';
import { SavedRf } from './exit/save';
import { INTERCEPTS } from './intercepts';
import { executeVmxInstruction } from './instructions/execute';
import { invept, invvpid } from './instructions/invalidate';
import { VM_FAIL_INVALID, failValid, type EntryResult, type VmFailValid, type VmInstructionError, type VmResult } from './instructions/result';
import { vmclear, vmptrld } from './instructions/vmcs-pointer';
import { enterGuest } from './instructions/vmlaunch';
import { requireComponent, store, vmread, vmwrite, type VmreadResult } from './instructions/vmread';
import { vmxoff, vmxon } from './instructions/vmxon';
import { readVmxMsr, writeVmxMsr } from './msr';
import { State } from './operation';
import { restoreVmx, saveVmx, type VmxSnapshot } from './snapshot';
import { VmcsEntryState } from './entry/entry-state';
import { CurrentVmcs } from './vmcs/access';
import { GUEST_REGISTER_WORDS } from './vmcs/guest-registers';
import { OFFSET, accessBits } from './vmcs/layout';

/** Hears of what happens; every hook may be absent. */
export interface VmxObserver {
  entry?(vmx: Vmx): void;
  /** A VMLAUNCH or VMRESUME that ended in VMfail. */
  refused?(vmx: Vmx, result: VmFailValid | typeof VM_FAIL_INVALID): void;
  /** `reason` as in the exit-reason field: bit 31 marks a failed entry. */
  exit?(vmx: Vmx, reason: number): void;
  abort?(vmx: Vmx, abort: VmxAbort): void;
  /** A VMREAD or VMWRITE that succeeds, of machine code or of root-mode TypeScript; before the field changes. `value` is what is written. */
  vmread?(vmx: Vmx, encoding: number): void;
  vmwrite?(vmx: Vmx, encoding: number, low: number, high: number): void;
}

export interface VmxOptions {
  readonly profile?: VmxProfile;
  /** IA32_FEATURE_CONTROL as firmware leaves it; default 5: locked, VMXON outside SMX allowed. */
  readonly featureControl?: bigint;
}

const RESULT_FLAGS = { CF: 1, ZF: 0x40 } as const;

export class Vmx implements Interception, Stateful<VmxSnapshot> {
  readonly capabilities: VmxCapabilities;
  readonly ept: Ept;
  readonly vmcs: CurrentVmcs;
  readonly entryState: EntryState;
  readonly apic: VirtualApic;
  readonly apicAccessPage = new ApicAccessPage(this);
  observer: VmxObserver = {};
  /** VM exits so far, failed entries not counted. */
  exits = 0;

  // ---- operation ----
  state = State.OutsideVmx;
  /** -1 outside VMX operation. */
  vmxonPointer = -1;
  guestMode = false;

  // ---- controls of the current VMCS as VM entry read them ----
  pinBased = 0;
  primary = 0;
  /** 0 when "activate secondary controls" is 0. */
  secondary = 0;
  exitControls = 0;
  entryControls = 0;

  // ---- state of non-root operation that is in no register ----
  /** The entry's injection, timer and pending events take effect at the boundary before the first guest instruction. */
  entryIncomplete = false;
  /** Tick at which the VMX-preemption timer expires. */
  deadline = Infinity;
  mtfPending = false;
  /** Instruction count at the entry: an MTF VM exit follows once it moved on. */
  firstInstruction = 0;
  virtualNmiBlocked = false;
  /** Blocking by NMI as the entry established it; IRET does not end it if NMIs exit. */
  nmiBlockingKept = false;
  /** The event that VM entry is injecting now. */
  injecting: CpuEvent | undefined;
  /** IDT-vectoring information of the exit being made: see withVectoring(). */
  vectoring = 0;
  vectoringErrorCode = 0;
  /** Instruction count of the last IRET that ended blocking by NMI. */
  nmiUnblockedAt = -1;

  // ---- entry checks that need not be made again: a bit for each group of entry/groups.ts ----
  passedGroups = 0;
  passedInLongMode = false;
  /** The same for VMCSs that are active but not current, by pointer: part of a snapshot. */
  readonly passedElsewhere = new Map<number, number>();

  /** Delivery of events through the IDT. */
  readonly deliver = deliverEvent;

  constructor(
    readonly cpu: Cpu,
    options: VmxOptions = {},
  ) {
    this.capabilities = vmxCapabilities(cpu.profile, options.profile ?? FULL_VMX_PROFILE, supportedCr4(cpu));
    this.vmcs = new CurrentVmcs(cpu.memory);
    this.entryState = new VmcsEntryState(this);
    this.apic = new VirtualApic(cpu.memory, this.vmcs);
    this.ept = new Ept(cpu.memory, cpu.profile.physicalAddressWidth, this.capabilities.ept, (fault) => exitOnEptFault(this, fault));
    cpu.set64(R.FEATURE_CONTROL, options.featureControl ?? 5n);
  }

  saveState(): VmxSnapshot {
    return saveVmx(this);
  }
  restoreState(state: VmxSnapshot): void {
    restoreVmx(this, state);
  }

  /** Puts the extension into its processor: VMX instructions, exits and EPT work from here on. */
  attach(): this {
    this.cpu.interception = this;
    this.cpu.nested = this.ept;
    return this;
  }

  // ---- VMX instructions of root-mode TypeScript. Where the instruction would fault they throw Error: a bug of the caller. ----

  /** @param physicalAddress the VMXON region, 4-KByte aligned, its first word the revision identifier (IA32_VMX_BASIC[30:0]). */
  vmxon(physicalAddress: number): VmResult {
    if (!this.active && !controlsAllowVmx(this, this.cpu.cr0, this.cpu.cr4)) throw new Error('VMXON: CR0 or CR4 has bits that VMX operation does not support');
    return vmxon(this, physicalAddress);
  }
  vmxoff(): VmResult {
    this.requireRoot('VMXOFF');
    return vmxoff(this);
  }
  vmclear(physicalAddress: number): VmResult {
    this.requireRoot('VMCLEAR');
    return vmclear(this, physicalAddress);
  }
  vmptrld(physicalAddress: number): VmResult {
    this.requireRoot('VMPTRLD');
    return vmptrld(this, physicalAddress);
  }
  /** The current-VMCS pointer; -1 where the instruction stores all ones. */
  vmptrst(): number {
    this.requireRoot('VMPTRST');
    return this.vmcs.pointer;
  }
  vmread(encoding: number): VmreadResult {
    this.requireRoot('VMREAD');
    return vmread(this, encoding);
  }
  vmwrite(encoding: number, value: bigint): VmResult {
    this.requireRoot('VMWRITE');
    return vmwrite(this, encoding, value);
  }
  launch(): EntryResult {
    this.requireRoot('VMLAUNCH');
    return enterGuest(this, 'VMLAUNCH');
  }
  resume(): EntryResult {
    this.requireRoot('VMRESUME');
    return enterGuest(this, 'VMRESUME');
  }
  /** @param type 1 single-context, 2 global. */
  invept(type: number, eptp: bigint): VmResult {
    this.requireRoot('INVEPT');
    return invept(this, type, eptp);
  }
  /** @param type 0 individual address, 1 single-context, 2 all-context, 3 single-context retaining globals. */
  invvpid(type: number, vpid: number, linear: bigint): VmResult {
    this.requireRoot('INVVPID');
    return invvpid(this, type, vpid, linear);
  }

  // Fast forms for exit handlers: no flags, no BigInt. They throw Error without a current VMCS or for an unsupported component.

  /** Bits 31:0 of a component, unsigned. */
  vmread32(encoding: number): number {
    this.observer.vmread?.(this, encoding);
    return this.vmcs.low(this.component(encoding));
  }
  /** All bits of a component as a number, exact below 2^53. */
  vmreadNumber(encoding: number): number {
    const offset = this.component(encoding);
    this.observer.vmread?.(this, encoding);
    return (encoding & 1) !== 0 ? this.vmcs.low(offset) : this.vmcs.number(offset);
  }
  /** Writes `value` (unsigned 32 bits), zero-extended to the width of the component. */
  vmwrite32(encoding: number, value: number): void {
    store(this, encoding, this.component(encoding), value >>> 0, 0);
  }
  /** @param value an integer from 0 to 2^53 - 1. */
  vmwriteNumber(encoding: number, value: number): void {
    store(this, encoding, this.component(encoding), value >>> 0, Math.floor(value / 0x1_0000_0000));
  }

  /** Bits 63:32 of a component. */
  vmreadHigh32(encoding: number): number {
    const offset = this.component(encoding);
    this.observer.vmread?.(this, encoding);
    return accessBits(encoding) === 64 ? this.vmcs.high(offset) : 0;
  }
  /** Writes both halves, unsigned; what is beyond the width of the component is dropped. */
  vmwriteWords(encoding: number, low: number, high: number): void {
    store(this, encoding, this.component(encoding), low, high);
  }
  /** Reads every component of GUEST_REGISTERS into the vCPU block of `into`; derived state there is the caller's business. */
  vmreadGuestRegisters(into: Cpu): void {
    if (!this.vmcs.present) throw new Error('no VMCS is current');
    const u32 = this.cpu.u32;
    const from = this.vmcs.word;
    const to = into.base >>> 2;
    for (let i = 0; i < GUEST_REGISTER_WORDS.length; i += 2) u32[to + GUEST_REGISTER_WORDS[i + 1]] = u32[from + GUEST_REGISTER_WORDS[i]];
  }

  private component(encoding: number): number {
    return requireComponent(this, encoding);
  }

  private requireRoot(instruction: string): void {
    if (!this.active || this.guestMode) throw new Error(`${instruction} in state "${this.state}"`);
  }

  // ---- results. SDM "Conventions": VMsucceed, VMfailInvalid, VMfailValid ----

  complete<T extends VmResult>(result: T): T {
    this.cpu.setArithmetic(result.kind === 'fail-invalid' ? RESULT_FLAGS.CF : result.kind === 'fail-valid' ? RESULT_FLAGS.ZF : 0);
    return result;
  }

  /** VMfail(n): VMfailInvalid when there is no VMCS to hold the number. */
  fail(error: VmInstructionError): typeof VM_FAIL_INVALID | ReturnType<typeof failValid> {
    if (!this.vmcs.present) return this.complete(VM_FAIL_INVALID);
    this.vmcs.aboutToWrite();
    this.vmcs.setLow(OFFSET.VM_INSTRUCTION_ERROR, error);
    return this.complete(failValid(error));
  }

  // ---- VMCS pointers ----

  /** 4-KByte aligned and within the physical-address width. */
  isVmcsAddress(address: number): boolean {
    return Number.isSafeInteger(address) && address >= 0 && address % 4096 === 0 && address < 2 ** this.cpu.profile.physicalAddressWidth;
  }

  // ---- entering and leaving non-root operation (vmlaunch.ts, exit.ts) ----

  leaveNonRoot(): void {
    const { mmu } = this.cpu;
    this.guestMode = false;
    this.entryIncomplete = false;
    this.apic.reset();
    this.ept.disable();
    mmu.intercept(0, undefined);
    mmu.asid = 0;
    if ((this.secondary & Secondary.ENABLE_VPID) === 0) mmu.flushAsid(0);
  }

  // ---- VM exits, by what they record ----

  /** Because of an instruction that will not execute: RIP stays at it. */
  exitOnInstruction(reason: ExitReason, qualification = 0): true {
    this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, this.cpu.insn.length);
    this.exit(reason, qualification, 0, 0, 0, SavedRf.Clear, undefined);
    return true;
  }
  /** ... whose qualification is an address. */
  exitOnInstructionWide(reason: ExitReason, qualification: bigint): true {
    this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, this.cpu.insn.length);
    this.exit(reason, Number(qualification & 0xffff_ffffn), Number((qualification >> 32n) & 0xffff_ffffn), 0, 0, SavedRf.Clear, undefined);
    return true;
  }
  /** ... with VM-exit instruction information; the qualification is the displacement of the memory operand. */
  exitWithOperand(reason: ExitReason, qualification: bigint, information: number): true {
    this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_INFORMATION, information);
    return this.exitOnInstructionWide(reason, qualification);
  }
  /** At an instruction boundary or because of an event. */
  exitOnEvent(reason: ExitReason, interruption = 0, qualification = 0): true {
    this.exit(reason, qualification, 0, interruption, 0, SavedRf.AsIs, this.cpu.delivering);
    return true;
  }

  /** The exit with what it records; `delivering` is the event whose delivery it interrupts. */
  exit(reason: ExitReason, low: number, high: number, interruption: number, errorCode: number, rf: SavedRf, delivering: CpuEvent | undefined): void {
    const original = delivering ?? this.injecting;
    this.vectoring = 0;
    if (original !== undefined) {
      this.vectoring = interruptionOf(original);
      this.vectoringErrorCode = original.errorCode ?? 0;
      if (original.length !== 0) this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, original.length);
    }
    exitToRoot(this, reason, low, high, interruption, errorCode, rf);
  }

  /** The last instruction was an IRET that ended blocking by NMI. */
  get nmiUnblockedByIret(): boolean {
    return this.nmiUnblockedAt >= 0 && this.nmiUnblockedAt === this.cpu.retired();
  }

  // ---- Interception ----

  get active(): boolean {
    return this.vmxonPointer >= 0;
  }

  /** A reason to look at every boundary: something that is armed and can happen now. */
  get attention(): boolean {
    return this.guestMode && armed(this);
  }

  instruction(what: Sensitive, operand: number, value: bigint): boolean {
    return INTERCEPTS[what](this, operand, value);
  }

  exception(event: CpuEvent, delivering: CpuEvent | undefined): boolean {
    if (event === this.injecting) return false;
    if (!exceptionExits(this, event)) {
      // Its delivery ends an MTF step.
      this.mtfPending = (this.primary & Primary.MONITOR_TRAP_FLAG) !== 0;
      return false;
    }
    exitOnException(this, event, delivering);
    return true;
  }

  tripleFault(): boolean {
    this.injecting = undefined;
    this.exit(ExitReason.TripleFault, 0, 0, 0, 0, SavedRf.AsIs, undefined);
    return true;
  }

  boundary(interruptPending: boolean, nmiPending: boolean): boolean {
    return boundary(this, interruptPending, nmiPending);
  }

  interruptsBlocked(): boolean {
    return (this.pinBased & PinBased.EXTERNAL_INTERRUPT_EXITING) !== 0 || !this.cpu.interruptsEnabled;
  }

  readControl(cr: 0 | 4, real: bigint): bigint {
    return readControl(this, cr, real);
  }
  writeControl(cr: 0 | 4, value: bigint, real: bigint): bigint {
    return writeControl(this, cr, value, real);
  }
  controlAllowed(cr: 0 | 4, value: bigint): boolean {
    return controlAllowed(this, cr, value);
  }

  /** IRET has set cpu.nmiBlocked to false. SDM "IRET" in "Changes to Instruction Behavior in VMX Non-Root Operation". */
  nmiUnblocked(): void {
    if (this.guestMode) nmiUnblocked(this);
  }

  execute(insn: Insn): void {
    executeVmxInstruction(this, insn);
  }

  readMsr(index: number): bigint | undefined {
    return (this.guestMode ? readX2apic(this, index) : undefined) ?? readVmxMsr(this, index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return (this.guestMode && writeX2apic(this, index, value)) || writeVmxMsr(this, index, value);
  }

  readCr8(): number | undefined {
    return readCr8(this);
  }
  writeCr8(value: number): boolean {
    return writeCr8(this, value);
  }
}
