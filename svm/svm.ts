/**
 * AMD-V of one logical processor: what stands beside its registers (GIF, the MSRs of SVM, the controls of the running guest) and the two
 * interfaces on it. Decoded code reaches it through Interception; host software written in TypeScript through the methods named after SVM
 * instructions, which are the same semantic functions. VMRUN itself is machine code: #VMEXIT comes back to the instruction behind it.
 */
import type { Cpu } from '../cpu/cpu';
import { recordDebugException } from '../cpu/debug';
import type { Insn } from '../cpu/decoder/insn';
import { deliverEvent } from '../cpu/exceptions';
import { EventType, type CpuEvent, type Interception, type Sensitive } from '../cpu/interfaces';
import { Efer, Vector } from '../cpu/registers';
import { Npt, type NptFault } from '../ept/npt';
import type { Stateful } from '../memory/stateful';
import { boundary, virtualInterruptReady, virtualNmiReady } from './boundary';
import { svmCapabilities, type SvmCapabilities } from './capabilities';
import { Intercept3, NpfInfo, VIntr } from './controls';
import { VmcbEntryState } from './entry/entry-state';
import { ExitCode, ExitCodeBase } from './exit/code';
import { informationOf, interceptException } from './exit/exception';
import { exitToHost } from './exit/exit';
import { fetchInstructionBytes } from './exit/instruction-bytes';
import type { LostHost } from './host-save-area';
import { executeSvmInstruction, invlpga } from './instructions/execute';
import { setGif } from './instructions/gif';
import { vmload, vmsave } from './instructions/vmload';
import { INTERCEPTS } from './intercepts';
import { TSC_RATIO_ONE, VmCr, readSvmMsr, writeSvmMsr } from './msr';
import { State } from './operation';
import { restoreSvm, saveSvm, type SvmSnapshot } from './snapshot';
import { TranslationModes } from './translation-modes';
import { CurrentVmcb, type StaleField } from './vmcb/access';
import { VMCB, VMCB_SIZE } from './vmcb/layout';

/** Hears of what happens; every hook may be absent. */
export interface SvmObserver {
  /** The guest is about to run. */
  entry?(svm: Svm): void;
  /** `code` as exit/code.ts has it: -1 for a VMRUN that failed. */
  exit?(svm: Svm, code: number): void;
  /** A #VMEXIT found no host to go back to: the processor is in shutdown. */
  shutdown?(svm: Svm, because: LostHost): void;
  /** With the option checkVmcb: a VMCB field changed although its clean bit says that it did not. */
  staleVmcb?(svm: Svm, stale: StaleField): void;
}

export interface SvmOptions {
  /** VM_CR as firmware leaves it; default 0: SVM may be enabled, nothing is locked. */
  readonly vmCr?: number;
  /** Compare what clean bits cover with memory at every VMRUN. */
  readonly checkVmcb?: boolean;
}

/** Tags of translations have 16 bits; 0 is the host's. */
const ASID_TAGS = 0xffff;
const TPR = 0xf;

export class Svm implements Interception, Stateful<SvmSnapshot> {
  readonly capabilities: SvmCapabilities;
  readonly npt: Npt;
  readonly vmcb: CurrentVmcb;
  readonly entryState: VmcbEntryState;
  observer: SvmObserver = {};
  checkVmcb: boolean;
  /** #VMEXITs so far, failed VMRUNs not counted. */
  exits = 0;

  // ---- operation ----
  guestMode = false;
  /** The global interrupt flag. */
  gif = true;
  /** VM_HSAVE_PA, VM_CR, SVM_KEY, TSC_RATIO, IGNNE. */
  hostSaveArea = 0;
  vmCr: number;
  svmKey = 0n;
  tscRatio = TSC_RATIO_ONE;
  ignne = false;

  // ---- controls of the current VMCB as VMRUN read them ----
  /** Reads in bits 15:0, writes in 31:16. */
  crIntercepts = 0;
  drIntercepts = 0;
  exceptionIntercepts = 0;
  intercepts3 = 0;
  intercepts4 = 0;
  intercepts5 = 0;
  ioPermissionMap = 0;
  msrPermissionMap = 0;
  nestedPaging = false;
  /** In guest mode: the host's branch records are in its save area. */
  lbrVirtualization = false;
  /** V_TPR, V_IRQ, V_GIF ...: the running guest changes them, #VMEXIT writes them back. */
  virtualInterrupt = 0;
  virtualVector = 0;

