/** SYSCALL, SYSRET, SYSENTER, SYSEXIT. SDM volume 2; on AMD profiles SYSCALL also works outside 64-bit mode. */
import { Efer, Flag, type Cpu } from '../cpu';
import { Segment, type Insn } from '../decoder/insn';
import { R } from '../layout';
import type { SystemInstructions } from './table';

const RCX = 1,
  RDX = 2,
  RSP = 4,
  R11 = 11;
const LIMIT = 0xffff_ffff;
/** Flat segments as these instructions load them, without reading descriptors. */
const CODE64 = 0xa09b,
  CODE32 = 0xc09b,
  DATA = 0xc093;
const DPL3 = 0x60;
const SYSRET_FLAGS = 0x003c_7fd7;

function loadFlat(cpu: Cpu, cs: number, code: number, ss: number, cpl: number): void {
  const dpl = cpl === 3 ? DPL3 : 0;
  cpu.set32(R.CPL, cpl);
  cpu.setSegment(Segment.CS, cs, code | dpl, LIMIT, 0n);
  cpu.setSegment(Segment.SS, ss, DATA | dpl, LIMIT, 0n);
  cpu.modeChanged();
}

/** SYSRET. On AMD "the SS selector is changed, but SS base, limit, attributes" are not: APM volume 3, "SYSRET". */
function loadForReturn(cpu: Cpu, cs: number, code: number, ss: number): void {
  if (cpu.profile.vendor === 'intel') return loadFlat(cpu, cs, code, ss, 3);
  cpu.set32(R.CPL, 3);
  cpu.setSegment(Segment.CS, cs, code | DPL3, LIMIT, 0n);
  cpu.setSegment(Segment.SS, ss, cpu.segmentAccess(Segment.SS), cpu.segmentLimit(Segment.SS), cpu.segmentBase(Segment.SS));
  cpu.modeChanged();
}

function requireSyscall(cpu: Cpu): void {
  if ((cpu.efer & Efer.SCE) === 0 || (cpu.codeSize !== 64 && cpu.profile.vendor === 'intel')) cpu.ud();
}

function syscall(cpu: Cpu): void {
  requireSyscall(cpu);
  const selector = cpu.get32(R.STAR + 4) & 0xfffc;
  const flags = cpu.rflags();
  if (!cpu.longMode) {
    cpu.setGpr32(RCX, Number(cpu.rip & 0xffff_ffffn));
    cpu.rip = BigInt(cpu.get32(R.STAR));
    loadFlat(cpu, selector, CODE32, selector + 8, 0);
    return cpu.setRflags(flags & ~(Flag.VM | Flag.IF | Flag.RF));
  }
  cpu.setGpr(RCX, cpu.rip);
  cpu.setGpr(R11, BigInt(flags & ~Flag.RF));
  cpu.rip = cpu.get64(cpu.codeSize === 64 ? R.LSTAR : R.CSTAR);
  loadFlat(cpu, selector, CODE64, (selector + 8) & 0xffff, 0);
  cpu.setRflags(flags & ~cpu.get32(R.SFMASK) & ~Flag.RF);
}

function sysret(cpu: Cpu, insn: Insn): void {
  requireSyscall(cpu);
  cpu.requireCpl0();
  const selector = (cpu.get32(R.STAR + 4) >>> 16) | 3;
  const target = cpu.gpr(RCX);
  if (!cpu.longMode) {
    cpu.rip = target & 0xffff_ffffn;
    loadForReturn(cpu, selector, CODE32, (selector + 8) & 0xffff);
    return cpu.setRflags(cpu.rflags() | Flag.IF);
  }
  const to64 = insn.operandSize === 64;
  // Intel checks at CPL 0, AMD lets the fetch fault.
  if (to64 && cpu.profile.vendor === 'intel' && !cpu.mmu.canonical(target)) cpu.gp();
  const flags = Number(cpu.gpr(R11) & 0xffff_ffffn) & SYSRET_FLAGS;
  cpu.rip = to64 ? target : target & 0xffff_ffffn;
  loadForReturn(cpu, to64 ? selector + 16 : selector, to64 ? CODE64 : CODE32, (selector + 8) & 0xffff);
  cpu.setRflags(flags | 2);
}

function sysenter(cpu: Cpu): void {
  const selector = cpu.get32(R.SYSENTER_CS) & 0xfffc;
  if (cpu.longMode && cpu.profile.vendor === 'amd') cpu.ud();
  if (!cpu.protectedMode || selector === 0) cpu.gp();
  const flags = cpu.rflags();
  const long = cpu.longMode;
  cpu.setGpr(RSP, long ? cpu.get64(R.SYSENTER_ESP) : BigInt(cpu.get32(R.SYSENTER_ESP)));
  cpu.rip = long ? cpu.get64(R.SYSENTER_EIP) : BigInt(cpu.get32(R.SYSENTER_EIP));
  loadFlat(cpu, selector, long ? CODE64 : CODE32, selector + 8, 0);
  cpu.setRflags(flags & ~(Flag.VM | Flag.IF));
}

function sysexit(cpu: Cpu, insn: Insn): void {
  const selector = cpu.get32(R.SYSENTER_CS) & 0xfffc;
  if (cpu.longMode && cpu.profile.vendor === 'amd') cpu.ud();
  if (!cpu.protectedMode || selector === 0 || cpu.cpl !== 0) cpu.gp();
  const to64 = insn.operandSize === 64;
  const rip = cpu.gpr(RDX);
  const rsp = cpu.gpr(RCX);
  if (to64 && (!cpu.mmu.canonical(rip) || !cpu.mmu.canonical(rsp))) cpu.gp();
  cpu.setGpr(RSP, to64 ? rsp : rsp & 0xffff_ffffn);
  cpu.rip = to64 ? rip : rip & 0xffff_ffffn;
  const cs = (selector + (to64 ? 32 : 16)) | 3;
  loadFlat(cpu, cs, to64 ? CODE64 : CODE32, cs + 8, 3);
}

export const FAST_SYSCALLS: SystemInstructions = {
  SYSCALL: { execute: syscall, endsBlock: true },
  SYSRET: { execute: sysret, endsBlock: true },
  SYSENTER: { execute: sysenter, endsBlock: true },
  SYSEXIT: { execute: sysexit, endsBlock: true },
};
