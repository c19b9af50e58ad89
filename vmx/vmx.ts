/**
 * VT-x of one logical processor: what stands beside its registers (VMXON pointer, current VMCS, latched controls) and the two
 * interfaces on it. Decoded code reaches it through Interception; root-mode software written in TypeScript through the methods
 * named after VMX instructions, which are the same semantic functions.
 */
import { Vector, type Cpu } from '../cpu/cpu';
import type { Insn } from '../cpu/decoder/insn';
import { deliverEvent } from '../cpu/exceptions';
import { EventType, type CpuEvent, type Interception, type Sensitive } from '../cpu/interfaces';
import { R } from '../cpu/layout';
import { supportedCr4 } from '../cpu/system/control-state';
import type { Stateful } from '../memory/stateful';
import { Ept, type EptFault } from '../ept/ept';
import { EptQualification } from '../ept/format';
import { boundary } from './boundary';
import { FULL_VMX_PROFILE, VmxMsr, vmxCapabilities, type VmxCapabilities, type VmxProfile } from './capabilities';
import { Interruption, PinBased, Primary, Secondary } from './controls';
import type { EntryState } from './entry/check';
import { exceptionExits, interruptionOf, qualificationOfException, savedRfOf } from './exit/exception';
import { exitToRoot, type VmxAbort } from './exit/exit';
import { ExitReason } from './exit/reason';
import { SavedRf } from './exit/save';
import { INTERCEPTS } from './intercepts';
import { executeVmxInstruction } from './instructions/execute';
import { invept, invvpid } from './instructions/invalidate';
import { VM_FAIL_INVALID, failValid, type EntryResult, type VmInstructionError, type VmResult } from './instructions/result';
import { vmclear, vmptrld } from './instructions/vmcs-pointer';
import { enterGuest } from './instructions/vmlaunch';
import { componentOffset, store, vmread, vmwrite, type VmreadResult } from './instructions/vmread';
import { vmxoff, vmxon } from './instructions/vmxon';
import { State } from './operation';
import { restoreVmx, saveVmx, type VmxSnapshot } from './snapshot';
import { VmcsEntryState } from './entry/entry-state';
import { CurrentVmcs } from './vmcs/access';
import { GUEST_REGISTER_WORDS } from './vmcs/guest-registers';
import { OFFSET, accessBits } from './vmcs/layout';

/** Hears of what happens; every hook may be absent. */
export interface VmxObserver {
  entry?(vmx: Vmx): void;
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

const CR0_PE_PG = 0x8000_0001;
const FEATURE_CONTROL_LOCK = 1n;
/** Lock, VMX inside SMX, VMX outside SMX; the SENTER and SGX bits do not exist. */
const FEATURE_CONTROL_BITS = 7n;
const RESULT_FLAGS = { CF: 1, ZF: 0x40 } as const;
const TPR_OFFSET = 0x80;

export class Vmx implements Interception, Stateful<VmxSnapshot> {
  readonly capabilities: VmxCapabilities;
  readonly ept: Ept;
  readonly vmcs: CurrentVmcs;
  readonly entryState: EntryState;
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
  tprBelowThreshold = false;
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
  private readonly passedByVmcs = new Map<number, number>();

  /** Delivery of events through the IDT. */
  readonly deliver = deliverEvent;

  constructor(
    readonly cpu: Cpu,
    options: VmxOptions = {},
  ) {
    this.capabilities = vmxCapabilities(cpu.profile, options.profile ?? FULL_VMX_PROFILE, supportedCr4(cpu));
    this.vmcs = new CurrentVmcs(cpu.memory);
    this.entryState = new VmcsEntryState(this);
    this.ept = new Ept(cpu.memory, cpu.profile.physicalAddressWidth, this.capabilities.ept, (fault) => this.eptFault(fault));
    cpu.set64(R.FEATURE_CONTROL, options.featureControl ?? 5n);
  }