  // ---- state of guest mode that is in no register ----
  /** The interrupt shadow and the injection take effect at the boundary before the first guest instruction. */
  entryIncomplete = false;
  /** rFLAGS.IF and blocking by NMI of the host at VMRUN. */
  hostInterrupts = false;
  hostNmiBlocked = false;
  /** Exit code of a CR or EFER write trap that is due behind the instruction, 0 when none is, and the value written. */
  writeTrap = 0;
  writeTrapValue = 0n;
  pauseCount = 0;
  lastPause = 0;
  /** The event out of the VMCB that is being delivered: no intercept applies to it. */
  unintercepted: CpuEvent | undefined;
  /** EXITINTINFO of the exit being made. */
  interrupted = 0;
  interruptedErrorCode = 0;
  /** The count, then the bytes that the exit being made reports. */
  readonly instructionBytes = new Uint8Array(16);
  fetchingBytes = false;
  readonly translationModes: TranslationModes;

  /** Delivery of events through the IDT. */
  readonly deliver = deliverEvent;

  constructor(
    readonly cpu: Cpu,
    options: SvmOptions = {},
  ) {
    this.capabilities = svmCapabilities(cpu.profile);
    this.vmcb = new CurrentVmcb(cpu.memory);
    this.entryState = new VmcbEntryState(cpu, this.vmcb.words);
    this.npt = new Npt(cpu.memory, cpu.profile.physicalAddressWidth, { pages1G: cpu.profile.has('pdpe1gb') }, (fault) => this.nestedPageFault(fault));
    this.translationModes = new TranslationModes(cpu);
    this.vmCr = options.vmCr ?? 0;
    this.checkVmcb = options.checkVmcb ?? false;
  }

  /** Puts the extension into its processor: SVM instructions, exits and nested paging work from here on. */
  attach(): this {
    this.cpu.interception = this;
    this.cpu.nested = this.npt;
    return this;
  }

  saveState(): SvmSnapshot {
    return saveSvm(this);
  }
  restoreState(state: SvmSnapshot): void {
    restoreSvm(this, state);
  }

  /** The processor has a feature of CPUID Fn8000_000A_EDX. */
  has(feature: number): boolean {
    return (this.capabilities.features & feature) !== 0;
  }

  get state(): State {
    if (this.guestMode) return this.guestGif ? State.Guest : State.GuestGifClear;
    if ((this.cpu.efer & Efer.SVME) === 0) return State.Disabled;
    return this.gif ? State.Host : State.HostGifClear;
  }

  /** Physical address of the VMCB of the current or last VMRUN; -1 before the first one. */
  get vmcbAddress(): number {
    return this.vmcb.address;
  }

  // ---- SVM instructions of host TypeScript. Where the instruction would fault they throw Error: a bug of the caller. ----

  vmload(address: number): void {
    this.requireHost('VMLOAD', address);
    vmload(this, address);
  }
  vmsave(address: number): void {
    this.requireHost('VMSAVE', address);
    vmsave(this, address);
  }
  stgi(): void {
    this.requireHost('STGI');
    setGif(this, true);
  }
  clgi(): void {
    this.requireHost('CLGI');
    setGif(this, false);
  }
  invlpga(linear: bigint, asid: number): void {
    this.requireHost('INVLPGA');
    invlpga(this.cpu, linear, asid);
  }

  private requireHost(instruction: string, address = 0): void {
    if (this.state !== State.Host && this.state !== State.HostGifClear)
      throw new Error(`${instruction} in state "${this.state}": set EFER.SVME in the host first`);
    if (!this.isVmcbAddress(address)) throw new Error(`${instruction}: 0x${address.toString(16)} is no page-aligned address of RAM`);
  }

  /** 4-Kbyte aligned, within the physical-address width, and RAM. */
  isVmcbAddress(address: number): boolean {
    return address % VMCB_SIZE === 0 && address < 2 ** this.cpu.profile.physicalAddressWidth && this.cpu.memory.isRam(address);
  }

  // ---- entering and leaving guest mode (vmrun.ts, exit.ts) ----

