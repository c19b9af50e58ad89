import { Flag, Vector, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { EventType, Sensitive } from '../interfaces';
import { R } from '../layout';
import { fetchDescriptor, loadCs, loadDataSegment, loadSystemSegment } from '../segments';
import type { SystemInstructions } from './table';
const stackLinear = (cpu: Cpu, sp: bigint, n: number, w: boolean) => (cpu.codeSize === 64 ? sp : cpu.linear(Segment.SS, sp & cpu.get64(R.STACK_MASK), n, w));
function push(cpu: Cpu, v: bigint, n: number): void {
  const sp = cpu.gpr(4) - BigInt(n);
  cpu.writeLinear(stackLinear(cpu, BigInt.asUintN(64, sp), n, true), n, BigInt.asUintN(n * 8, v));
  cpu.setGpr(4, sp);
}
function popAt(cpu: Cpu, off: number, n: number): bigint {
  return cpu.readLinear(stackLinear(cpu, cpu.gpr(4) + BigInt(off), n, false), n);
}
function farJump(cpu: Cpu, selector: number, offset: bigint, size: number, isCall: boolean): void {
  if (!cpu.protectedMode || cpu.v86) {
    if (isCall) {
      const ip = cpu.nextRip();
      push(cpu, BigInt(cpu.selector(Segment.CS)), size / 8);
      push(cpu, ip, size / 8);
    }
    cpu.setSegment(Segment.CS, selector, cpu.segmentAccess(Segment.CS), cpu.segmentLimit(Segment.CS), BigInt(selector << 4));
    cpu.modeChanged();
    cpu.rip = offset;
    return;
  }
  if ((selector & 0xfffc) === 0) cpu.gp();
  const d = fetchDescriptor(cpu, selector);
  if ((d.access & 0x18) !== 0x18) cpu.gp(selector & 0xfffc);
  if ((d.access & 0x80) === 0) cpu.raise(Vector.NP, selector & 0xfffc);
  if (isCall) {
    const ip = cpu.nextRip();
    push(cpu, BigInt(cpu.selector(Segment.CS)), size / 8);
    push(cpu, ip, size / 8);
  }
  loadCs(cpu, selector, d, cpu.cpl);
  cpu.rip = size === 16 ? offset & 0xffffn : offset;
}
function far(cpu: Cpu, i: Insn, call: boolean): void {
  if (i.form === 'p') return farJump(cpu, i.imm2, BigInt(i.imm >>> 0), i.operandSize, call);
  const n = i.operandSize / 8;
  const a = cpu.linearOf(i, n + 2, false);
  const off = cpu.readLinear(a, n);
  const sel = Number(cpu.readLinear(a + BigInt(n), 2));
  farJump(cpu, sel, off, i.operandSize, call);
}
function retf(cpu: Cpu, i: Insn): void {
  const n = i.operandSize / 8;
  const ip = popAt(cpu, 0, n);
  const cs = Number(popAt(cpu, n, n) & 0xffffn);
  const extra = i.imm & 0xffff;
  const cpl = cpu.cpl;
  if (!cpu.protectedMode) {
    cpu.setGpr(4, cpu.gpr(4) + BigInt(2 * n + extra));
    return farJump(cpu, cs, ip, i.operandSize, false);
  }
  if ((cs & 3) === cpl) {
    const d = fetchDescriptor(cpu, cs);
    if ((d.access & 0x18) !== 0x18) cpu.gp(cs & 0xfffc);
    cpu.setGpr(4, cpu.gpr(4) + BigInt(2 * n + extra));
    loadCs(cpu, cs, d, cpl);
    cpu.rip = ip;
    return;
  }
  const sp = popAt(cpu, 2 * n + extra, n);
  const ss = Number(popAt(cpu, 3 * n + extra, n) & 0xffffn);
  const d = fetchDescriptor(cpu, cs);
  loadCs(cpu, cs, d, cs & 3);
  if ((ss & 0xfffc) === 0) cpu.setSegment(Segment.SS, ss, 0x1_0000, 0, 0n);
  else loadDataSegment(cpu, Segment.SS, ss);
  cpu.setGpr(4, sp + BigInt(extra));
  cpu.rip = ip;
}
function iret(cpu: Cpu, i: Insn): void {
  cpu.intercept(Sensitive.IRET);
  const n = i.operandSize / 8;
  const ip = popAt(cpu, 0, n),
    cs = Number(popAt(cpu, n, n) & 0xffffn),
    fl = Number(popAt(cpu, 2 * n, n) & 0xffff_ffffn);
  const cpl = cpu.cpl;
  if (!cpu.protectedMode) {
    cpu.setGpr(4, cpu.gpr(4) + BigInt(3 * n));
    farJump(cpu, cs, ip, i.operandSize, false);
    cpu.setRflags((fl & 0x25_7fd5) | (cpu.rflags() & 0x1a_0000));
    cpu.nmiBlocked = false;
    return;
  }
  if ((cs & 0xfffc) === 0) cpu.gp();
  const d = fetchDescriptor(cpu, cs);
  const rpl = cs & 3;
  if ((d.access & 0x18) !== 0x18 || rpl < cpl) cpu.gp(cs & 0xfffc);
  if ((d.access & 0x80) === 0) cpu.raise(Vector.NP, cs & 0xfffc);
  let mask = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.TF | Flag.DF | Flag.OF | Flag.NT | Flag.RF | Flag.AC | Flag.ID;
  if (n === 2) mask &= 0xffff;
  if (cpl <= cpu.iopl) mask |= Flag.IF;
  if (cpl === 0) mask |= Flag.IOPL | (n === 2 ? 0 : Flag.VIF | Flag.VIP);
  const newFlags = (cpu.rflags() & ~mask) | (fl & mask);
  if ((cpu.longMode && cpu.codeSize === 64) || rpl > cpl) {
    const sp = popAt(cpu, 3 * n, n),
      ss = Number(popAt(cpu, 4 * n, n) & 0xffffn);
    const to64 = cpu.longMode && (d.access & 0x2000) !== 0;
    let sd: ReturnType<typeof fetchDescriptor> | undefined;
    if ((ss & 0xfffc) === 0) {
      if (!to64 || rpl === 3) cpu.gp();
    } else {
      sd = fetchDescriptor(cpu, ss);
      if ((sd.access & 0x1a) !== 0x12 || ((sd.access >>> 5) & 3) !== rpl || (ss & 3) !== rpl) cpu.gp(ss & 0xfffc);
      if ((sd.access & 0x80) === 0) cpu.raise(Vector.SS, ss & 0xfffc);
    }
    loadCs(cpu, cs, d, rpl);
    if (sd) cpu.setSegment(Segment.SS, ss, sd.access | 1, sd.limit, BigInt(sd.base));
    else cpu.setSegment(Segment.SS, ss, 0x1_0000 | (rpl << 5), 0, 0n);
    cpu.modeChanged();
    if (cpu.codeSize === 64 || cpu.segmentAccess(Segment.SS) & 0x4000) cpu.setGpr(4, sp);
    else cpu.setGpr16(4, Number(sp & 0xffffn));
    if (rpl > cpl)
      for (const s of [Segment.ES, Segment.DS, Segment.FS, Segment.GS]) {
        const a = cpu.segmentAccess(s);
        if ((a & 0x1_0000) === 0 && ((a >>> 5) & 3) < rpl && (a & 0x1c) !== 0x1c) cpu.setSegment(s, 0, 0x1_0000, 0, cpu.segmentBase(s));
      }
  } else {
    loadCs(cpu, cs, d, rpl);
    cpu.setGpr(4, cpu.gpr(4) + BigInt(3 * n));
  }
  cpu.rip = n === 8 ? ip : ip & 0xffff_ffffn;
  cpu.setRflags(newFlags);
  cpu.nmiBlocked = false;
  cpu.interception?.nmiUnblocked();
  cpu.attention = true;
}
function syscall(cpu: Cpu, i: Insn): void {
  if (cpu.codeSize !== 64 || (cpu.efer & 1) === 0) cpu.ud();
  cpu.setGpr(1, cpu.rip);
  const f = cpu.rflags();
  cpu.setGpr(11, BigInt(f & ~Flag.RF));
  cpu.rip = cpu.get64(R.LSTAR);
  const star = cpu.get32(R.STAR + 4) & 0xffff;
  cpu.set32(R.CPL, 0);
  cpu.setSegment(Segment.CS, star & 0xfffc, 0xa09b, 0xffff_ffff, 0n);
  cpu.setSegment(Segment.SS, (star + 8) & 0xffff, 0xc093, 0xffff_ffff, 0n);
  cpu.modeChanged();
  cpu.setRflags(f & ~cpu.get32(R.SFMASK) & ~Flag.RF);
  void i;
}
function sysret(cpu: Cpu, i: Insn): void {
  if (cpu.codeSize !== 64 || (cpu.efer & 1) === 0) cpu.ud();
  cpu.requireCpl0();
  const star = cpu.get32(R.STAR + 4) >>> 16;
  cpu.set32(R.CPL, 3);
  const f = Number(cpu.gpr(11) & 0xffff_ffffn);
  if (i.operandSize === 64) {
    cpu.rip = cpu.gpr(1);
    cpu.setSegment(Segment.CS, (star + 16) | 3, 0xa0fb, 0xffff_ffff, 0n);
  } else {
    cpu.rip = cpu.gpr(1) & 0xffff_ffffn;
    cpu.setSegment(Segment.CS, star | 3, 0xc0fb, 0xffff_ffff, 0n);
  }
  cpu.setSegment(Segment.SS, (star + 8) | 3, 0xc0f3, 0xffff_ffff, 0n);
  cpu.modeChanged();
  cpu.setRflags((f & 0x3c_7fd7) | 2);
  cpu.attention = true;
}
const int =
  (vector: number | undefined, type: EventType) =>
  (cpu: Cpu, i: Insn): void => {
    cpu.raiseEvent({ vector: vector ?? i.imm & 0xff, type, errorCode: undefined, payload: 0n, length: i.length });
  };
const end = (execute: (c: Cpu, i: Insn) => void) => ({ execute, endsBlock: true }),
  mid = (execute: (c: Cpu, i: Insn) => void) => ({ execute, endsBlock: false });
const lfar = (s: number) =>
  end((cpu, i) => {
    const n = i.operandSize / 8;
    const a = cpu.linearOf(i, n + 2, false);
    const off = cpu.readLinear(a, n);
    loadDataSegment(cpu, s, Number(cpu.readLinear(a + BigInt(n), 2)));
    cpu.setGprSized(i.dst, i.operandSize, off);
  });
const table =
  (base: number, limit: number, load: boolean) =>
  (cpu: Cpu, i: Insn): void => {
    const n = cpu.codeSize === 64 ? 8 : 4;
    if (load) {
      cpu.requireCpl0();
      const a = cpu.linearOf(i, n + 2, false);
      const l = Number(cpu.readLinear(a, 2));
      let b = cpu.readLinear(a + 2n, n);
      if (i.operandSize === 16) b &= 0xff_ffffn;
      cpu.set64(base, b);
      cpu.set32(limit, l);
    } else {
      const a = cpu.linearOf(i, n + 2, true);
      cpu.writeLinear(a, 2, BigInt(cpu.get32(limit)));
      cpu.writeLinear(a + 2n, n, cpu.get64(base) & (n === 8 ? (1n << 64n) - 1n : 0xffff_ffffn));
    }
  };
export const TRANSFER_INSTRUCTIONS: SystemInstructions = {
  CALLF: end((c, i) => far(c, i, true)),
  JMPF: end((c, i) => far(c, i, false)),
  RETF: end(retf),
  IRET: end(iret),
  SYSCALL: end(syscall),
  SYSRET: end(sysret),
  INT: end(int(undefined, EventType.SoftwareInterrupt)),
  INT3: end(int(3, EventType.SoftwareException)),
  INT1: end(int(1, EventType.PrivilegedSoftwareException)),
  INTO: end((c, i) => {
    if (c.rflags() & Flag.OF) int(4, EventType.SoftwareException)(c, i);
  }),
  MOV_SEG: end((cpu, i) => {
    if (i.form[0] === 's') {
      const v = i.form[1] === 'm' ? Number(cpu.readLinear(cpu.linearOf(i, 2, false), 2)) : cpu.gpr16(i.src);
      loadDataSegment(cpu, i.dst, v);
      if (i.dst === Segment.SS) {
        cpu.shadowAt = cpu.retired() + 1;
        cpu.shadowByMovSs = true;
      }
    } else {
      const v = BigInt(cpu.selector(i.src));
      if (i.form[0] === 'm') cpu.writeLinear(cpu.linearOf(i, 2, true), 2, v);
      else cpu.setGprSized(i.dst, i.operandSize, v);
    }
  }),
  PUSH_SEG: end((cpu, i) => push(cpu, BigInt(cpu.selector(i.src)), i.size / 8)),
  POP_SEG: end((cpu, i) => {
    const v = Number(popAt(cpu, 0, i.size / 8) & 0xffffn);
    loadDataSegment(cpu, i.dst, v);
    cpu.setGpr(4, cpu.gpr(4) + BigInt(i.size / 8));
  }),
  LES: lfar(0),
  LDS: lfar(3),
  LSS: lfar(2),
  LFS: lfar(4),
  LGS: lfar(5),
  LGDT: end(table(R.GDTR_BASE, R.GDTR_LIMIT, true)),
  LIDT: end(table(R.IDTR_BASE, R.IDTR_LIMIT, true)),
  SGDT: mid(table(R.GDTR_BASE, R.GDTR_LIMIT, false)),
  SIDT: mid(table(R.IDTR_BASE, R.IDTR_LIMIT, false)),
  LLDT: end((c) => {
    c.requireCpl0();
    loadSystemSegment(c, Segment.LDTR, Number(c.readOperand(0, 16)));
  }),
  LTR: end((c) => {
    c.requireCpl0();
    loadSystemSegment(c, Segment.TR, Number(c.readOperand(0, 16)));
  }),
  STR: mid((c, i) => {
    const v = BigInt(c.selector(Segment.TR));
    if (i.form === 'm') c.writeOperand(0, v, 16);
    else c.writeOperand(0, v, i.operandSize);
  }),
  SLDT: mid((c, i) => {
    const v = BigInt(c.selector(Segment.LDTR));
    if (i.form === 'm') c.writeOperand(0, v, 16);
    else c.writeOperand(0, v, i.operandSize);
  }),
  VERW: mid((c) => {
    c.readOperand(0, 16);
    c.setArithmetic(c.rflags() | Flag.ZF);
  }),
  VERR: mid((c) => {
    c.readOperand(0, 16);
    c.setArithmetic(c.rflags() | Flag.ZF);
  }),
  LSL: mid((c, i) => {
    const s = Number(c.readOperand(1, 16));
    try {
      const d = fetchDescriptor(c, s);
      c.setGprSized(i.dst, i.size, BigInt(d.limit));
      c.setArithmetic(c.rflags() | Flag.ZF);
    } catch {
      c.fault = undefined;
      c.setArithmetic(c.rflags() & ~Flag.ZF);
    }
  }),
  LAR: mid((c, i) => {
    const s = Number(c.readOperand(1, 16));
    try {
      const d = fetchDescriptor(c, s);
      c.setGprSized(i.dst, i.size, BigInt(d.high & 0xf0ff00));
      c.setArithmetic(c.rflags() | Flag.ZF);
    } catch {
      c.fault = undefined;
      c.setArithmetic(c.rflags() & ~Flag.ZF);
    }
  }),
};
