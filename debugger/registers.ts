/** The registers of a guest by name: one table, from which reading, writing, listings and completion follow. */
import { Flag, type Cpu } from '../cpu/cpu';
import { setBreakpointAddress, setDr7, dr6Of } from '../cpu/debug';
import { Segment } from '../cpu/decoder/insn';
import { R, S, seg } from '../cpu/layout';
import { setCr0, setCr3, setCr4, setEfer } from '../cpu/system/control-state';
import { DebugError, type RegisterGroup, type RegisterInfo } from './target';

/** A register of a processor model: of the running processor, or of one that was given the guest's state. */
export interface Register extends RegisterInfo {
  readonly read: (cpu: Cpu) => bigint;
  /** Absent: cannot be written. `value` fits the width. */
  readonly write?: (cpu: Cpu, value: bigint) => void;
}

const GENERAL = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
const TOP_SHIFT = 11;
const LOW64 = (1n << 64n) - 1n;
const RFLAGS_BITS = 0x3f_7fd7n;

const general = (name: string, n: number): Register => ({
  ...{ name, bits: 64, group: 'general' },
  read: (cpu) => cpu.gpr(n),
  write: (cpu, value) => cpu.setGpr(n, value),
});

/** A 64-bit or 32-bit word of the vCPU block without side effects. */
function word(name: string, bits: 16 | 32 | 64, group: RegisterGroup, offset: number): Register {
  const base = { name, bits, group } as const;
  if (bits === 64) return { ...base, read: (cpu) => cpu.get64(offset), write: (cpu, value) => cpu.set64(offset, value) };
  return { ...base, read: (cpu) => BigInt(cpu.get32(offset)), write: (cpu, value) => cpu.set32(offset, Number(value)) };
}

function segment(name: string, s: number): Register[] {
  /** Loads the hidden parts too, as they are: what follows from them is derived again. */
  const set = (cpu: Cpu, change: { selector?: number; access?: number; limit?: number; base?: bigint }): void => {
    const { selector = cpu.selector(s), access = cpu.segmentAccess(s), limit = cpu.segmentLimit(s), base = cpu.segmentBase(s) } = change;
    cpu.setSegment(s, selector, access, limit, base);
    if (s === Segment.CS || s === Segment.SS) cpu.modeChanged();
  };
  const group = 'segment';
  return [
    { name, bits: 16, group, read: (cpu) => BigInt(cpu.selector(s)), write: (cpu, v) => set(cpu, { selector: Number(v) }) },
    { name: `${name}.base`, bits: 64, group, read: (cpu) => cpu.segmentBase(s), write: (cpu, v) => set(cpu, { base: v }) },
    { name: `${name}.limit`, bits: 32, group, read: (cpu) => BigInt(cpu.segmentLimit(s)), write: (cpu, v) => set(cpu, { limit: Number(v) }) },
    { name: `${name}.access`, bits: 32, group, read: (cpu) => BigInt(cpu.segmentAccess(s)), write: (cpu, v) => set(cpu, { access: Number(v) }) },
  ];
}

/** CR0 and CR4 as the guest reads them; a hypervisor's bits stay as they are. */
function maskedControl(name: 'cr0' | 'cr4', offset: number, set: (cpu: Cpu, value: number) => void): Register {
  const n = name === 'cr0' ? 0 : 4;
  const hypervisor = (cpu: Cpu): NonNullable<Cpu['interception']> | undefined => (cpu.guestMode ? cpu.interception : undefined);
  return {
    ...{ name, bits: 64, group: 'control' },
    read: (cpu) => hypervisor(cpu)?.readControl(n, cpu.get64(offset)) ?? cpu.get64(offset),
    write: (cpu, value) => {
      set(cpu, Number((hypervisor(cpu)?.writeControl(n, value, cpu.get64(offset)) ?? value) & 0xffff_ffffn));
      cpu.modeChanged();
      cpu.mmu.flushAll();
    },
  };
}

const CONTROL: readonly Register[] = [
  maskedControl('cr0', R.CR0, setCr0),
  word('cr2', 64, 'control', R.CR2),
  {
    ...{ name: 'cr3', bits: 64, group: 'control' },
    read: (cpu) => cpu.get64(R.CR3),
    write: (cpu, value) => setCr3(cpu, Number(value & 0xffff_ffffn), Number(value >> 32n)),
  },
  maskedControl('cr4', R.CR4, setCr4),
  {
    ...{ name: 'cr8', bits: 8, group: 'control' },
    read: (cpu) => BigInt(cpu.interrupts?.readCr8() ?? 0),
    write: (cpu, value) => cpu.interrupts?.writeCr8(Number(value & 15n)),
  },
  {
    ...{ name: 'efer', bits: 64, group: 'control' },
    read: (cpu) => cpu.get64(R.EFER),
    write: (cpu, value) => setEfer(cpu, Number(value & 0xffff_ffffn)),
  },
  word('xcr0', 64, 'control', R.XCR0),
];

/** Physical register of ST(i). */
const physical = (cpu: Cpu, i: number): number => R.FPR + (((cpu.get32(R.FSW) >>> TOP_SHIFT) + i) & 7) * 16;

