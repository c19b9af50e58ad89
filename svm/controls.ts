/** Bits of the VMCB control area by name. APM Appendix B, "Layout of VMCB". Bit n of an intercept word exits with the code of exit/code.ts. */

/** Offset 00Ch: exit codes 60h + n. */
// prettier-ignore
export const Intercept3 = {
  INTR:               1 << 0,
  NMI:                1 << 1,
  SMI:                1 << 2,
  INIT:               1 << 3,
  VINTR:              1 << 4,
  CR0_SEL_WRITE:      1 << 5,
  IDTR_READ:          1 << 6,
  GDTR_READ:          1 << 7,
  LDTR_READ:          1 << 8,
  TR_READ:            1 << 9,
  IDTR_WRITE:         1 << 10,
  GDTR_WRITE:         1 << 11,
  LDTR_WRITE:         1 << 12,
  TR_WRITE:           1 << 13,
  RDTSC:              1 << 14,
  RDPMC:              1 << 15,
  PUSHF:              1 << 16,
  POPF:               1 << 17,
  CPUID:              1 << 18,
  RSM:                1 << 19,
  IRET:               1 << 20,
  SWINT:              1 << 21,
  INVD:               1 << 22,
  PAUSE:              1 << 23,
  HLT:                1 << 24,
  INVLPG:             1 << 25,
  INVLPGA:            1 << 26,
  /** IOIO_PROT: ports whose bit is set in the I/O permission map. */
  IOIO:               1 << 27,
  /** MSR_PROT: MSRs whose bit is set in the MSR permission map, and all that the map does not cover. */
  MSR:                1 << 28,
  TASK_SWITCH:        1 << 29,
  FERR_FREEZE:        1 << 30,
  SHUTDOWN:           0x8000_0000,
} as const;

/** Offset 010h: exit codes 80h + n. */
// prettier-ignore
export const Intercept4 = {
  /** Must be 1. */
  VMRUN:              1 << 0,
  VMMCALL:            1 << 1,
  VMLOAD:             1 << 2,
  VMSAVE:             1 << 3,
  STGI:               1 << 4,
  CLGI:               1 << 5,
  SKINIT:             1 << 6,
  RDTSCP:             1 << 7,
  ICEBP:              1 << 8,
  /** And WBNOINVD. */
  WBINVD:             1 << 9,
  MONITOR:            1 << 10,
  MWAIT:              1 << 11,
  /** MWAIT that would enter the low-power state (the monitor is armed); checked before MWAIT when both are set. */
  MWAIT_CONDITIONAL:  1 << 12,
  XSETBV:             1 << 13,
  RDPRU:              1 << 14,
  /** After the write: a trap, not a fault. */
  EFER_WRITE_TRAP:    1 << 15,
  /** CR0 to CR15 in bits 31:16, after the write. */
  CR0_WRITE_TRAP:     1 << 16,
  CR3_WRITE_TRAP:     1 << 19,
  CR4_WRITE_TRAP:     1 << 20,
  CR8_WRITE_TRAP:     1 << 24,
} as const;

/** Offset 014h: exit codes A0h + n. */
// prettier-ignore
export const Intercept5 = {
  INVLPGB:            1 << 0,
  INVLPGB_ILLEGAL:    1 << 1,
  INVPCID:            1 << 2,
  MCOMMIT:            1 << 3,
  TLBSYNC:            1 << 4,
  BUSLOCK:            1 << 5,
  IDLE_HLT:           1 << 6,
} as const;

/** Offset 05Ch. "TLB Flush": the encodings not listed are reserved; 3 and 7 need CPUID Fn8000_000A_EDX[FlushByAsid]. VMRUN refuses none. */
export const TlbControl = {
  DO_NOTHING: 0,
  /** All entries of every ASID, global ones too. */
  FLUSH_ALL: 1,
  FLUSH_GUEST: 3,
  FLUSH_GUEST_NON_GLOBAL: 7,
} as const;

