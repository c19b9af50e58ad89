/** What the processors of one machine have together. */
import { FrameFlag, RAM_BASE, type PhysicalMemory } from '../memory/physical-memory';
import { CodeCache } from './code-cache';
import type { Cpu } from './cpu';
import type { CpuProfile } from './interfaces';
import { CPU_BLOCKS, CPU_BLOCK_SIZE } from './layout';
import { interpreter, type RunRecords } from './stage/interpreter';
import { SYSTEM_INSTRUCTIONS } from './system/instructions';
import { divideWide } from './wide-division';

/** Room for the blocks of layout.ts below the records. */
const MAX_CPUS = 16;

/** What compiled code calls, in the engine of the processor that runs it. */
export interface CompiledCodeHost {
  readonly cpu: Cpu;
  slowAccess(record: number, low: number, high: number, flags: number): number;
  system(record: number): number;
}

/** The compiled interpreter and the decoded code. */
export class CodeSharing {
  readonly engines: CompiledCodeHost[] = [];
  readonly run: RunRecords;
  readonly code: CodeCache;

  /** @param cpus how many processors (CPU_BLOCKs) will ever use it. */
  constructor(memory: PhysicalMemory, profile: CpuProfile, cpus = MAX_CPUS) {
    const of = (cpu: number): CompiledCodeHost => this.engines[(cpu - CPU_BLOCKS) / CPU_BLOCK_SIZE];
    const handlers = interpreter();
    this.run = handlers.instantiate(memory.memory, {
      translate: (cpu, record, low, high, flags) => of(cpu).slowAccess(record, low, high, flags),
      system: (cpu, record) => of(cpu).system(record),
      divide: (cpu, divisor, signed) => divideWide(of(cpu).cpu, divisor, signed !== 0),
    });
    this.code = new CodeCache(
      memory,
      handlers,
      (op) => SYSTEM_INSTRUCTIONS[op]?.endsBlock,
      (name) => profile.has(name),
      cpus,
    );
    this.code.onFrameBecameCode = (host) => {
      const frame = (host - RAM_BASE) >>> 12;
      if ((memory.frameFlags[frame] & FrameFlag.MappedWritable) === 0) return;
      memory.frameFlags[frame] &= ~FrameFlag.MappedWritable;
      this.engines.forEach((e) => e.cpu.mmu.protectFrame(frame));
    };
    this.code.onFlush = () => this.engines.forEach((e) => e.cpu.mmu.clearJumpCache());
  }
}
