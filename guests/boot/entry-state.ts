/** The processor state that a boot protocol asks for, as plain data: a bare processor and a guest-state area are both loaded from it. */

/** A segment register with its hidden part. `access` is in the format of the VMCS access-rights fields (bit 16: unusable). */
export interface SegmentState {
  readonly selector: number;
  readonly base: number;
  /** In bytes, granularity applied. */
  readonly limit: number;
  readonly access: number;
}

export interface TableRegister {
  readonly base: number;
  readonly limit: number;
}

export interface EntrySegments {
  readonly es: SegmentState;
  readonly cs: SegmentState;
  readonly ss: SegmentState;
  readonly ds: SegmentState;
  readonly fs: SegmentState;
  readonly gs: SegmentState;
  /** Absent: unusable. */
  readonly ldtr?: SegmentState;
  /** Absent: base 0, busy TSS. */
  readonly tr?: SegmentState;
}

export interface EntryState {
  /** 64-bit code with paging on, or 32-bit protected mode with paging off. */
  readonly mode: 'long64' | 'protected32';
  readonly rip: number;
  readonly rflags: number;
  /** RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8-R15. */
  readonly gprs: readonly number[];
  readonly cr0: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly segments: EntrySegments;
  readonly gdtr: TableRegister;
  readonly idtr: TableRegister;
}

/** Selectors of the GDT that every plan brings: __BOOT_CS and __BOOT_DS of the Linux boot protocol. */
export const BootSelector = { CS: 0x10, DS: 0x18, TSS: 0x20 } as const;

const CODE64 = 0xa09b;
const CODE32 = 0xc09b;
const DATA = 0xc093;
const BUSY_TSS = 0x8b;
const UNUSABLE = 0x1_0000;
const FLAT = 0xffff_ffff;
const TSS_LIMIT = 0x67;

const CR0_PE_ET = 0x11;
const CR0_NE = 0x20;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 0x20;
const EFER_LME_LMA = 0x500;

/** Bit 1 of RFLAGS is always set; interrupts are off in every protocol. */
const RFLAGS = 0x2;

export interface EntryRegisters {
  readonly rip: number;
  readonly rax?: number;
  readonly rbx?: number;
  readonly rsp?: number;
  readonly rsi?: number;
  readonly rdi?: number;
}

const gprsOf = (r: EntryRegisters): number[] => [r.rax ?? 0, 0, 0, r.rbx ?? 0, r.rsp ?? 0, 0, r.rsi ?? 0, r.rdi ?? 0, 0, 0, 0, 0, 0, 0, 0, 0];

function segments(codeAccess: number): EntrySegments {
  const data: SegmentState = { selector: BootSelector.DS, base: 0, limit: FLAT, access: DATA };
  return {
    cs: { selector: BootSelector.CS, base: 0, limit: FLAT, access: codeAccess },
    ds: data,
    es: data,
    ss: data,
    fs: data,
    gs: data,
    ldtr: { selector: 0, base: 0, limit: 0, access: UNUSABLE },
    tr: { selector: BootSelector.TSS, base: 0, limit: TSS_LIMIT, access: BUSY_TSS },
  };
}

/** 64-bit mode, paging on with the tables at `cr3`. */
export function longModeEntry(registers: EntryRegisters, cr3: number, gdtr: TableRegister): EntryState {
  return {
    mode: 'long64',
    rip: registers.rip,
    rflags: RFLAGS,
    gprs: gprsOf(registers),
    cr0: (CR0_PG | CR0_NE | CR0_PE_ET) >>> 0,
    cr3,
    cr4: CR4_PAE,
    efer: EFER_LME_LMA,
    segments: segments(CODE64),
    gdtr,
    idtr: { base: 0, limit: 0 },
  };
}

/** 32-bit protected mode, flat segments, paging off. */
export function protectedModeEntry(registers: EntryRegisters, gdtr: TableRegister): EntryState {
  return {
    mode: 'protected32',
    rip: registers.rip,
    rflags: RFLAGS,
    gprs: gprsOf(registers),
    cr0: CR0_PE_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    segments: segments(CODE32),
    gdtr,
    idtr: { base: 0, limit: 0 },
  };
}
