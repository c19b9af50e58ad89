/** A processor with some RAM on which single instructions are executed straight from their bytes. */
import { Cpu, Cr0, Cr4, Efer, Flag, UNWIND } from '../../../cpu/cpu';
import { decode } from '../../../cpu/decoder/decode';
import { Segment } from '../../../cpu/decoder/insn';
import { EventType, type CpuEvent } from '../../../cpu/interfaces';
import { R } from '../../../cpu/layout';
import { parseProfile } from '../../../cpu/profiles/profile';
import { SYSTEM_INSTRUCTIONS } from '../../../cpu/system/instructions';
import { resetSystemRegisters } from '../../../cpu/system/msr';
import { PhysicalMemory } from '../../../memory/physical-memory';

export const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3,
  RSP = 4,
  RBP = 5,
  RSI = 6,
  RDI = 7;
const CODE_DATA = { code64: 0xa09b, code32: 0xc09b, code16: 0x009b, data: 0xc093, data16: 0x0093, tss: 0x008b };

/** In real mode, segments at 0. */
export function realMode(profile = 'intel'): Cpu {
  const cpu = new Cpu(new PhysicalMemory(16 << 20), parseProfile(profile));
  resetSystemRegisters(cpu);
  cpu.set32(R.RFLAGS_SYSTEM, 2);
  for (let s = 0; s < 6; s++) cpu.setSegment(s, 0, s === Segment.CS ? CODE_DATA.code16 : CODE_DATA.data16, 0xffff, 0n);
  cpu.setSegment(Segment.TR, 0, CODE_DATA.tss, 0xffff, 0n);
  cpu.modeChanged();
  return cpu;
}

/** Flat 32-bit protected mode without paging, at `cpl`. */
export function protectedMode(profile = 'intel', cpl = 0): Cpu {
  const cpu = realMode(profile);
  cpu.set32(R.CR0, Cr0.PE | Cr0.ET);
  for (let s = 0; s < 6; s++) cpu.setSegment(s, 8 + cpl, (s === Segment.CS ? CODE_DATA.code32 : CODE_DATA.data) | (cpl << 5), 0xffff_ffff, 0n);
  cpu.set32(R.CPL, cpl);
  cpu.modeChanged();
  return cpu;
}

/** 64-bit mode; the first 16 MiB are mapped one to one by user-accessible 2 MiB pages, from tables at 1000h-3FFFh. */
export function longMode(profile = 'intel', cpl = 0): Cpu {
  const cpu = protectedMode(profile, 0);
  cpu.memory.write64(0x1000, 0x2007n);
  cpu.memory.write64(0x2000, 0x3007n);
  for (let n = 0; n < 8; n++) cpu.memory.write64(0x3000 + 8 * n, BigInt(n * 0x20_0000 + 0x87));
  cpu.set32(R.CR4, Cr4.PAE | Cr4.OSFXSR | Cr4.OSXSAVE);
  cpu.set32(R.EFER, Efer.LME | Efer.LMA | Efer.NXE | Efer.SCE);
  cpu.set32(R.CR0, (Cr0.PE | Cr0.ET | Cr0.PG | Cr0.WP) >>> 0);
  cpu.set32(R.CR3, 0x1000);
  cpu.setSegment(Segment.CS, 8 + cpl, CODE_DATA.code64 | (cpl << 5), 0xffff_ffff, 0n);
  cpu.set32(R.CPL, cpl);
  cpu.modeChanged();
  cpu.setGpr(RSP, 0x8000n);
  return cpu;
}

/** The instruction made a VM exit. */
const LEFT: CpuEvent = { vector: -1, type: 0, errorCode: undefined, payload: 0n, length: 0 };

/** Executes the instruction `hex`; the exception it raises, or undefined. RIP moves as the step loop moves it. */
export function execute(cpu: Cpu, hex: string): CpuEvent | undefined {
  const bytes = Uint8Array.from(Buffer.from(hex.replace(/ /g, '').padEnd(32, '0'), 'hex'));
  const insn = decode(bytes, 0, bytes.length, cpu.codeSize)!;
  if (insn.op === 'UD') return { vector: 6, type: EventType.HardwareException, errorCode: undefined, payload: 0n, length: 0 };
  const handler = SYSTEM_INSTRUCTIONS[insn.op];
  if (handler === undefined) throw new Error(`${hex} is ${insn.op}, which is not executed here`);
  const start = cpu.rip;
  cpu.insn = insn;
  cpu.fault = undefined;
  cpu.currentRip = () => start;
  if (handler.endsBlock) cpu.rip = start + BigInt(insn.length);
  try {
    handler.execute(cpu, insn);
  } catch (e) {
    if (e !== UNWIND) throw e;
    cpu.rip = start;
    return cpu.fault ?? LEFT;
  }
  if (cpu.exited) {
    cpu.exited = false;
    cpu.rip = start;
    return LEFT;
  }
  if (!handler.endsBlock) cpu.rip = start + BigInt(insn.length);
  return undefined;
}

export const GP0 = expect.objectContaining({ vector: 13, errorCode: 0 });
export const UD = expect.objectContaining({ vector: 6, errorCode: undefined });
export const NM = expect.objectContaining({ vector: 7, errorCode: undefined });
export { Cr0, Cr4, Efer, Flag, R, Segment };
