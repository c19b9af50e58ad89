/** x87 control: FNINIT to FRSTOR, FWAIT, FNOP, and EMMS. SDM volume 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and FSAVE/FNSAVE". */
import { Cr0, Vector, type Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import { R } from '../layout';
import { Access } from '../mmu';
import { readBlock, writeBlock } from '../system/linear-block';
import type { SystemInstructions } from '../system/table';
import { Kind } from './float-format';
import {
  Fcw,
  Fsw,
  TOP_SHIFT,
  begin,
  isEmpty,
  pendingException,
  read,
  recordPointers,
  requireX87,
  setC1,
  setTop,
  significandOf,
  signExponentOf,
  summarise,
  top,
} from './x87-state';

const REGISTER_BYTES = 10;
const image = new Uint8Array(28 + 8 * REGISTER_BYTES);
const view = new DataView(image.buffer);

/** Two bits a physical register: valid, zero, special, empty. */
function tagWord(cpu: Cpu): number {
  let word = 0;
  for (let i = 0; i < 8; i++) word |= tagOf(cpu, i) << (2 * ((top(cpu) + i) & 7));
  return word;
}

function tagOf(cpu: Cpu, i: number): number {
  if (isEmpty(cpu, i)) return 3;
  const value = read(cpu, i);
  return value.kind === Kind.Zero ? 1 : value.kind === Kind.Finite && !value.denormal ? 0 : 2;
}

function abridged(tags: number): number {
  let bits = 0;
  for (let i = 0; i < 8; i++) if (((tags >>> (2 * i)) & 3) !== 3) bits |= 1 << i;
  return bits;
}

// ---- the environment in memory: 14 or 28 bytes, protected-mode or real-address-mode format ----

/** FIP and FDP are linear addresses in real-address and virtual-8086 mode. */
const isReal = (cpu: Cpu): boolean => !cpu.protectedMode || cpu.v86;
const environmentBytes = (insn: Insn): number => (insn.operandSize === 16 ? 14 : 28);

function storeEnvironment(cpu: Cpu, bytes: number): void {
  const words = [cpu.get32(R.FCW), cpu.get32(R.FSW), tagWord(cpu)];
  const fop = cpu.get32(R.FOP) & 0x7ff;
  const fip = cpu.get32(R.FIP);
  const fdp = cpu.get32(R.FDP);
  const real = isReal(cpu);
  if (bytes === 14) {
    // The selectors are 0; in the real format the upper four bits of the 20-bit addresses stand above FOP.
    words.push(fip & 0xffff, real ? ((fip >>> 4) & 0xf000) | fop : 0, fdp & 0xffff, real ? (fdp >>> 4) & 0xf000 : 0);
    words.forEach((word, i) => view.setUint16(2 * i, word, true));
    return;
  }
  words.forEach((word, i) => view.setUint32(4 * i, (0xffff_0000 | word) >>> 0, true));
  view.setUint32(12, real ? (0xffff_0000 | fip) >>> 0 : fip, true);
  view.setUint32(16, real ? ((fip >>> 16) << 12) | fop : fop << 16, true);
  view.setUint32(20, real ? (0xffff_0000 | fdp) >>> 0 : fdp, true);
  view.setUint32(24, real ? (fdp >>> 16) << 12 : 0xffff_0000, true);
}

function loadEnvironment(cpu: Cpu, bytes: number): void {
  const stride = bytes / 7;
  cpu.set32(R.FCW, (view.getUint16(0, true) & Fcw.WRITABLE) | Fcw.ALWAYS);
  cpu.set32(R.FSW, view.getUint16(stride, true));
  cpu.set32(R.FTW, abridged(view.getUint16(2 * stride, true)));
  summarise(cpu);
  const real = isReal(cpu);
  let fip: number, fdp: number, fop: number;
  if (bytes === 14) {
    const upper = view.getUint16(8, true);
    fip = view.getUint16(6, true) | (real ? (upper & 0xf000) << 4 : 0);
    fop = real ? upper & 0x7ff : cpu.get32(R.FOP);
    fdp = view.getUint16(10, true) | (real ? (view.getUint16(12, true) & 0xf000) << 4 : 0);
  } else {
    const upper = view.getUint32(16, true);
    fip = real ? view.getUint16(12, true) | ((upper >>> 12) << 16) : view.getUint32(12, true);
    fop = real ? upper & 0x7ff : (upper >>> 16) & 0x7ff;
    fdp = real ? view.getUint16(20, true) | ((view.getUint32(24, true) >>> 12) << 16) : view.getUint32(20, true);
  }
  cpu.set64(R.FIP, BigInt(fip >>> 0));
  cpu.set64(R.FDP, BigInt(fdp >>> 0));
  cpu.set32(R.FOP, fop);
}

function fnstenv(cpu: Cpu, insn: Insn): void {
  requireX87(cpu);
  const bytes = environmentBytes(insn);
  const linear = cpu.linearOf(insn, bytes, true);
  cpu.mmu.probe(linear, bytes, Access.Write);
  storeEnvironment(cpu, bytes);
  writeBlock(cpu, linear, image, 0, bytes);
  cpu.set32(R.FCW, cpu.get32(R.FCW) | Fcw.MASKS);
  summarise(cpu);
}

function fldenv(cpu: Cpu, insn: Insn): void {
  requireX87(cpu);
  pendingException(cpu);
  const bytes = environmentBytes(insn);
  const linear = cpu.linearOf(insn, bytes, false);
  cpu.mmu.probe(linear, bytes, Access.Read);
  readBlock(cpu, linear, image, 0, bytes);
  loadEnvironment(cpu, bytes);
}

function fnsave(cpu: Cpu, insn: Insn): void {
  requireX87(cpu);
  const bytes = environmentBytes(insn);
  const total = bytes + 8 * REGISTER_BYTES;
  const linear = cpu.linearOf(insn, total, true);
  cpu.mmu.probe(linear, total, Access.Write);
  storeEnvironment(cpu, bytes);
  for (let i = 0; i < 8; i++) {
    view.setBigUint64(bytes + i * REGISTER_BYTES, significandOf(cpu, i), true);
    view.setUint16(bytes + i * REGISTER_BYTES + 8, signExponentOf(cpu, i), true);
  }
  writeBlock(cpu, linear, image, 0, total);
  initialise(cpu);
}

function frstor(cpu: Cpu, insn: Insn): void {
  requireX87(cpu);
  pendingException(cpu);
  const bytes = environmentBytes(insn);
  const total = bytes + 8 * REGISTER_BYTES;
  const linear = cpu.linearOf(insn, total, false);
  cpu.mmu.probe(linear, total, Access.Read);
  readBlock(cpu, linear, image, 0, total);
  loadEnvironment(cpu, bytes);
  for (let i = 0; i < 8; i++) {
    const at = R.FPR + ((top(cpu) + i) & 7) * 16;
    cpu.set64(at, view.getBigUint64(bytes + i * REGISTER_BYTES, true));
    cpu.set32(at + 8, view.getUint16(bytes + i * REGISTER_BYTES + 8, true));
  }
}

// ---- control and status words ----

/** The registers keep their contents, marked empty. */
function initialise(cpu: Cpu): void {
  cpu.set32(R.FCW, Fcw.RESET);
  cpu.set32(R.FSW, 0);
  cpu.set32(R.FTW, 0);
  cpu.set32(R.FOP, 0);
  cpu.set64(R.FIP, 0n);
  cpu.set64(R.FDP, 0n);
}

function fninit(cpu: Cpu): void {
  requireX87(cpu);
  initialise(cpu);
}

function fnclex(cpu: Cpu): void {
  requireX87(cpu);
  cpu.set32(R.FSW, cpu.get32(R.FSW) & ~(Fsw.EXCEPTIONS | Fsw.SF | Fsw.ES | Fsw.B));
}

function fldcw(cpu: Cpu): void {
  requireX87(cpu);
  pendingException(cpu);
  cpu.set32(R.FCW, (Number(cpu.readOperand(0, 16)) & Fcw.WRITABLE) | Fcw.ALWAYS);
  summarise(cpu);
}

function fnstcw(cpu: Cpu): void {
  requireX87(cpu);
  cpu.writeOperand(0, BigInt(cpu.get32(R.FCW)), 16);
}

function fnstsw(cpu: Cpu): void {
  requireX87(cpu);
  cpu.writeOperand(0, BigInt(cpu.get32(R.FSW)), 16);
}

function moveTop(by: number): (cpu: Cpu, insn: Insn) => void {
  return (cpu, insn) => {
    begin(cpu);
    recordPointers(cpu, insn);
    setTop(cpu, (cpu.get32(R.FSW) >>> TOP_SHIFT) + by);
    setC1(cpu, false);
  };
}

function fnop(cpu: Cpu, insn: Insn): void {
  begin(cpu);
  recordPointers(cpu, insn);
}

function fwait(cpu: Cpu): void {
  const both = Cr0.MP | Cr0.TS;
  if ((cpu.cr0 & both) === both) cpu.raise(Vector.NM);
  pendingException(cpu);
}

function emms(cpu: Cpu): void {
  if ((cpu.cr0 & Cr0.EM) !== 0) cpu.ud();
  if ((cpu.cr0 & Cr0.TS) !== 0) cpu.raise(Vector.NM);
  pendingException(cpu);
  cpu.set32(R.FTW, 0);
  setTop(cpu, 0);
}

export const X87_ENVIRONMENT: SystemInstructions = {
  FNINIT: { execute: fninit, endsBlock: false },
  FNCLEX: { execute: fnclex, endsBlock: false },
  FLDCW: { execute: fldcw, endsBlock: false },
  FNSTCW: { execute: fnstcw, endsBlock: false },
  FNSTSW: { execute: fnstsw, endsBlock: false },
  FLDENV: { execute: fldenv, endsBlock: false },
  FNSTENV: { execute: fnstenv, endsBlock: false },
  FNSAVE: { execute: fnsave, endsBlock: false },
  FRSTOR: { execute: frstor, endsBlock: false },
  FINCSTP: { execute: moveTop(1), endsBlock: false },
  FDECSTP: { execute: moveTop(-1), endsBlock: false },
  FNOP: { execute: fnop, endsBlock: false },
  FWAIT: { execute: fwait, endsBlock: false },
  EMMS: { execute: emms, endsBlock: false },
};