const st = (i: number): Register => ({
  ...{ name: `st${i}`, bits: 80, group: 'fpu' },
  read: (cpu) => cpu.get64(physical(cpu, i)) | ((cpu.get64(physical(cpu, i) + 8) & 0xffffn) << 64n),
  write: (cpu, value) => {
    cpu.set64(physical(cpu, i), value & LOW64);
    cpu.set64(physical(cpu, i) + 8, value >> 64n);
  },
});

const xmm = (n: number): Register => ({
  ...{ name: `xmm${n}`, bits: 128, group: 'sse' },
  read: (cpu) => cpu.u64[cpu.xmm(n) >>> 3] | (cpu.u64[(cpu.xmm(n) >>> 3) + 1] << 64n),
  write: (cpu, value) => {
    cpu.u64[cpu.xmm(n) >>> 3] = value & LOW64;
    cpu.u64[(cpu.xmm(n) >>> 3) + 1] = value >> 64n;
  },
});

const range = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));

/** What is there begins anew, be it a repeated string instruction. */
function jump(cpu: Cpu, rip: bigint): void {
  cpu.rip = rip;
  cpu.repeatingAt = -1;
}

/** In the order of RegisterInfo. */
export const REGISTERS: readonly Register[] = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', ...GENERAL.slice(8)].map((name) => general(name, GENERAL.indexOf(name as 'rax'))),
  { name: 'rip', bits: 64, group: 'general', read: (cpu) => cpu.rip, write: (cpu, value) => jump(cpu, value) },
  {
    ...{ name: 'rflags', bits: 64, group: 'general' },
    read: (cpu) => BigInt(cpu.rflags()),
    write: (cpu, value) => {
      if ((value & ~RFLAGS_BITS) !== 0n)
        throw new DebugError(`rflags 0x${value.toString(16)}: bits 0x${(value & ~RFLAGS_BITS).toString(16)} are reserved and 0`);
      const virtual8086 = cpu.v86;
      cpu.setRflags(Number(value));
      if (((Number(value) & Flag.VM) !== 0) !== virtual8086) cpu.modeChanged();
    },
  },
  ...SEGMENTS.flatMap(segment),
  word('gdtr.base', 64, 'segment', R.GDTR_BASE),
  word('gdtr.limit', 32, 'segment', R.GDTR_LIMIT),
  word('idtr.base', 64, 'segment', R.IDTR_BASE),
  word('idtr.limit', 32, 'segment', R.IDTR_LIMIT),
  word('fs_base', 64, 'segment', seg(Segment.FS, S.BASE)),
  word('gs_base', 64, 'segment', seg(Segment.GS, S.BASE)),
  word('k_gs_base', 64, 'segment', R.KERNEL_GS_BASE),
  ...CONTROL,
  ...range(4, (i) => ({ ...word(`dr${i}`, 64, 'debug', R.DR0 + 8 * i), write: (cpu: Cpu, value: bigint) => setBreakpointAddress(cpu, i, value) })),
  {
    ...{ name: 'dr6', bits: 64, group: 'debug' },
    read: (cpu) => cpu.get64(R.DR6),
    write: (cpu, value) => cpu.set64(R.DR6, BigInt(dr6Of(Number(value & 0xffff_ffffn)))),
  },
  { name: 'dr7', bits: 64, group: 'debug', read: (cpu) => cpu.get64(R.DR7), write: (cpu, value) => setDr7(cpu, Number(value & 0xffff_ffffn)) },
  word('star', 64, 'system', R.STAR),
  word('lstar', 64, 'system', R.LSTAR),
  word('cstar', 64, 'system', R.CSTAR),
  word('sfmask', 64, 'system', R.SFMASK),
  word('pat', 64, 'system', R.PAT),
  word('sysenter_cs', 64, 'system', R.SYSENTER_CS),
  word('sysenter_esp', 64, 'system', R.SYSENTER_ESP),
  word('sysenter_eip', 64, 'system', R.SYSENTER_EIP),
  word('fcw', 16, 'fpu', R.FCW),
  word('fsw', 16, 'fpu', R.FSW),
  { name: 'ftw', bits: 8, group: 'fpu', read: (cpu) => BigInt(cpu.get32(R.FTW)), write: (cpu, value) => cpu.set32(R.FTW, Number(value)) },
  word('fop', 16, 'fpu', R.FOP),
  word('fip', 64, 'fpu', R.FIP),
  word('fdp', 64, 'fpu', R.FDP),
  ...range(8, st),
  word('mxcsr', 32, 'sse', R.MXCSR),
  ...range(16, xmm),
];

const BY_NAME = new Map(REGISTERS.map((r) => [r.name, r]));

/** Throws DebugError for a name that is no register. */
export function registerNamed(name: string): Register {
  const register = BY_NAME.get(name.toLowerCase());
  if (register !== undefined) return register;
  throw new DebugError(`no register is called "${name}": there are rax to r15, rip, rflags, cs, cs.base, cr0, efer, dr7, xmm0 and more (info registers all)`);
}