  get guestAsid(): number {
    // VMRUN refuses 0. ASIDs that are the same modulo FFFFh share translations with each other, but never with the host.
    return ((this.vmcb.low(VMCB.GUEST_ASID) - 1) % ASID_TAGS) + 1;
  }
  /** undefined: 1.0, and the TSC is read without a multiplication. */
  get guestTscRatio(): bigint | undefined {
    return this.tscRatio === TSC_RATIO_ONE ? undefined : this.tscRatio;
  }

  leaveGuest(): void {
    const { mmu } = this.cpu;
    this.translationModes.noteExit(mmu.asid);
    this.guestMode = false;
    this.entryIncomplete = false;
    this.writeTrap = 0;
    if (this.nmisAreTheHosts) this.cpu.nmiBlocked = this.hostNmiBlocked;
    this.npt.disable();
    mmu.asid = 0;
  }

  // ---- #VMEXITs, by what they record ----

  /** Because of an instruction that will not execute: rIP stays at it. */
  exitOnInstruction(code: number, info1Low = 0, info1High = 0, info2Low = 0, info2High = 0): true {
    return this.exit(code, info1Low, info1High, info2Low, info2High, this.cpu.insn.length, this.cpu.delivering);
  }
  /** APM "IOIO Intercepts": EXITINFO2 is the rIP of the instruction behind. */
  exitOnIo(info: number): true {
    const { cpu } = this;
    const next = cpu.nextRip();
    return this.exitOnInstruction(ExitCode.IOIO, info, 0, Number(next & 0xffff_ffffn), cpu.codeSize === 64 ? Number(next >> 32n) : 0);
  }
  /** At an instruction boundary or because of an event. */
  exitOnEvent(code: number): true {
    return this.exit(code, 0, 0, 0, 0, 0, this.cpu.delivering);
  }
  exitOnException(code: number, errorCode: number, info2Low: number, info2High: number, length: number, interrupted: CpuEvent | undefined): true {
    return this.exit(code, errorCode, 0, info2Low, info2High, length, interrupted);
  }
  /** Write traps of CRs and EFER: behind the instruction; EXITINFO1 is the value written. */
  exitOnWriteTrap(): true {
    return this.exit(this.writeTrap, Number(this.writeTrapValue & 0xffff_ffffn), Number(this.writeTrapValue >> 32n), 0, 0, 0, this.takeDebugTrap());
  }

  /** A #DB trap of the instruction that completed goes along in EXITINTINFO, or it would be lost; DR6 tells its conditions already. */
  private takeDebugTrap(): CpuEvent | undefined {
    const { cpu } = this;
    if (cpu.pendingDebug === 0) return undefined;
    recordDebugException(cpu, cpu.pendingDebug);
    return { vector: Vector.DB, type: EventType.HardwareException, errorCode: undefined, payload: 0n, length: 0 };
  }

  private exit(code: number, i1Low: number, i1High: number, i2Low: number, i2High: number, length: number, interrupted: CpuEvent | undefined): true {
    this.interrupted = interrupted === undefined ? 0 : informationOf(interrupted);
    this.interruptedErrorCode = interrupted?.errorCode ?? 0;
    exitToHost(this, code, i1Low, i1High, i2Low, i2High, interrupted === undefined ? length : 0);
    return true;
  }

  /** Nested paging refused a guest-physical address. APM "Nested versus Guest Page Faults, Fault Ordering". */
  private nestedPageFault({ gpa, errorLow, errorHigh }: NptFault): void {
    if (this.fetchingBytes) return;
    const { cpu } = this;
    cpu.materialize();
    if (cpu.delivering === undefined && (errorLow & NpfInfo.ID) === 0) fetchInstructionBytes(this);
    this.exit(ExitCode.NPF, errorLow, errorHigh, gpa >>> 0, Math.floor(gpa / 2 ** 32), 0, cpu.delivering);
    cpu.fault = undefined;
  }

  // ---- interrupts ----

  /** The GIF that gates virtual interrupts and NMIs. */
  get guestGif(): boolean {
    return (this.virtualInterrupt & VIntr.V_GIF_ENABLE) !== 0 ? (this.virtualInterrupt & VIntr.V_GIF) !== 0 : this.gif;
  }
  /** "V_INTR_MASKING": whose rFLAGS.IF gates physical interrupts. */
  get physicalInterruptsEnabled(): boolean {
    return (this.virtualInterrupt & VIntr.V_INTR_MASKING) !== 0 ? this.hostInterrupts : this.cpu.interruptsEnabled;
  }
  /** Physical NMIs exit: blocking in the guest is not the processor's. */
  get nmisAreTheHosts(): boolean {
    return (this.intercepts3 & Intercept3.NMI) !== 0;
  }