  /** Checks that passed on VMCSs that are active but not current, by pointer: part of a snapshot. */
  get passedElsewhere(): ReadonlyMap<number, number> {
    return this.passedByVmcs;
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
    if (!this.active && !this.controlsAllowVmx(this.cpu.cr0, this.cpu.cr4)) throw new Error('VMXON: CR0 or CR4 has bits that VMX operation does not support');
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
    const offset = this.vmcs.present ? componentOffset(this, encoding) : 0;
    if (offset === 0)
      throw new Error(`VMCS component 0x${encoding.toString(16)}: ${this.vmcs.present ? 'this processor has none of that encoding' : 'no VMCS is current'}`);
    return offset;
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

  /** Makes another VMCS current, or none (-1). What passed its checks is remembered for each active VMCS. */
  selectVmcs(pointer: number): void {
    if (this.vmcs.present) this.passedByVmcs.set(this.vmcs.pointer, this.passedGroups);
    if (pointer < 0) {
      this.vmcs.deselect();
      this.passedGroups = 0;
      return;
    }
    this.vmcs.select(pointer);
    this.passedGroups = this.passedByVmcs.get(pointer) ?? 0;
  }

  /** Software may have changed the region: its checks must be made again. */
  forgetChecks(pointer: number): void {
    this.passedByVmcs.delete(pointer);
    if (pointer === this.vmcs.pointer) this.passedGroups = 0;
  }

  /** Replaces what is remembered about active VMCSs (restoring a snapshot). */
  rememberChecks(passed: Iterable<readonly [pointer: number, groups: number]>): void {
    this.passedByVmcs.clear();
    for (const [pointer, groups] of passed) this.passedByVmcs.set(pointer, groups);
  }

  // ---- entering and leaving non-root operation (vmlaunch.ts, exit.ts) ----

  latchControls(): void {
    const { vmcs } = this;
    this.pinBased = vmcs.low(OFFSET.PIN_BASED_CONTROLS);
    this.primary = vmcs.low(OFFSET.PRIMARY_PROCESSOR_BASED_CONTROLS);
    this.secondary = (this.primary & Primary.ACTIVATE_SECONDARY_CONTROLS) !== 0 ? vmcs.low(OFFSET.SECONDARY_PROCESSOR_BASED_CONTROLS) : 0;
    this.exitControls = vmcs.low(OFFSET.VM_EXIT_CONTROLS);
    this.entryControls = vmcs.low(OFFSET.VM_ENTRY_CONTROLS);
  }

  /** From the host's address spaces to the guest's. Without VPID, entries and exits invalidate what is tagged with VPID 0000H. */
  switchTranslation(): void {
    const { mmu } = this.cpu;
    if ((this.secondary & Secondary.ENABLE_EPT) !== 0) this.ept.enable(this.vmcs.low(OFFSET.EPT_POINTER), this.vmcs.high(OFFSET.EPT_POINTER));
    if ((this.secondary & Secondary.ENABLE_VPID) !== 0) mmu.asid = this.vmcs.low(OFFSET.VPID);
    else mmu.flushAsid(0);
  }

  leaveNonRoot(): void {
    const { mmu } = this.cpu;
    this.guestMode = false;
    this.entryIncomplete = false;
    this.ept.disable();
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

  private exit(reason: ExitReason, low: number, high: number, interruption: number, errorCode: number, rf: SavedRf, delivering: CpuEvent | undefined): void {
    const original = delivering ?? this.injecting;
    this.vectoring = 0;
    if (original !== undefined) {
      this.vectoring = interruptionOf(original);
      this.vectoringErrorCode = original.errorCode ?? 0;
      if (original.length !== 0) this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, original.length);
    }
    exitToRoot(this, reason, low, high, interruption, errorCode, rf);
  }

  /** EPT refused a guest-physical address. */
  private eptFault(fault: EptFault): void {
    const { cpu, vmcs } = this;
    cpu.materialize();
    vmcs.set(OFFSET.GUEST_PHYSICAL_ADDRESS, fault.gpa >>> 0, Math.floor(fault.gpa / 0x1_0000_0000));
    let qualification = 0;
    if (fault.kind === 'violation') {
      qualification = fault.qualification;
      const final = EptQualification.LINEAR_ADDRESS_VALID | EptQualification.FINAL_ACCESS;
      // With paging off, every linear address is a user-mode, writable and executable one.
      if ((qualification & final) === final && (cpu.cr0 & CR0_PE_PG) >>> 0 !== CR0_PE_PG) {
        qualification = (qualification | EptQualification.USER_MODE_LINEAR | EptQualification.WRITABLE_LINEAR) & ~EptQualification.EXECUTE_DISABLE_LINEAR;
      }
      if ((qualification & EptQualification.LINEAR_ADDRESS_VALID) !== 0) vmcs.setValue(OFFSET.GUEST_LINEAR_ADDRESS, fault.linear);
      if (this.nmiUnblockedByIret && cpu.delivering === undefined && this.injecting === undefined) qualification |= EptQualification.NMI_UNBLOCKING;
    }
    const reason = fault.kind === 'violation' ? ExitReason.EptViolation : ExitReason.EptMisconfiguration;
    // The access belongs to an instruction (fault-like: RF = 1 in the image) or to the delivery of an event.
    const rf = cpu.delivering === undefined && this.injecting === undefined ? SavedRf.Set : SavedRf.AsIs;
    this.exit(reason, qualification, 0, 0, 0, rf, cpu.delivering);
    cpu.fault = undefined;
  }

  private get nmiUnblockedByIret(): boolean {
    return this.nmiUnblockedAt >= 0 && this.nmiUnblockedAt === this.cpu.retired();
  }

  // ---- Interception ----

  get active(): boolean {
    return this.vmxonPointer >= 0;
  }

  /** A reason to look at every boundary: something that is armed and can happen now. */
  get attention(): boolean {
    if (!this.guestMode) return false;
    if (this.entryIncomplete || this.mtfPending || this.tprBelowThreshold) return true;
    const { primary } = this;
    if ((primary & Primary.MONITOR_TRAP_FLAG) !== 0) return true;
    if ((primary & Primary.INTERRUPT_WINDOW_EXITING) !== 0 && this.cpu.interruptsEnabled) return true;
    return (primary & Primary.NMI_WINDOW_EXITING) !== 0 && !this.virtualNmiBlocked;
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
    // A double fault stands for the events that led to it: no IDT-vectoring information.
    const doubleFault = event.type === EventType.HardwareException && event.vector === Vector.DF;
    const original = doubleFault ? undefined : delivering;
    let information = interruptionOf(event);
    if (this.nmiUnblockedByIret && original === undefined && !doubleFault) information = (information | Interruption.NMI_UNBLOCKING) >>> 0;
    if (event.length !== 0) this.vmcs.setLow(OFFSET.EXIT_INSTRUCTION_LENGTH, event.length);
    const qualification = qualificationOfException(event);
    if (doubleFault) this.injecting = undefined;
    this.exit(
      ExitReason.ExceptionOrNmi,
      Number(qualification & 0xffff_ffffn),
      Number(qualification >> 32n),
      information,
      event.errorCode ?? 0,
      savedRfOf(event),
      original,
    );
    if (event.type === EventType.Nmi) this.cpu.nmiBlocked = true;
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

  /** SDM "Guest/Host Masks and Read Shadows for CR0 and CR4". */
  readControl(cr: 0 | 4, real: bigint): bigint {
    const mask = this.vmcs.value(cr === 0 ? OFFSET.CR0_GUEST_HOST_MASK : OFFSET.CR4_GUEST_HOST_MASK);
    const shadow = this.vmcs.value(cr === 0 ? OFFSET.CR0_READ_SHADOW : OFFSET.CR4_READ_SHADOW);
    return (real & ~mask) | (shadow & mask);
  }

  writeControl(cr: 0 | 4, value: bigint, real: bigint): bigint {
    const mask = this.vmcs.value(cr === 0 ? OFFSET.CR0_GUEST_HOST_MASK : OFFSET.CR4_GUEST_HOST_MASK);
    return (value & ~mask) | (real & mask);
  }

  controlAllowed(cr: 0 | 4, value: bigint): boolean {
    const low = Number(value & 0xffff_ffffn);
    const c = this.capabilities;
    if (cr === 4) return (low & c.cr4Fixed0) >>> 0 === c.cr4Fixed0 && (low & ~c.cr4Fixed1) === 0;
    const exempt = this.guestMode && (this.secondary & Secondary.UNRESTRICTED_GUEST) !== 0;
    const fixed0 = (exempt ? c.cr0Fixed0 & ~CR0_PE_PG : c.cr0Fixed0) >>> 0;
    return (low & fixed0) >>> 0 === fixed0;
  }

  /** CR0 and CR4 satisfy what VMX operation fixes. */
  controlsAllowVmx(cr0: number, cr4: number): boolean {
    return this.controlAllowed(0, BigInt(cr0)) && this.controlAllowed(4, BigInt(cr4));
  }

  /** IRET has set cpu.nmiBlocked to false. SDM "IRET" in "Changes to Instruction Behavior in VMX Non-Root Operation". */
  nmiUnblocked(): void {
    if (!this.guestMode) return;
    if ((this.pinBased & PinBased.NMI_EXITING) === 0) {
      this.nmiUnblockedAt = this.cpu.retired();
      return;
    }
    // With NMI exiting, IRET ends virtual-NMI blocking if there is such a thing, and leaves blocking by NMI alone.
    if ((this.pinBased & PinBased.VIRTUAL_NMIS) !== 0) {
      if (this.virtualNmiBlocked) this.nmiUnblockedAt = this.cpu.retired();
      this.virtualNmiBlocked = false;
    } else this.cpu.nmiBlocked = this.nmiBlockingKept;
    this.cpu.attention = true;
  }

  execute(insn: Insn): void {
    executeVmxInstruction(this, insn);
  }

  readMsr(index: number): bigint | undefined {
    if (index === VmxMsr.IA32_FEATURE_CONTROL) return this.cpu.get64(R.FEATURE_CONTROL);
    return this.capabilities.msrs.get(index);
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index !== VmxMsr.IA32_FEATURE_CONTROL) return false;
    // Locked until the next reset.
    if ((this.cpu.get64(R.FEATURE_CONTROL) & FEATURE_CONTROL_LOCK) !== 0n || (value & ~FEATURE_CONTROL_BITS) !== 0n) return false;
    this.cpu.set64(R.FEATURE_CONTROL, value);
    return true;
  }

  // ---- the virtual TPR. SDM "Virtualizing CR8-Based TPR Accesses" ----

  readCr8(): number | undefined {
    if ((this.primary & Primary.USE_TPR_SHADOW) === 0) return undefined;
    return (this.cpu.memory.read32(this.vmcs.number(OFFSET.VIRTUAL_APIC_ADDRESS) + TPR_OFFSET) >>> 4) & 15;
  }

  writeCr8(value: number): boolean {
    if ((this.primary & Primary.USE_TPR_SHADOW) === 0) return false;
    this.cpu.memory.write32(this.vmcs.number(OFFSET.VIRTUAL_APIC_ADDRESS) + TPR_OFFSET, (value & 15) << 4);
    // "TPR virtualization": a trap-like exit when VTPR falls below the threshold.
    if ((value & 15) < (this.vmcs.low(OFFSET.TPR_THRESHOLD) & 15)) {
      this.tprBelowThreshold = true;
      this.cpu.attention = true;
    }
    return true;
  }
}
