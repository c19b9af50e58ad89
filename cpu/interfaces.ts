/**
 * What the processor needs of the layers above it, declared here and implemented there:
 * vmx/ and svm/ implement Interception, ept/ stands behind NestedTranslation, the local APIC is the InterruptController.
 */
import type { Insn } from './decoder/insn';

/** Instructions and events whose behaviour a hypervisor may intercept; names as in the SDM / APM. */
export enum Sensitive {
  CPUID,
  HLT,
  RDTSC,
  RDTSCP,
  RDPMC,
  INVLPG,
  INVPCID,
  INVD,
  WBINVD,
  MONITOR,
  MWAIT,
  PAUSE,
  RDMSR,
  WRMSR,
  IN,
  OUT,
  INS,
  OUTS,
  /** operand = control register number. */
  MOV_FROM_CR,
  MOV_TO_CR,
  CLTS,
  /** value = source operand (16 bits). */
  LMSW,
  SMSW,
  MOV_FROM_DR,
  MOV_TO_DR,
  XSETBV,
  LGDT,
  LIDT,
  SGDT,
  SIDT,
  LLDT,
  LTR,
  SLDT,
  STR,
  RSM,
  GETSEC,
  RDRAND,
  RDSEED,
  XSAVES,
  XRSTORS,
  /** operand = TSS selector, value = source (0 CALL, 1 IRET, 2 JMP, 3 IDT gate). */
  TASK_SWITCH,
  /** operand = vector. */
  SOFTWARE_INTERRUPT,
  ICEBP,
  IRET,
  PUSHF,
  POPF,
  VMCALL,
  VMCLEAR,
  VMLAUNCH,
  VMPTRLD,
  VMPTRST,
  VMREAD,
  VMRESUME,
  VMWRITE,
  VMXOFF,
  VMXON,
  VMFUNC,
  INVEPT,
  INVVPID,
  VMRUN,
  VMLOAD,
  VMSAVE,
  STGI,
  CLGI,
  INVLPGA,
  VMMCALL,
  SKINIT,
}

/** How an event reaches the processor; numbers are those of the VMX interruption type. */
export enum EventType {
  ExternalInterrupt = 0,
  Nmi = 2,
  /** Faults, traps and aborts the processor raises, #BP and #OF excepted. */
  HardwareException = 3,
  /** INT n. */
  SoftwareInterrupt = 4,
  /** INT1 (ICEBP). */
  PrivilegedSoftwareException = 5,
  /** INT3, INTO. */
  SoftwareException = 6,
  OtherEvent = 7,
}

/** Payload of an event that a hypervisor injects: delivery changes neither CR2 nor DR6 and DR7. */
export const REGISTERS_HOLD_IT = -1n;

/** An interrupt or exception on its way through the IDT. */
export interface CpuEvent {
  readonly vector: number;
  readonly type: EventType;
  readonly errorCode: number | undefined;
  /** New CR2 of a page fault (set at delivery, or the exit qualification). DR6 bits for #DB. REGISTERS_HOLD_IT: they are set already. */
  readonly payload: bigint;
  /** Instruction length of software events, otherwise 0. */
  readonly length: number;
}

/**
 * The virtualisation extension of the processor. `undefined` on a processor without one.
 * A method that returns true has performed a VM exit: host state is loaded and the caller must unwind at once.
 */
export interface Interception {
  /** In VMX non-root operation / SVM guest mode. */
  readonly guestMode: boolean;
  /** In VMX operation or guest mode: things like INIT blocking and CR fixed bits depend on it. */
  readonly active: boolean;
  /**
   * Asked (in guest mode only) before `what` executes, after the checks that precede its exit.
   * The instruction is cpu.insn; cpu.materialize() has put R.RIP at its start.
   */
  instruction(what: Sensitive, operand: number, value: bigint): boolean;
  /** Asked (in guest mode only) before an exception or NMI is delivered. `delivering`: the event whose delivery raised it. */
  exception(event: CpuEvent, delivering: CpuEvent | undefined): boolean;
  /** Such an exception is asked about even when it is about to become a double fault or a shutdown (SVM). Absent: false. */
  readonly interceptsBeforeDoubleFault?: boolean;
  /** Guest mode: triple fault. */
  tripleFault(): boolean;
  /**
   * Asked at an instruction boundary, in guest mode or when GIF-like state matters, whenever `attention` is set, an interrupt
   * line is up, or time reached `deadline`. Performs the pending exit of highest priority (MTF, TPR, timer, windows, NMI, interrupt).
   */
  boundary(interruptPending: boolean, nmiPending: boolean): boolean;
  /** Something is armed that makes boundary() worth asking at every instruction boundary (a window, MTF, a pending event). */
  readonly attention: boolean;
  /** Tick at which boundary() must be asked (VMX-preemption timer), Infinity when none. */
  readonly deadline: number;
  /** Guest mode: may a physical interrupt be taken through the guest IDT when it did not exit? (SVM: V_INTR_MASKING uses host IF.) */
  interruptsBlocked(): boolean;
  /** Interrupts and NMIs wait, in the host too (SVM: GIF is 0). Absent: false. */
  readonly held?: boolean;
  /** Value a MOV from CR0/CR4 (or SMSW) delivers: the read shadow mixed in. */
  readControl(cr: 0 | 4, real: bigint): bigint;
  /** Value that a MOV to CR0/CR4 (LMSW, CLTS) really loads after masks; called when it did not exit. */
  writeControl(cr: 0 | 4, value: bigint, real: bigint): bigint;
  /** False when `value` breaks a bit that VMX operation fixes: #GP(0). */
  controlAllowed(cr: 0 | 4, value: bigint): boolean;
  /** IRET executed / NMI blocking moved. */
  nmiUnblocked(): void;
  /** Executes one of the extension's own instructions (VMXON...VMFUNC, VMRUN...SKINIT): #UD rules included. */
  execute(insn: Insn): void;
  /** Reads / writes an MSR of the extension (VMX capability, FEATURE_CONTROL, VM_CR...). undefined / false: not one of ours. */
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean;
  /** Guest mode with a virtual TPR: MOV to / from CR8 uses it. undefined / false: the TPR of the APIC is meant. */
  readCr8?(): number | undefined;
  writeCr8?(value: number): boolean;
  /** False when the extension refuses `value` for EFER (SVME while SVM is disabled): #GP(0). */
  eferAllowed?(value: number): boolean;
  /** `register` (CR0, CR3, CR4, CR8) or EFER was loaded by an instruction, with this value (SVM's write traps). */
  controlWritten?(register: number, value: bigint): void;
  eferWritten?(value: number): void;
}

