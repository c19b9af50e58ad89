/** Which exception the instruction at a record raises, when compiled code only says that it could not go on. */
import type { CodeCache } from './code-cache';
import type { CodeFinder } from './code-finder';
import { Vector, type Cpu } from './cpu';
import { decode } from './decoder/decode';
import { Segment, type Insn } from './decoder/insn';
import { R, SEGMENT_STRIDE } from './layout';
import { mmxVector, sseVector } from './simd-state';
import { Status } from './stage/record';

const STACK_OPERATIONS = new Set(['PUSH', 'POP', 'CALL', 'RET', 'LEAVE']);

export function vectorOf(cpu: Cpu, code: CodeCache, status: Status, record: number): number {
  if (status === Status.DivideError) return Vector.DE;
  if (status === Status.SseUnavailable) return sseVector(cpu);
  if (status === Status.MmxUnavailable) return mmxVector(cpu);
  const segment = code.segmentOf(record);
  const stack = status === Status.SegmentFault && (segment < 0 || segment === R.SEGMENTS + Segment.SS * SEGMENT_STRIDE);
  return stack ? Vector.SS : Vector.GP;
}

/** #SS(0) for accesses through rSP or rBP without an override, #GP(0) otherwise. @param record of the instruction, 0 when there is none. */
export function vectorOfNonCanonical(cpu: Cpu, code: CodeCache, finder: CodeFinder, record: number): number {
  if (record === 0) return Vector.GP;
  const host = finder.fetchHost(cpu.get32(R.PAGE_BASE) | 0, cpu.get32(R.PAGE_BASE + 4) | 0);
  const start = code.startOffset(record);
  const insn = decode(cpu.u8, host + start, host + 4096, cpu.codeSize);
  if (insn === undefined) return Vector.GP;
  const stackOp = STACK_OPERATIONS.has(insn.op) || (insn.op === 'CALLI' && !insn.hasMemory);
  return stackOp || insn.segment === Segment.SS ? Vector.SS : Vector.GP;
}

/** An instruction without a handler: #UD, or #GP(0) when it is longer than 15 bytes. */
export function raiseUndefined(cpu: Cpu, insn: Insn): never {
  if (insn.op === 'TOO_LONG') cpu.gp();
  if (insn.op !== 'UD') cpu.observer.unimplemented?.(cpu, insn);
  return cpu.ud();
}
