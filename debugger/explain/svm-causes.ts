/** Why an instruction or event made a #VMEXIT, and what EXITINFO1 and EXITINFO2 say. APM "Intercept Operation" and what follows it. */
import { cite, type ApmKey } from '../../spec/apm';
import { IoioInfo, IOIO_PORT_SHIFT, MovCrInfo, NpfInfo, NpfInfoHigh } from '../../svm/controls';
import { ExitCode, ExitCodeBase } from '../../svm/exit/code';

export interface SvmExitState {
  readonly code: number;
  readonly info1: bigint;
  readonly info2: bigint;
  readonly rcx: number;
}

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const because = (why: string, key: ApmKey): string => `${why}: ${cite(key)}`;
const within = (code: number, base: number, count: number): boolean => code >= base && code < base + count;
const CR_MASK = 16;

/** The families that are indexed, first code and size, the intercept word and where it is described. */
const FAMILIES = [
  [ExitCodeBase.CR_READ, 16, (n: number) => `bit ${n} of the CR read intercepts`, 'instructionIntercepts'],
  [ExitCodeBase.CR_WRITE, 16, (n: number) => `bit ${n} of the CR write intercepts`, 'instructionIntercepts'],
  [ExitCodeBase.DR_READ, 16, (n: number) => `bit ${n} of the DR read intercepts`, 'instructionIntercepts'],
  [ExitCodeBase.DR_WRITE, 16, (n: number) => `bit ${n} of the DR write intercepts`, 'instructionIntercepts'],
  [ExitCodeBase.EXCP, 32, (n: number) => `bit ${n} of the exception intercepts`, 'exceptionIntercepts'],
  [ExitCodeBase.INTERCEPTS_3, 5, (n: number) => `bit ${n} of intercept word 3`, 'interruptIntercepts'],
  [ExitCodeBase.INTERCEPTS_3, 32, (n: number) => `bit ${n} of intercept word 3`, 'instructionIntercepts'],
  [ExitCodeBase.CR_WRITE_TRAP, 16, (n: number) => `bit ${n + CR_MASK} of intercept word 4`, 'instructionIntercepts'],
  [ExitCodeBase.INTERCEPTS_4, 16, (n: number) => `bit ${n} of intercept word 4`, 'instructionIntercepts'],
  [ExitCodeBase.INTERCEPTS_5, 32, (n: number) => `bit ${n} of intercept word 5`, 'instructionIntercepts'],
] as const;

export function svmCause({ code, info1, rcx }: SvmExitState): string {
  if (code === ExitCode.NPF) return because('nested paging is on, and the nested tables do not allow the access', 'nestedPageFaults');
  if (code === ExitCode.INVALID) return because('the VMCB breaks a consistency check of VMRUN', 'consistencyChecks');
  if (code === ExitCode.SHUTDOWN) return because('the SHUTDOWN intercept is 1, and the processor would shut down', 'miscellaneousIntercepts');
  if (code === ExitCode.IOIO) {
    return because(`IOIO_PROT is 1, and the bit of port ${hex((info1 >> BigInt(IOIO_PORT_SHIFT)) & 0xffffn)} is 1 in the I/O permission map`, 'ioioIntercepts');
  }
  if (code === ExitCode.MSR) return because(`MSR_PROT is 1, and the permission map intercepts MSR ${hex(rcx)}, or does not cover it`, 'msrIntercepts');
  const family = FAMILIES.find(([base, count]) => within(code, base, count));
  return family === undefined ? 'this model has no description of what causes this exit' : because(`${family[2](code - family[0])} is 1`, family[3]);
}

function npf(info1: bigint, info2: bigint): string {
  const [low, high] = [Number(info1 & 0xffff_ffffn), Number(info1 >> 32n)];
  const access = (low & NpfInfo.ID) !== 0 ? 'instruction fetch' : (low & NpfInfo.RW) !== 0 ? 'data write' : 'data read';
  const present = (low & NpfInfo.P) !== 0 ? 'the nested entry does not allow it' : 'the page is not present in the nested tables';
  const where = (high & NpfInfoHigh.PAGE_TABLE) !== 0 ? 'while the guest tables were walked' : 'the access itself';
  return `${access} of guest-physical ${hex(info2)}; ${(low & NpfInfo.RSV) !== 0 ? 'a reserved bit is set in a nested entry' : present}; ${where}`;
}

function ioio(info1: bigint, info2: bigint): string {
  const low = Number(info1 & 0xffff_ffffn);
  const size = (low & IoioInfo.SIZE_8) !== 0 ? 1 : (low & IoioInfo.SIZE_16) !== 0 ? 2 : 4;
  const kind = `${(low & IoioInfo.IN) !== 0 ? 'IN' : 'OUT'}${(low & IoioInfo.STRING) !== 0 ? ', string' : ''}${(low & IoioInfo.REP) !== 0 ? ', REP' : ''}`;
  return `${kind}, ${size} byte${size > 1 ? 's' : ''}, port ${hex(low >>> IOIO_PORT_SHIFT)}, next RIP ${hex(info2)}`;
}

/** undefined: the code says it all. */
export function describeExitInfo({ code, info1, info2 }: SvmExitState): string | undefined {
  if (code === ExitCode.NPF) return npf(info1, info2);
  if (code === ExitCode.IOIO) return ioio(info1, info2);
  if (code === ExitCode.MSR) return info1 === 0n ? 'RDMSR' : 'WRMSR';
  if (code === ExitCodeBase.EXCP + 14) return `error code ${hex(info1)}, faulting linear address ${hex(info2)}`;
  if (within(code, ExitCodeBase.EXCP, 32)) return info1 === 0n ? undefined : `error code ${hex(info1)}`;
  if (within(code, ExitCodeBase.CR_READ, 32))
    return info1 >> 63n === 1n ? `MOV, general register ${Number(info1 & BigInt(MovCrInfo.GPR))}` : 'CLTS, LMSW or SMSW';
  if (code === ExitCode.INVLPG) return `linear address ${hex(info1)}`;
  return undefined;
}
