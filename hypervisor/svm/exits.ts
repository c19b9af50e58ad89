/** From AMD-V to the vendor-neutral exit. */
import { ExitCode, ExitCodeBase, exitCodeName, type ExitCodeName } from '../../svm/exit/code';
import { IOIO_PORT_SHIFT, IoioInfo, MsrInfo, NpfInfo, NpfInfoHigh } from '../../svm/controls';
import { VMCB } from '../../svm/vmcb/layout';
import type { Exit } from '../exit';
import type { ControlBlock } from './control-block';

type Decode = (block: ControlBlock) => Exit;

const REGISTERS = 16;
const VECTORS = 32;
const CR8 = 8;
const MOV_GPR = 0xf;
/** Exceptions that push an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP. */
const WITH_ERROR_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 21);

function io(block: ControlBlock): Exit {
  const info = block.get32(VMCB.EXITINFO1);
  const size = (info & IoioInfo.SIZE_8) !== 0 ? 1 : (info & IoioInfo.SIZE_16) !== 0 ? 2 : 4;
  return { kind: 'io', port: info >>> IOIO_PORT_SHIFT, size, input: (info & IoioInfo.IN) !== 0, string: (info & IoioInfo.STRING) !== 0 };
}

function nestedPageFault(block: ControlBlock): Exit {
  const code = block.get32(VMCB.EXITINFO1);
  const write = (code & NpfInfo.RW) !== 0;
  const fetch = (code & NpfInfo.ID) !== 0;
  return {
    kind: 'nested-page-fault',
    gpa: block.number(VMCB.EXITINFO2),
    linear: 0n,
    read: !write && !fetch,
    write,
    fetch,
    table: (block.high32(VMCB.EXITINFO1) & NpfInfoHigh.PAGE_TABLE) !== 0,
    present: (code & NpfInfo.P) !== 0,
  };
}

const unavailable = (instruction: string) => (): Exit => ({ kind: 'unavailable-instruction', instruction });
const monitored = (instruction: string) => (): Exit => ({ kind: 'monitored-instruction', instruction });
const unexpected = (what: string) => (): Exit => ({ kind: 'unexpected', explanation: `#VMEXIT "${what}" that no intercept asked for` });

