/** APM "Decode Assists", "Nested and Intercepted #PF": the bytes of the instruction that faulted. */
import { UNWIND } from '../../cpu/cpu';
import { Segment } from '../../cpu/decoder/insn';
import { R } from '../../cpu/layout';
import { Access } from '../../cpu/mmu';
import { SvmFeature } from '../features';
import type { Svm } from '../svm';

const MAXIMUM = 15;
const PAGE = 4096;
const TWO32 = 0x1_0000_0000;

/** Fills svm.instructionBytes: the count, then up to 15 bytes from rIP on; fewer where a page cannot be fetched or the segment ends. */
export function fetchInstructionBytes(svm: Svm): void {
  if (!svm.has(SvmFeature.DECODE_ASSISTS)) return;
  const { cpu, instructionBytes } = svm;
  const low = cpu.get32(R.RIP) + cpu.get32(R.CODE_BASE);
  const high = cpu.codeSize === 64 ? cpu.get32(R.RIP + 4) : 0;
  let wanted = MAXIMUM;
  if (cpu.codeSize !== 64) wanted = Math.max(0, Math.min(MAXIMUM, cpu.segmentLimit(Segment.CS) - cpu.get32(R.RIP) + 1));
  let count = 0;
  svm.fetchingBytes = true;
  while (count < wanted) {
    const at = (low % TWO32) + count;
    const chunk = Math.min(wanted - count, PAGE - (at & 0xfff));
    const host = codeHost(svm, at | 0, at >= TWO32 && cpu.codeSize === 64 ? high + 1 : high);
    if (host === 0) break;
    for (let i = 0; i < chunk; i++) instructionBytes[1 + count + i] = cpu.u8[host + i];
    count += chunk;
  }
  svm.fetchingBytes = false;
  instructionBytes[0] = count;
}

/** 0: the page is not to be had, or no RAM. */
function codeHost({ cpu }: Svm, low: number, high: number): number {
  try {
    return cpu.memory.host(cpu.mmu.translate(low, high, Access.Fetch));
  } catch (e) {
    if (e !== UNWIND) throw e;
    cpu.fault = undefined;
    return 0;
  }
}