/** Offset 060h, the low 32 bits; V_INTR_VECTOR is the byte at 064h. */
// prettier-ignore
export const VIntr = {
  /** A 4-bit priority in bits 3:0; bits 7:4 are SBZ. */
  V_TPR:              0xff,
  V_IRQ:              1 << 8,
  V_GIF:              1 << 9,
  V_NMI:              1 << 11,
  V_NMI_MASK:         1 << 12,
  V_INTR_PRIO:        0xf << 16,
  V_IGN_TPR:          1 << 20,
  V_INTR_MASKING:     1 << 24,
  V_GIF_ENABLE:       1 << 25,
  V_NMI_ENABLE:       1 << 26,
  X2AVIC_ENABLE:      1 << 30,
  AVIC_ENABLE:        0x8000_0000,
} as const;
export const V_INTR_PRIO_SHIFT = 16;

/** Offset 068h. */
export const InterruptShadow = { INTERRUPT_SHADOW: 1 << 0, GUEST_INTERRUPT_MASK: 1 << 1 } as const;

/** Offset 090h. */
export const NestedControl = {
  NP_ENABLE: 1 << 0,
  SEV_ENABLE: 1 << 1,
  SEV_ES_ENABLE: 1 << 2,
  GMET_ENABLE: 1 << 3,
  SSS_CHECK_ENABLE: 1 << 4,
  VTE_ENABLE: 1 << 5,
  ROGPT_ENABLE: 1 << 6,
  INVLPGB_ENABLE: 1 << 7,
} as const;

/** Offset 0B8h. */
export const VirtualizationEnable = { LBR: 1 << 0, VMSAVE_VMLOAD: 1 << 1, IBS: 1 << 2, PMC: 1 << 3 } as const;

/** EVENTINJ (0A8h) and EXITINTINFO (088h): bits 31:0; the error code is bits 63:32. */
export const EventInfo = { VECTOR: 0xff, TYPE: 0x700, ERROR_CODE: 1 << 11, RESERVED: 0x7fff_f000, VALID: 0x8000_0000 } as const;
export const EVENT_TYPE_SHIFT = 8;
/** Values of the TYPE field; the others are reserved. */
export const EventType = { INTR: 0, NMI: 2, EXCEPTION: 3, SOFTWARE_INTERRUPT: 4 } as const;

/** EXITINFO1 of an IOIO intercept; bits 31:16 are the port. "IOIO Intercepts". */
// prettier-ignore
export const IoioInfo = {
  /** 1: IN or INS. */
  IN:                 1 << 0,
  STRING:             1 << 2,
  REP:                1 << 3,
  SIZE_8:             1 << 4,
  SIZE_16:            1 << 5,
  SIZE_32:            1 << 6,
  ADDRESS_16:         1 << 7,
  ADDRESS_32:         1 << 8,
  ADDRESS_64:         1 << 9,
} as const;
/** Effective segment number (ES 0, CS 1, SS 2, DS 3, FS 4, GS 5) of INS and OUTS, with decode assists. */
export const IOIO_SEGMENT_SHIFT = 10;
export const IOIO_PORT_SHIFT = 16;

/** EXITINFO1 of an MSR intercept. */
export const MsrInfo = { RDMSR: 0, WRMSR: 1 } as const;

/** EXITINFO1 of a nested page fault, bits 31:0: the page-fault error code bits. */
export const NpfInfo = { P: 1 << 0, RW: 1 << 1, US: 1 << 2, RSV: 1 << 3, ID: 1 << 4, SS: 1 << 6 } as const;
/** Bits 63:32: what the guest-physical address was for. */
export const NpfInfoHigh = {
  /** Bit 32: the final translation of the guest's access. */
  FINAL: 1 << 0,
  /** Bit 33: a guest page-table entry, while the guest's tables were walked. */
  PAGE_TABLE: 1 << 1,
  /** Bit 37. */
  SUPERVISOR_SHADOW_STACK: 1 << 5,
} as const;

/** EXITINFO1 with decode assists: MOV CRx has bit 63 set (CLTS, LMSW, SMSW not) and the GPR number in bits 3:0; MOV DRx the GPR alone. */
export const MovCrInfo = { GPR: 0xf, MOV_HIGH: 0x8000_0000 } as const;

/** EXITINFO2 of a task-switch intercept, bits 63:32; bits 31:0 are the error code to push. EXITINFO1 is the new TSS's selector. */
export const TaskSwitchInfoHigh = {
  /** Bit 36. */
  IRET: 1 << 4,
  /** Bit 38. */
  FAR_JUMP: 1 << 6,
  /** Bit 44. */
  ERROR_CODE: 1 << 12,
  /** Bit 48: EFLAGS.RF that would be saved in the outgoing TSS. */
  RF: 1 << 16,
} as const;
