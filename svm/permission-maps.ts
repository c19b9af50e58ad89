/** The permissions maps in system-physical memory. APM "IOIO Intercepts", "MSR Intercepts". */
import type { Svm } from './svm';

/** A bit a port; an access of several bytes looks at several bits, those of a word at FFFFh beyond the last port. */
export function portIntercepted(svm: Svm, port: number, bytes: number): boolean {
  const { memory } = svm.cpu;
  const at = svm.ioPermissionMap + (port >>> 3);
  const bits = memory.read8(at) | ((port & 7) + bytes > 8 ? memory.read8(at + 1) << 8 : 0);
  return ((bits >>> (port & 7)) & ((1 << bytes) - 1)) !== 0;
}

/** First MSR of each range; 2000h MSRs have two bits each (read, then write) in a vector of 2 Kbytes. */
const RANGES = [0, 0xc000_0000, 0xc001_0000] as const;
const RANGE_SIZE = 0x2000;
const VECTOR_SIZE = 0x800;

/** MSRs outside the ranges are always intercepted. */
export function msrIntercepted(svm: Svm, index: number, write: boolean): boolean {
  for (let range = 0; range < RANGES.length; range++) {
    const n = index - RANGES[range];
    if (n < 0 || n >= RANGE_SIZE) continue;
    const byte = svm.cpu.memory.read8(svm.msrPermissionMap + range * VECTOR_SIZE + (n >>> 2));
    return ((byte >>> ((n & 3) * 2 + (write ? 1 : 0))) & 1) !== 0;
  }
  return true;
}