  // ---- Interception ----

  get active(): boolean {
    return this.guestMode;
  }

  get held(): boolean {
    return !this.gif;
  }

  /** A reason to look at every boundary: something that is armed and can happen now. */
  get attention(): boolean {
    if (!this.guestMode) return false;
    return this.entryIncomplete || this.writeTrap !== 0 || virtualInterruptReady(this) || virtualNmiReady(this);
  }
  readonly deadline = Infinity;

  instruction(what: Sensitive, operand: number, value: bigint): boolean {
    return INTERCEPTS[what](this, operand, value);
  }

  /** A second exception that is intercepted exits, before it is combined with the first. APM "Intercepts During IDT Interrupt Delivery". */
  readonly interceptsBeforeDoubleFault = true;

  exception(event: CpuEvent, delivering: CpuEvent | undefined): boolean {
    return event !== this.unintercepted && interceptException(this, event, delivering);
  }

  tripleFault(): boolean {
    return (this.intercepts3 & Intercept3.SHUTDOWN) !== 0 && this.exit(ExitCode.SHUTDOWN, 0, 0, 0, 0, 0, undefined);
  }

  boundary(interruptPending: boolean, nmiPending: boolean): boolean {
    return boundary(this, interruptPending, nmiPending);
  }

  interruptsBlocked(): boolean {
    return !this.gif || !this.physicalInterruptsEnabled;
  }

  /** SVM has neither read shadows nor fixed bits. */
  readControl(_cr: 0 | 4, real: bigint): bigint {
    return real;
  }
  writeControl(_cr: 0 | 4, value: bigint): bigint {
    return value;
  }
  controlAllowed(): boolean {
    return true;
  }

  /** IRET has set cpu.nmiBlocked to false. */
  nmiUnblocked(): void {
    if (!this.guestMode) return;
    this.virtualInterrupt &= ~VIntr.V_NMI_MASK;
    if (this.nmisAreTheHosts) this.cpu.nmiBlocked = this.hostNmiBlocked;
    this.cpu.attention = true;
  }

  execute(insn: Insn): void {
    executeSvmInstruction(this, insn);
  }

  readMsr(index: number): bigint | undefined {
    return readSvmMsr(this, index);
  }
  writeMsr(index: number, value: bigint): boolean {
    return writeSvmMsr(this, index, value);
  }

  // ---- the virtual TPR. APM "Virtualizing APIC.TPR" ----

  /** "With V_INTR_MASKING 0, reads of CR8 operate as they would without SVM." */
  readCr8(): number | undefined {
    return (this.virtualInterrupt & VIntr.V_INTR_MASKING) !== 0 ? this.virtualInterrupt & TPR : undefined;
  }
  /** "Writes to CR8 affect both the APIC's TPR and V_TPR", with V_INTR_MASKING V_TPR only. */
  writeCr8(value: number): boolean {
    this.virtualInterrupt = (this.virtualInterrupt & ~VIntr.V_TPR) | (value & TPR);
    this.cpu.attention = true;
    return (this.virtualInterrupt & VIntr.V_INTR_MASKING) !== 0;
  }

  eferAllowed(value: number): boolean {
    return (value & Efer.SVME) === 0 || (this.vmCr & VmCr.SVMDIS) === 0;
  }

  controlWritten(register: number, value: bigint): void {
    if (this.guestMode) this.trapWrite(ExitCodeBase.CR_WRITE_TRAP + register, value);
  }
  eferWritten(value: number): void {
    if (this.guestMode) this.trapWrite(ExitCode.EFER_WRITE_TRAP, BigInt(value));
    else if ((value & Efer.SVME) === 0) this.gif = true;
  }

  private trapWrite(code: number, value: bigint): void {
    if (((this.intercepts4 >>> (code & 31)) & 1) === 0) return;
    this.writeTrap = code;
    this.writeTrapValue = value;
    this.cpu.attention = true;
  }
}
