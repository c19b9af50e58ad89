/** Exit codes. APM Appendix C, "SVM Intercept Exit Codes": same order, same names. */
import { cite } from '../../spec/apm';

/** First code of each family that is indexed by a register number, an exception vector or a bit number. */
// prettier-ignore
export const ExitCodeBase = {
  CR_READ:                 0x000,
  CR_WRITE:                0x010,
  DR_READ:                 0x020,
  DR_WRITE:                0x030,
  /** EXCP0 to EXCP31. */
  EXCP:                    0x040,
  /** Bit n of the intercept word at 00Ch, 010h, 014h. */
  INTERCEPTS_3:            0x060,
  INTERCEPTS_4:            0x080,
  CR_WRITE_TRAP:           0x090,
  INTERCEPTS_5:            0x0a0,
} as const;

/** The codes that are not indexed. The negative ones are 64 bits wide in EXITCODE: FFFF_FFFF_FFFF_FFFFh and down. */
// prettier-ignore
export const ExitCode = {
  INTR:                    0x060,
  NMI:                     0x061,
  SMI:                     0x062,
  INIT:                    0x063,
  VINTR:                   0x064,
  CR0_SEL_WRITE:           0x065,
  IDTR_READ:               0x066,
  GDTR_READ:               0x067,
  LDTR_READ:               0x068,
  TR_READ:                 0x069,
  IDTR_WRITE:              0x06a,
  GDTR_WRITE:              0x06b,
  LDTR_WRITE:              0x06c,
  TR_WRITE:                0x06d,
  RDTSC:                   0x06e,
  RDPMC:                   0x06f,
  PUSHF:                   0x070,
  POPF:                    0x071,
  CPUID:                   0x072,
  RSM:                     0x073,
  IRET:                    0x074,
  SWINT:                   0x075,
  INVD:                    0x076,
  PAUSE:                   0x077,
  HLT:                     0x078,
  INVLPG:                  0x079,
  INVLPGA:                 0x07a,
  IOIO:                    0x07b,
  MSR:                     0x07c,
  TASK_SWITCH:             0x07d,
  FERR_FREEZE:             0x07e,
  SHUTDOWN:                0x07f,
  VMRUN:                   0x080,
  VMMCALL:                 0x081,
  VMLOAD:                  0x082,
  VMSAVE:                  0x083,
  STGI:                    0x084,
  CLGI:                    0x085,
  SKINIT:                  0x086,
  RDTSCP:                  0x087,
  ICEBP:                   0x088,
  WBINVD:                  0x089,
  MONITOR:                 0x08a,
  MWAIT:                   0x08b,
  MWAIT_CONDITIONAL:       0x08c,
  XSETBV:                  0x08d,
  RDPRU:                   0x08e,
  EFER_WRITE_TRAP:         0x08f,
  INVLPGB:                 0x0a0,
  INVLPGB_ILLEGAL:         0x0a1,
  INVPCID:                 0x0a2,
  MCOMMIT:                 0x0a3,
  TLBSYNC:                 0x0a4,
  BUSLOCK:                 0x0a5,
  IDLE_HLT:                0x0a6,
  NPF:                     0x400,
  AVIC_INCOMPLETE_IPI:     0x401,
  AVIC_NOACCEL:            0x402,
  VMGEXIT:                 0x403,
  INVALID:                 -1,
  BUSY:                    -2,
  IDLE_REQUIRED:           -3,
  INVALID_PMC:             -4,
} as const;

export type ExitCodeName = keyof typeof ExitCode;

const REGISTERS = 16;
const VECTORS = 32;

const NAMES: ReadonlyMap<number, string> = ((): Map<number, string> => {
  const names = new Map<number, string>();
  for (let n = 0; n < REGISTERS; n++) {
    names.set(ExitCodeBase.CR_READ + n, `VMEXIT_CR${n}_READ`);
    names.set(ExitCodeBase.CR_WRITE + n, `VMEXIT_CR${n}_WRITE`);
    names.set(ExitCodeBase.DR_READ + n, `VMEXIT_DR${n}_READ`);
    names.set(ExitCodeBase.DR_WRITE + n, `VMEXIT_DR${n}_WRITE`);
    names.set(ExitCodeBase.CR_WRITE_TRAP + n, `VMEXIT_CR${n}_WRITE_TRAP`);
  }
  for (let vector = 0; vector < VECTORS; vector++) names.set(ExitCodeBase.EXCP + vector, `VMEXIT_EXCP${vector}`);
  for (const name of Object.keys(ExitCode) as ExitCodeName[]) names.set(ExitCode[name], `VMEXIT_${name}`);
  return names;
})();

/** Every code that has a name, ascending; the negative ones first. */
export const EXIT_CODES: readonly number[] = [...NAMES.keys()].sort((a, b) => a - b);

/** Name of an exit code as the manual writes it; "exit code 0x65f" for a number that has none. Codes are as `exitCodeOf` returns them. */
export const exitCodeName = (code: number): string => NAMES.get(code) ?? `exit code ${code < 0 ? '-' : ''}0x${Math.abs(code).toString(16)}`;

const HIGH = 2 ** 32;

/** The code in the two halves of EXITCODE: the field is a signed 64-bit number. Codes beyond 53 bits (there are none) lose precision. */
export const exitCodeOf = (low: number, high: number): number => (high | 0) * HIGH + (low >>> 0);
/** The halves of EXITCODE for a code: all of a negative code's upper bits are 1. */
export const exitCodeLow = (code: number): number => code >>> 0;
export const exitCodeHigh = (code: number): number => Math.floor(code / HIGH) >>> 0;

/** For messages: name, number and where the manual lists it. */
export const explainExitCode = (code: number): string => `${exitCodeName(code)} (${cite('exitCodes')})`;
