/** Exit qualifications in words. SDM "Basic VM-Exit Information", a table for each reason that has one. */
import { EptQualification } from '../../ept/format';
import { ApicAccessType } from '../../vmx/apic-virtualization/apic-access-page';
import { ExitReason } from '../../vmx/exit/reason';

const GENERAL = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'] as const;
const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const bit = (q: number, n: number): boolean => ((q >>> n) & 1) === 1;

function io(q: number): string {
  const size = (q & 7) + 1;
  const direction = bit(q, 3) ? 'IN' : 'OUT';
  return [
    `${direction}, ${size} byte${size > 1 ? 's' : ''}, port ${hex(q >>> 16)}`,
    bit(q, 4) ? 'string' : '',
    bit(q, 5) ? 'REP' : '',
    bit(q, 6) ? 'immediate operand' : 'port in DX',
  ]
    .filter((part) => part !== '')
    .join(', ');
}

function controlRegister(q: number): string {
  const [cr, access, gpr] = [q & 15, (q >>> 4) & 3, GENERAL[(q >>> 8) & 15]];
  return [`MOV to CR${cr} from ${gpr}`, `MOV from CR${cr} to ${gpr}`, 'CLTS', `LMSW of ${hex(q >>> 16)}${bit(q, 6) ? ' from memory' : ''}`][access];
}

function movDr(q: number): string {
  const [dr, gpr] = [q & 7, GENERAL[(q >>> 8) & 15]];
  return bit(q, 4) ? `MOV from DR${dr} to ${gpr}` : `MOV to DR${dr} from ${gpr}`;
}

function eptViolation(q: number): string {
  const E = EptQualification;
  const access = [
    [E.DATA_READ, 'data read'],
    [E.DATA_WRITE, 'data write'],
    [E.INSTRUCTION_FETCH, 'instruction fetch'],
  ] as const;
  const allowed = (q >>> E.PERMISSIONS_SHIFT) & 7;
  const rights = allowed === 0 ? 'the page is not present in EPT' : `EPT allows ${['read', 'write', 'execute'].filter((_, i) => bit(allowed, i)).join(', ')}`;
  const what = access.flatMap(([mask, name]) => ((q & mask) !== 0 ? [name] : [])).join(' and ');
  if ((q & E.LINEAR_ADDRESS_VALID) === 0) return `${what}; ${rights}; not the translation of a linear address`;
  return `${what}; ${rights}; ${(q & E.FINAL_ACCESS) !== 0 ? 'the access itself' : 'an access to a guest paging-structure entry'}`;
}

/** "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses". */
function apicAccess(q: number): string {
  const type: ApicAccessType = (q >>> 12) & 15;
  const what = APIC_ACCESS_TYPES[type] ?? `access type ${type}`;
  const linear = type !== ApicAccessType.GuestPhysical && type !== ApicAccessType.GuestPhysicalEventDelivery;
  return linear ? `${what} at offset ${hex(q & 0xfff)} of the APIC-access page` : `${what}, in the APIC-access page`;
}
const APIC_ACCESS_TYPES: Readonly<Record<ApicAccessType, string>> = {
  [ApicAccessType.DataRead]: 'data read',
  [ApicAccessType.DataWrite]: 'data write',
  [ApicAccessType.InstructionFetch]: 'instruction fetch',
  [ApicAccessType.EventDelivery]: 'access during the delivery of an event',
  [ApicAccessType.GuestPhysicalEventDelivery]: 'access to a paging-structure entry during the delivery of an event',
  [ApicAccessType.GuestPhysical]: 'access to a paging-structure entry',
};

function taskSwitch(q: number): string {
  return `TSS selector ${hex(q & 0xffff)}, by ${['CALL', 'IRET', 'JMP', 'a task gate in the IDT'][q >>> 30]}`;
}

/** "Exit Qualification for Debug Exceptions". */
function debugException(q: number): string {
  const causes = [...[0, 1, 2, 3].map((n) => [n, `B${n}`] as const), [13, 'BD'] as const, [14, 'BS (single step)'] as const];
  const met = causes.flatMap(([n, name]) => (bit(q, n) ? [name] : []));
  return met.length === 0 ? 'no condition of DR6' : met.join(', ');
}

const address = (what: string) => (_low: number, q: bigint) => `${what} ${hex(q)}`;

type Decode = (low: number, q: bigint) => string;
const DECODERS: Partial<Readonly<Record<ExitReason, Decode>>> = {
  [ExitReason.IoInstruction]: io,
  [ExitReason.ControlRegisterAccess]: controlRegister,
  [ExitReason.MovDr]: movDr,
  [ExitReason.EptViolation]: eptViolation,
  [ExitReason.TaskSwitch]: taskSwitch,
  [ExitReason.ApicAccess]: apicAccess,
  [ExitReason.VirtualizedEoi]: address('vector'),
  [ExitReason.ApicWrite]: address('page offset of the write'),
  [ExitReason.Invlpg]: address('linear address'),
  [ExitReason.Monitor]: address('hint'),
  [ExitReason.GdtrOrIdtrAccess]: address('displacement of the memory operand'),
  [ExitReason.LdtrOrTrAccess]: address('displacement of the memory operand'),
};

/** undefined: the reason has no qualification. @param vector of an exception, otherwise ignored. */
export function describeQualification(basicReason: number, qualification: bigint, vector: number): string | undefined {
  const low = Number(qualification & 0xffff_ffffn);
  if (basicReason === (ExitReason.ExceptionOrNmi as number)) {
    return vector === 1 ? debugException(low) : vector === 14 ? `faulting linear address ${hex(qualification)}` : undefined;
  }
  return DECODERS[basicReason as ExitReason]?.(low, qualification);
}
