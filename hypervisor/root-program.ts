/**
 * The root program: the little machine code and the tables that the processor needs in VMX root operation (or SVM host mode), in
 * host memory. TypeScript is the rest of the hypervisor: wherever the program reaches a gate, the processor stops and TypeScript
 * goes on. Gates are addresses, not opcodes; bare machines have none.
 *
 *   LAUNCH: vmlaunch          RESUME: vmresume          EXIT: <gate>
 *           <gate>                    <gate>
 */
import { Activity, Cr0, Cr4, Efer, type Cpu } from '../cpu/cpu';
import { Segment } from '../cpu/decoder/insn';
import { R } from '../cpu/layout';
import type { PhysicalMemory } from '../memory/physical-memory';
import type { HostFrames } from './frames';

/** Selectors of the root program's GDT. */
export const RootSelector = { CODE: 0x08, DATA: 0x10, TSS: 0x18 } as const;
const TSS_SIZE = 0x68;
const PRESENT_WRITABLE = 0x03;
const LARGE_PAGE = 0x80;
const GIB = 0x4000_0000;

export interface RootProgram {
  readonly gdt: number;
  readonly idt: number;
  readonly tss: number;
  readonly cr3: number;
  /** Top of the stack. */
  readonly stack: number;
  /** Where entry instructions stand; behind each is a gate that is reached when the instruction fails. */
  readonly launch: number;
  readonly resume: number;
  /** HOST_RIP: a gate. */
  readonly exit: number;
  /** First gate: where the root program starts. */
  readonly start: number;
  /** All gates, host-physical. */
  readonly gates: readonly number[];
}

/** Writes the program into fresh host frames; linear addresses equal physical ones below 4 GiB. */
export function buildRootProgram(memory: PhysicalMemory, frames: HostFrames, entry: { launch: readonly number[]; resume: readonly number[] }): RootProgram {
  const page = (): number => frames.takeZeroed(memory);
  const tables = page();
  const gdt = tables;
  const tss = tables + 0x100;
  const idt = page();
  const stack = page() + 4096;
  const code = page();

  // GDT: null, 64-bit code, data, 64-bit TSS (16 bytes).
  memory.write64(gdt + RootSelector.CODE, 0x00af_9b00_0000_ffffn);
  memory.write64(gdt + RootSelector.DATA, 0x00cf_9300_0000_ffffn);
  const base = BigInt(tss);
  memory.write64(gdt + RootSelector.TSS, BigInt(TSS_SIZE - 1) | ((base & 0xff_ffffn) << 16n) | (0x8bn << 40n) | (((base >> 24n) & 0xffn) << 56n));
  memory.write64(gdt + RootSelector.TSS + 8, base >> 32n);
  memory.write64(tss + 4, BigInt(stack));

  const launch = code;
  const resume = code + 0x10;
  const exit = code + 0x20;
  const start = code + 0x30;
  const fault = code + 0x40;
  memory.writeBytes(launch, Uint8Array.from(entry.launch));
  memory.writeBytes(resume, Uint8Array.from(entry.resume));
  // Every vector of the IDT leads to one gate: an exception in root mode is a bug, and stops there.
  for (let vector = 0; vector < 256; vector++) {
    const a = BigInt(fault);
    memory.write64(idt + vector * 16, (a & 0xffffn) | (BigInt(RootSelector.CODE) << 16n) | (0x8e00n << 32n) | (((a >> 16n) & 0xffffn) << 48n));
    memory.write64(idt + vector * 16 + 8, a >> 32n);
  }

  // Identity map of the first 4 GiB with 2 MiB pages.
  const pml4 = page();
  const pdpt = page();
  memory.write64(pml4, BigInt(pdpt | PRESENT_WRITABLE));
  for (let g = 0; g < 4; g++) {
    const directory = page();
    memory.write64(pdpt + g * 8, BigInt(directory | PRESENT_WRITABLE));
    for (let i = 0; i < 512; i++) memory.write64(directory + i * 8, BigInt(g * GIB + i * 0x20_0000 + (LARGE_PAGE | PRESENT_WRITABLE)));
  }
  return {
    gdt,
    idt,
    tss,
    cr3: pml4,
    stack,
    launch,
    resume,
    exit,
    start,
    gates: [launch + entry.launch.length, resume + entry.resume.length, exit, start, fault],
  };
}

const LONG_LIMIT = 0xffff_ffff;
const GDT_LIMIT = 0x27;
const IDT_LIMIT = 0xfff;
const CODE_64 = 0xa09b,
  DATA_FLAT = 0xc093,
  BUSY_TSS = 0x8b,
  UNUSABLE = 0x1_0000;
const RSP = 4;

/**
 * Loads the processor with the root program's context, as the loader of a kernel would.
 * @param enable bits of CR4 and EFER that the virtualisation extension needs.
 */
export function enterRootProgram(cpu: Cpu, root: RootProgram, enable: { readonly cr4?: number; readonly efer?: number }): void {
  cpu.set64(R.CR0, BigInt((Cr0.PE | Cr0.MP | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.PG) >>> 0));
  cpu.set64(R.CR3, BigInt(root.cr3));
  cpu.set64(R.CR4, BigInt(Cr4.PAE | Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE | (enable.cr4 ?? 0)));
  cpu.set64(R.EFER, BigInt(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE | (enable.efer ?? 0)));
  cpu.setSegment(Segment.CS, RootSelector.CODE, CODE_64, LONG_LIMIT, 0n);
  for (const s of [Segment.SS, Segment.DS, Segment.ES, Segment.FS, Segment.GS]) cpu.setSegment(s, RootSelector.DATA, DATA_FLAT, LONG_LIMIT, 0n);
  cpu.setSegment(Segment.TR, RootSelector.TSS, BUSY_TSS, TSS_SIZE - 1, BigInt(root.tss));
  cpu.setSegment(Segment.LDTR, 0, UNUSABLE, 0, 0n);
  cpu.set64(R.GDTR_BASE, BigInt(root.gdt));
  cpu.set32(R.GDTR_LIMIT, GDT_LIMIT);
  cpu.set64(R.IDTR_BASE, BigInt(root.idt));
  cpu.set32(R.IDTR_LIMIT, IDT_LIMIT);
  cpu.set32(R.CPL, 0);
  cpu.setRflags(2);
  cpu.setGpr(RSP, BigInt(root.stack));
  cpu.rip = BigInt(root.start);
  cpu.activity = Activity.Active;
  cpu.modeChanged();
  cpu.mmu.flushAll();
}