/** Where RDRAND and RDSEED get their numbers: recorded, so that a run can be repeated. */
export interface EntropySource {
  /** 64 random bits, or undefined when none are available now (CF = 0). */
  next(): bigint | undefined;
}

/** Bits of `access` of NestedTranslation.translate. */
export const NestedAccess = {
  Read: 1,
  Write: 2,
  Fetch: 4,
  /** A guest paging-structure access rather than the final one. */
  Table: 8,
  /** The linear address in question is valid. */
  LinearValid: 16,
  /** For final accesses with advanced information: guest page is user / writable / executable. */
  GuestUser: 32,
  GuestWritable: 64,
  GuestExecutable: 128,
} as const;

/** The second dimension of paging. */
export interface NestedTranslation {
  /** In force now (EPT enabled and in non-root operation; nested paging in guest mode). */
  readonly active: boolean;
  /** Identifies the nested root for TLB tagging; equal roots share cached translations. */
  readonly root: number;
  /**
   * Guest-physical to physical, for the page of `gpa` (offset kept), or -1: a violation or misconfiguration has performed the VM exit, and
   * the caller must unwind. After return `permissions` says which of Read|Write|Fetch need no further work (A/D bits included).
   */
  translate(gpa: number, access: number, linear: bigint): number;
  permissions: number;
  /** A guest in PAE mode has its PDPTEs read from memory on each walk rather than loaded with CR3, as AMD's nested paging has it. */
  readonly walksPdptes?: boolean;
}

/**
 * Who answers accesses to the one physical page that is not memory's to answer (VT-x: the APIC-access page). Asked after translation in
 * both dimensions; the page is in no TLB. Offsets are relative to the page.
 */
export interface InterceptedPage {
  /** May the access be made? False: it has performed a VM exit. `access` as of a page walk; a read-modify-write is Read and Write. */
  permits(offset: number, bytes: number, access: number): boolean;
  /** An access to a paging-structure entry in the page has been tried: performs the VM exit. */
  refuseTable(): void;
  /** Only what was permitted. */
  read(offset: number, bytes: number): number;
  write(offset: number, bytes: number, value: number): void;
}

/** Where maskable interrupts come from: the local APIC with the 8259s behind it. */
export interface InterruptController {
  /** INTR is asserted: some interrupt has enough priority. */
  pending(): boolean;
  /** INTA: takes the vector of highest priority into service. */
  acknowledge(): number;
  /** What a write of the EOI register does. Absent: nothing is ever in service. */
  endOfInterrupt?(): void;
  /** TPR class as CR8 (bits 3:0). */
  readCr8(): number;
  writeCr8(value: number): void;
  /** MSRs of the APIC: 1Bh, 6E0h, 800h-8FFh. undefined / false: #GP. */
  readMsr(index: number): bigint | undefined;
  writeMsr(index: number, value: bigint): boolean;
}

/** Ports as IN and OUT reach them. */
export interface PortSpace {
  read(port: number, size: 1 | 2 | 4): number;
  write(port: number, size: 1 | 2 | 4, value: number): void;
}

/** What CPUID and the fixed MSRs answer: an identity such as "Intel, family 6, with VMX". */
export interface CpuProfile {
  readonly name: string;
  readonly vendor: 'intel' | 'amd';
  /** MAXPHYADDR, 36-52. */
  readonly physicalAddressWidth: number;
  /** CPUID as the registers EAX, EBX, ECX, EDX (unsigned 32). Dynamic bits (OSXSAVE, APIC enable) are filled in by the CPU. */
  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number];
  /** Feature tests the CPU itself makes, by CPUID name: 'smep', 'smap', 'pcid', 'xsave', 'rdtscp', 'umip', 'fsgsbase', 'vmx', ... */
  has(feature: string): boolean;
}

/** The timers of the machine, as the step loop sees them (devices/bus.ts has the implementation). */
export interface TimerQueue {
  /** Tick of the earliest deadline, Infinity when there is none. */
  readonly next: number;
  /** Fires everything due at `now`. */
  run(now: number): void;
  /** Called when `next` may have moved. */
  onChange: () => void;
}
