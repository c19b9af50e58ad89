/** Compares one decoded instruction with iced-x86, field by field. */
import { Code, CpuidFeature, DecoderOptions, Decoder, EncodingKind, Instruction, MemorySizeExt, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import { decode } from '../../../cpu/decoder/decode';
import { NO_REGISTER, RIP_BASE, Segment, type CodeSize, type Insn } from '../../../cpu/decoder/insn';

/** Extensions that the modelled processor does not have. */
const ABSENT_FEATURES = new Set(
  (
    'SSE4A D3NOW PADLOCK_RNG PADLOCK_ACE PADLOCK_PHE PADLOCK_PMM PADLOCK_GMI PADLOCK_UNDOC AESKLE WIDE_KL KL GFNI MOVDIRI MOVDIR64B ENQCMD MCOMMIT MONITORX ' +
    'CLZERO INVLPGB RDPRU SNP RMPQUERY SERIALIZE TSXLDTRK UINTR WAITPKG PTWRITE PCONFIG HRESET FRED LKGS MSRLIST WRMSRNS SEAM SEAM_IO TDX ENCLV SGX1 OSS RAO_INT TME'
  ).split(' '),
);
/** CET is absent too, but those of its instructions that lie in the hint space stay NOPs. */
const ABSENT_CODES = /^(Incssp|Rstorssp|Saveprevssp|Setssbsy|Clrssbsy|Wrss|Wruss|Via_undoc|Xstore|Xcrypt|Xsha|Ccs_|Montmul|Pbndkb|Femms|Pvalidate|Psmash|Rmp)/;

/** iced-x86 mnemonic -> Insn.op where they differ by more than case. */
const RENAMED: Readonly<Record<string, string>> = {
  ...Object.fromEntries('PREFETCHNTA PREFETCHT0 PREFETCHT1 PREFETCHT2 PREFETCHW PREFETCHWT1'.split(' ').map((name) => [name, 'PREFETCH'])),
  ...Object.fromEntries(
    'RESERVEDNOP PREFETCHIT0 PREFETCHIT1 CLDEMOTE RDSSPD RDSSPQ ENDBR32 ENDBR64 BNDMK BNDMOV BNDLDX BNDSTX BNDCL BNDCU BNDCN'
      .split(' ')
      .map((name) => [name, 'NOP']),
  ),
  ...Object.fromEntries(['MOVS', 'CMPS', 'STOS', 'LODS', 'SCAS', 'INS', 'OUTS'].flatMap((name) => ['B', 'W', 'D', 'Q'].map((width) => [name + width, name]))),
  ...Object.fromEntries(['IRET', 'PUSHF', 'POPF', 'PUSHA', 'POPA'].flatMap((name) => ['D', 'Q'].map((width) => [name + width, name]))),
  ...Object.fromEntries(['FXSAVE', 'FXRSTOR', 'XSAVE', 'XRSTOR', 'XSAVEC', 'XSAVES', 'XSAVEOPT', 'XRSTORS'].map((name) => [`${name}64`, name])),
  WAIT: 'FWAIT',
  XLATB: 'XLAT',
  SAL: 'SHL',
  CWDE: 'CBW',
  CDQE: 'CBW',
  CDQ: 'CWD',
  CQO: 'CWD',
  JECXZ: 'JCXZ',
  JRCXZ: 'JCXZ',
  MOVSXD: 'MOVSX',
  FSTPNCE: 'FSTP',
  FNENI: 'FNOP',
  FNDISI: 'FNOP',
  FNSETPM: 'FNOP',
  VMGEXIT: 'VMMCALL',
  SYSRETQ: 'SYSRET',
  SYSEXITQ: 'SYSEXIT',
  GETSECQ: 'GETSEC',
  PCMPESTRM64: 'PCMPESTRM',
  PCMPESTRI64: 'PCMPESTRI',
  UD0: 'UD',
  UD1: 'UD',
  UD2: 'UD',
};

function expectedOp(insn: Instruction): string {
  const code = Code[insn.code];
  const name = Mnemonic[insn.mnemonic].toUpperCase();
  if (/^(Jmp|Call)_(rm|m)/.test(code)) return /_m16/.test(code) ? `${name}F` : `${name}I`;
  if (/^(Jmp|Call)_ptr/.test(code)) return `${name}F`;
  if (/^Imul_rm\d+$/.test(code)) return 'IMUL1';
  if (/^Mov_(r\d+_cr|cr)/.test(code)) return 'MOV_CR';
  if (/^Mov_(r\d+_dr|dr)/.test(code)) return 'MOV_DR';
  if (/^Mov_(r\d+m16_Sreg|rm16_Sreg|Sreg)/.test(code)) return 'MOV_SEG';
  if (/^(Push|Pop)[wdq]_[C-GS]S$/.test(code)) return `${name}_SEG`;
  if (/^(Movsd|Cmpsd)_xmm/.test(code)) return `${name}_SSE`;
  if (/^J[a-z]+_rel/.test(code) && insn.conditionCode !== 0 && !/CXZ$/.test(name)) return 'JCC';
  if (/^Set[a-z]+_rm8$/.test(code)) return 'SETCC';
  if (/^Cmov/.test(code)) return 'CMOVCC';
  return RENAMED[name] ?? name;
}

/** Operands that iced-x86 lists and Insn implies, by op. */
function isImplied(insn: Insn, code: string, operand: number, kind: OpKind, register: Register): boolean {
  if (kind >= OpKind.MemorySegSI && kind <= OpKind.MemoryESRDI) return true;
  switch (insn.op) {
    case 'IN':
    case 'OUT':
    case 'INS':
    case 'OUTS':
      return kind === OpKind.Register;
    case 'MOVS':
    case 'STOS':
    case 'LODS':
    case 'SCAS':
    case 'XLAT':
    case 'VMRUN':
    case 'VMLOAD':
    case 'VMSAVE':
    case 'SKINIT':
    case 'INVLPGA':
      return true;
    case 'PBLENDVB':
    case 'BLENDVPS':
    case 'BLENDVPD':
    case 'SHA256RNDS2':
      return operand === 2;
    case 'FCOM':
    case 'FCOMP':
    case 'FUCOM':
    case 'FUCOMP':
    case 'FXCH':
      return register === Register.ST0 && operand === 0;
    case 'FST':
    case 'FSTP':
    case 'FLD':
      return /sti_st0|st0_sti/.test(code) && operand === (/sti_st0/.test(code) ? 1 : 0);
    default:
      return false;
  }
}

const SEGMENTS = [Register.ES, Register.CS, Register.SS, Register.DS, Register.FS, Register.GS];

/** [form character, Insn register number, size in bits where the number alone does not tell] */
function describeRegister(register: Register): readonly [string, number, number | undefined] {
  const number = RegisterExt.number(register);
  if (register >= Register.AL && register <= Register.R15L) {
    const high = register >= Register.AH && register <= Register.BH;
    return ['r', high ? 16 + register - Register.AH : register >= Register.SPL ? register - Register.SPL + 4 : number, 8];
  }
  if (RegisterExt.isGPR(register)) return ['r', number, RegisterExt.size(register) * 8];
  if (RegisterExt.isXMM(register)) return ['x', number, undefined];
  if (RegisterExt.isMM(register)) return ['q', number, undefined];
  if (RegisterExt.isST(register)) return ['t', number, undefined];
  if (RegisterExt.isCR(register)) return ['k', number, undefined];
  if (RegisterExt.isDR(register)) return ['d', number, undefined];
  return ['s', SEGMENTS.indexOf(register), undefined];
}

const mask = (value: bigint, bits: number): bigint => BigInt.asUintN(bits, value);
const immediate = (insn: Insn): bigint => (BigInt(insn.immHigh) << 32n) | BigInt(insn.imm >>> 0);

const IMMEDIATE_BITS = new Map<OpKind, number>([
  [OpKind.Immediate8, 8],
  [OpKind.Immediate16, 16],
  [OpKind.Immediate32, 32],
  [OpKind.Immediate64, 64],
  [OpKind.Immediate8to16, 16],
  [OpKind.Immediate8to32, 32],
  [OpKind.Immediate8to64, 64],
  [OpKind.Immediate32to64, 64],
]);

/** Memory operands whose width is not that of one datum, or which Insn.size describes otherwise. */
const UNSIZED = new Set(
  'LEA PREFETCH BOUND LES LDS LSS LFS LGS CALLF JMPF SGDT SIDT LGDT LIDT FXSAVE FXRSTOR XSAVE XRSTOR XSAVEC XSAVES XSAVEOPT XRSTORS CLFLUSH CLFLUSHOPT CLWB INVLPG'.split(
    ' ',
  ),
);

class Differences {
  readonly list: string[] = [];
  check(what: string, actual: unknown, expected: unknown): void {
    if (actual !== expected) this.list.push(`${what} ${actual}, iced-x86 has ${expected}`);
  }
}

/** iced-x86 reports ES, CS, SS and DS overrides in 64-bit mode, where they have no effect. */
function effectiveSegment(insn: Insn, expected: Instruction, implied: number): number {
  const segment = SEGMENTS.indexOf(expected.memorySegment);
  return insn.codeSize === 64 && segment < Segment.FS ? implied : segment;
}

function compareMemory(differences: Differences, insn: Insn, expected: Instruction): void {
  const base = expected.memoryBase;
  const index = expected.memoryIndex;
  const ripRelative = base === Register.RIP || base === Register.EIP;
  differences.check('base', insn.base, base === Register.None ? NO_REGISTER : ripRelative ? RIP_BASE : RegisterExt.number(base));
  differences.check('index', insn.index, index === Register.None ? NO_REGISTER : RegisterExt.number(index));
  if (index !== Register.None) differences.check('scale', 1 << insn.scale, expected.memoryIndexScale);
  const displacement = BigInt(insn.disp) + BigInt(ripRelative ? insn.length : 0);
  differences.check('disp', mask(displacement, insn.addressSize), mask(expected.memoryDisplacement, insn.addressSize));
  const stack = base === Register.RSP || base === Register.RBP || base === Register.ESP || base === Register.EBP;
  differences.check('segment', insn.segment, effectiveSegment(insn, expected, stack ? Segment.SS : Segment.DS));
  const addressRegister = base === Register.None ? index : base;
  if (addressRegister !== Register.None) differences.check('addressSize', insn.addressSize, RegisterExt.size(addressRegister) * 8);
  const width = insn.form[0] === 'm' ? insn.size : insn.ssize;
  const expectedWidth = MemorySizeExt.size(expected.memorySize) * 8;
  if (!UNSIZED.has(insn.op) && expectedWidth !== 0) differences.check('memory width', width, expectedWidth);
}

/** Ops whose GPR operand is not `size` / `ssize` bits wide, or is named by another width of the same register. */
const REGISTER_WIDTH_FREE = new Set('ARPL LAR LSL MOV_SEG LLDT LTR LMSW VERR VERW PEXTRB PEXTRW PINSRB PINSRW EXTRACTPS'.split(' '));

function compareOperands(differences: Differences, insn: Insn, expected: Instruction): void {
  const code = Code[expected.code];
  const slots = [insn.dst, insn.src, insn.src2];
  let form = '';
  for (let operand = 0; operand < expected.opCount; operand++) {
    const kind = expected.opKind(operand);
    const register = kind === OpKind.Register ? expected.opRegister(operand) : Register.None;
    if (isImplied(insn, code, operand, kind, register)) continue;
    const position = form.length;
    if (kind === OpKind.Register) {
      const [character, number, width] = describeRegister(register);
      const count = register === Register.CL && /_CL$/.test(code) && operand === expected.opCount - 1;
      form += count ? 'c' : character;
      if (count) continue;
      differences.check(`register ${position}`, slots[position], number);
      if (width !== undefined && !REGISTER_WIDTH_FREE.has(insn.op) && position < 2)
        differences.check(`width ${position}`, position === 0 ? insn.size : insn.ssize, width);
    } else if (kind === OpKind.Memory) {
      if (/moffs/.test(code)) {
        form += 'o';
        differences.check('moffs', mask(immediate(insn), insn.addressSize), mask(expected.memoryDisplacement, insn.addressSize));
        differences.check('segment', insn.segment, effectiveSegment(insn, expected, Segment.DS));
        differences.check('immHigh', insn.addressSize === 64 || insn.immHigh === 0, true);
      } else {
        form += 'm';
        compareMemory(differences, insn, expected);
      }
    } else if (kind === OpKind.NearBranch16 || kind === OpKind.NearBranch32 || kind === OpKind.NearBranch64) {
      form += 'j';
      const bits = insn.op === 'XBEGIN' ? Math.max(32, insn.codeSize) : insn.operandSize;
      differences.check('target', mask(BigInt(insn.length + insn.imm), bits), mask(expected.nearBranchTarget, 64));
    } else if (kind === OpKind.FarBranch16 || kind === OpKind.FarBranch32) {
      form += 'p';
      differences.check('offset', insn.imm >>> 0, kind === OpKind.FarBranch16 ? expected.farBranch16 : expected.farBranch32);
      differences.check('selector', insn.imm2, expected.farBranchSelector);
    } else if (kind === OpKind.Immediate8_2nd) {
      form += 'i';
      differences.check('imm2', insn.imm2, expected.immediate8_2nd);
    } else {
      form += 'i';
      const bits = IMMEDIATE_BITS.get(kind);
      if (bits === undefined) throw new Error(`operand kind ${OpKind[kind]}`);
      differences.check('imm', mask(immediate(insn), bits), mask(expected.immediate(operand), bits));
    }
  }
  differences.check('form', insn.form, form);
}

function compareValid(insn: Insn, expected: Instruction, differences: Differences): void {
  differences.check('op', insn.op, expectedOp(expected));
  differences.check('length', insn.length, expected.length);
  differences.check('lock', insn.lock, expected.hasLockPrefix);
  if (/^(JCC|SETCC|CMOVCC)$/.test(insn.op)) differences.check('cc', insn.cc, expected.conditionCode - 1);
  if (/^(MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)$/.test(insn.op)) {
    differences.check('rep', insn.rep, expected.hasRepnePrefix ? 0xf2 : expected.hasRepPrefix ? 0xf3 : 0);
    const source = [0, 1].find(
      (operand) => operand < expected.opCount && expected.opKind(operand) >= OpKind.MemorySegSI && expected.opKind(operand) <= OpKind.MemorySegRDI,
    );
    differences.check('segment', insn.segment, source === undefined ? Segment.ES : effectiveSegment(insn, expected, Segment.DS));
    differences.check('size', insn.size, MemorySizeExt.size(expected.memorySize) * 8);
  }
  // A hint has one operand here, whatever a disassembler shows.
  if (insn.op !== 'NOP' && insn.op !== 'UD') compareOperands(differences, insn, expected);
}

function isAbsent(expected: Instruction): boolean {
  if (expected.encoding !== EncodingKind.Legacy) return true;
  if (ABSENT_CODES.test(Code[expected.code])) return true;
  return Array.from(expected.cpuidFeatures(), (feature) => CpuidFeature[feature]).some((name) => ABSENT_FEATURES.has(name));
}

/** SDM: 90 with REX.B is XCHG, also after F3; iced-x86 calls it PAUSE. */
const isPauseWithRexB = (insn: Insn, expected: Instruction): boolean => insn.op === 'XCHG' && expected.mnemonic === Mnemonic.Pause;

export class IcedOracle {
  private readonly expected = new Instruction();

  /** The first difference between the decoder and iced-x86 for the instruction at the start of `bytes`, or ''. */
  difference(bytes: Uint8Array, codeSize: CodeSize, at = 0): string {
    const end = Math.min(bytes.length, at + 32);
    const insn = decode(bytes, at, end, codeSize);
    const window = bytes.subarray(at, end);
    const decoder = new Decoder(codeSize, window, DecoderOptions.None);
    decoder.decodeOut(this.expected);
    decoder.free();
    const expected = this.expected;
    const differences = new Differences();
    if (insn === undefined) differences.check('decoded', false, expected.code !== Code.INVALID);
    else if (expected.code === Code.INVALID || isAbsent(expected)) differences.check('invalid', insn.op === 'UD' || insn.op === 'TOO_LONG', true);
    else if (!isPauseWithRexB(insn, expected)) compareValid(insn, expected, differences);
    if (differences.list.length === 0) return '';
    return `${codeSize}-bit ${Buffer.from(window).toString('hex')} ${insn?.op} ${insn?.form} / ${Code[expected.code]}: ${differences.list.join('; ')}`;
  }
}
