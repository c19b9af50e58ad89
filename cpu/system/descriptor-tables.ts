/** LGDT, LIDT, SGDT, SIDT, LLDT, LTR, SLDT, STR. */
import { Cr4, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { Sensitive } from '../interfaces';
import { R } from '../layout';
import { loadSystemSegment } from '../segments';
import type { SystemInstructions } from './table';

function load(cpu: Cpu, insn: Insn, what: Sensitive, base: number, limit: number): void {
  cpu.requireCpl0();
  cpu.intercept(what);
  const bytes = cpu.codeSize === 64 ? 8 : 4;
  const linear = cpu.linearOf(insn, bytes + 2, false);
  const newLimit = Number(cpu.readLinear(linear, 2));
  const newBase = cpu.readLinear(linear + 2n, bytes);
  if (bytes === 8 && !cpu.mmu.canonicalForProcessor(newBase)) cpu.gp();
  // A 16-bit operand size loads 24 bits of the base.
  cpu.set64(base, bytes === 4 && insn.operandSize === 16 ? newBase & 0xff_ffffn : newBase);
  cpu.set32(limit, newLimit);
}

/** CR4.UMIP keeps user code from reading these. */
function mayStore(cpu: Cpu): void {
  if ((cpu.cr4 & Cr4.UMIP) !== 0 && cpu.cpl !== 0) cpu.gp();
}
function store(cpu: Cpu, insn: Insn, what: Sensitive, base: number, limit: number): void {
  mayStore(cpu);
  cpu.intercept(what);
  const bytes = cpu.codeSize === 64 ? 8 : 4;
  const linear = cpu.linearOf(insn, bytes + 2, true);
  cpu.mmu.probe(linear, bytes + 2, 2);
  cpu.writeLinear(linear, 2, BigInt(cpu.get32(limit)));
  cpu.writeLinear(linear + 2n, bytes, bytes === 8 ? cpu.get64(base) : BigInt(cpu.get32(base)));
}

function requireProtected(cpu: Cpu): void {
  if (!cpu.protectedMode || cpu.v86) cpu.ud();
}
const loadSelector =
  (what: Sensitive, s: typeof Segment.LDTR | typeof Segment.TR) =>
  (cpu: Cpu): void => {
    requireProtected(cpu);
    cpu.requireCpl0();
    cpu.intercept(what);
    loadSystemSegment(cpu, s, Number(cpu.readOperand(0, 16)));
  };
const storeSelector =
  (what: Sensitive, s: number) =>
  (cpu: Cpu, insn: Insn): void => {
    requireProtected(cpu);
    mayStore(cpu);
    cpu.intercept(what);
    cpu.writeOperand(0, BigInt(cpu.selector(s)), insn.form === 'm' ? 16 : insn.operandSize);
  };

export const DESCRIPTOR_TABLES: SystemInstructions = {
  LGDT: { execute: (cpu, insn) => load(cpu, insn, Sensitive.LGDT, R.GDTR_BASE, R.GDTR_LIMIT), endsBlock: true },
  LIDT: { execute: (cpu, insn) => load(cpu, insn, Sensitive.LIDT, R.IDTR_BASE, R.IDTR_LIMIT), endsBlock: true },
  SGDT: { execute: (cpu, insn) => store(cpu, insn, Sensitive.SGDT, R.GDTR_BASE, R.GDTR_LIMIT), endsBlock: false },
  SIDT: { execute: (cpu, insn) => store(cpu, insn, Sensitive.SIDT, R.IDTR_BASE, R.IDTR_LIMIT), endsBlock: false },
  LLDT: { execute: loadSelector(Sensitive.LLDT, Segment.LDTR), endsBlock: true },
  LTR: { execute: loadSelector(Sensitive.LTR, Segment.TR), endsBlock: true },
  SLDT: { execute: storeSelector(Sensitive.SLDT, Segment.LDTR), endsBlock: false },
  STR: { execute: storeSelector(Sensitive.STR, Segment.TR), endsBlock: false },
};