/** The codes that are not indexed, readable as Appendix C. A forgotten one does not compile. */
const SINGLE = {
  INTR: (): Exit => ({ kind: 'external-interrupt', vector: undefined }),
  NMI: (): Exit => ({ kind: 'nmi' }),
  SMI: unexpected('SMI'),
  INIT: unexpected('INIT'),
  VINTR: (): Exit => ({ kind: 'interrupt-window' }),
  CR0_SEL_WRITE: monitored('MOV CR0'),
  IDTR_READ: monitored('SIDT'),
  GDTR_READ: monitored('SGDT'),
  LDTR_READ: monitored('SLDT'),
  TR_READ: monitored('STR'),
  IDTR_WRITE: monitored('LIDT'),
  GDTR_WRITE: monitored('LGDT'),
  LDTR_WRITE: monitored('LLDT'),
  TR_WRITE: monitored('LTR'),
  RDTSC: monitored('RDTSC'),
  RDPMC: monitored('RDPMC'),
  PUSHF: monitored('PUSHF'),
  POPF: monitored('POPF'),
  CPUID: (): Exit => ({ kind: 'cpuid' }),
  RSM: unavailable('RSM'),
  IRET: monitored('IRET'),
  SWINT: monitored('INT'),
  INVD: (): Exit => ({ kind: 'cache-control', instruction: 'INVD' }),
  PAUSE: monitored('PAUSE'),
  HLT: (): Exit => ({ kind: 'hlt' }),
  INVLPG: monitored('INVLPG'),
  INVLPGA: unavailable('INVLPGA'),
  IOIO: io,
  MSR: (block): Exit => ({ kind: block.get32(VMCB.EXITINFO1) === MsrInfo.WRMSR ? 'wrmsr' : 'rdmsr' }),
  TASK_SWITCH: (): Exit => ({ kind: 'task-switch' }),
  FERR_FREEZE: unexpected('FERR_FREEZE'),
  SHUTDOWN: (): Exit => ({ kind: 'triple-fault' }),
  VMRUN: unavailable('VMRUN'),
  VMMCALL: (): Exit => ({ kind: 'hypercall' }),
  VMLOAD: unavailable('VMLOAD'),
  VMSAVE: unavailable('VMSAVE'),
  STGI: unavailable('STGI'),
  CLGI: unavailable('CLGI'),
  SKINIT: unavailable('SKINIT'),
  RDTSCP: monitored('RDTSCP'),
  ICEBP: monitored('INT1'),
  WBINVD: (): Exit => ({ kind: 'cache-control', instruction: 'WBINVD' }),
  MONITOR: unavailable('MONITOR'),
  MWAIT: unavailable('MWAIT'),
  MWAIT_CONDITIONAL: unavailable('MWAIT'),
  XSETBV: (): Exit => ({ kind: 'xsetbv' }),
  RDPRU: unavailable('RDPRU'),
  EFER_WRITE_TRAP: unexpected('EFER_WRITE_TRAP'),
  INVLPGB: unavailable('INVLPGB'),
  INVLPGB_ILLEGAL: unavailable('INVLPGB'),
  INVPCID: monitored('INVPCID'),
  MCOMMIT: unavailable('MCOMMIT'),
  TLBSYNC: unavailable('TLBSYNC'),
  BUSLOCK: unexpected('BUSLOCK'),
  IDLE_HLT: unexpected('IDLE_HLT'),
  NPF: nestedPageFault,
  AVIC_INCOMPLETE_IPI: unexpected('AVIC_INCOMPLETE_IPI'),
  AVIC_NOACCEL: unexpected('AVIC_NOACCEL'),
  VMGEXIT: unexpected('VMGEXIT'),
  INVALID: unexpected('INVALID'),
  BUSY: unexpected('BUSY'),
  IDLE_REQUIRED: unexpected('IDLE_REQUIRED'),
  INVALID_PMC: unexpected('INVALID_PMC'),
} satisfies Record<ExitCodeName, Decode>;

const TABLE: ReadonlyMap<number, Decode> = buildTable();

function buildTable(): Map<number, Decode> {
  const table = new Map<number, Decode>();
  for (let n = 0; n < REGISTERS; n++) {
    table.set(ExitCodeBase.DR_READ + n, monitored(`MOV from DR${n}`));
    table.set(ExitCodeBase.DR_WRITE + n, monitored(`MOV to DR${n}`));
    table.set(ExitCodeBase.CR_WRITE_TRAP + n, unexpected(`CR${n}_WRITE_TRAP`));
    for (const access of ['read', 'write'] as const) {
      const code = (access === 'read' ? ExitCodeBase.CR_READ : ExitCodeBase.CR_WRITE) + n;
      if (n === CR8) table.set(code, (block) => ({ kind: 'cr-access', register: n, access, gpr: block.get32(VMCB.EXITINFO1) & MOV_GPR, source: 0 }));
      else table.set(code, monitored(`${access === 'read' ? 'MOV from' : 'MOV to'} CR${n}`));
    }
  }
  for (let vector = 0; vector < VECTORS; vector++) {
    const hasCode = ((WITH_ERROR_CODE >>> vector) & 1) !== 0;
    table.set(ExitCodeBase.EXCP + vector, (block) => ({ kind: 'exception', vector, errorCode: hasCode ? block.get32(VMCB.EXITINFO1) : undefined }));
  }
  for (const name of Object.keys(SINGLE) as ExitCodeName[]) table.set(ExitCode[name], SINGLE[name]);
  return table;
}

/** @param code as exitCodeOf() has it. */
export function decodeExit(code: number, block: ControlBlock): Exit {
  const decode = TABLE.get(code);
  return decode === undefined ? { kind: 'unexpected', explanation: exitCodeName(code) } : decode(block);
}
