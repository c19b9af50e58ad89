/**
 * An Intel server processor of the Cascade Lake generation as far as identity goes; its features are those that execute.
 * The base clock is 1 GHz: one retired instruction is one tick.
 */
import { XSAVE_BYTES, addressWidths, brandString, cacheLeaf, vendorString, type Leaf, type Registers, type VendorIdentity } from './vendor';

const HIGHEST_BASIC = 0x16;
const HIGHEST_EXTENDED = 0x8000_0008;
/** Family 6, model 55h, stepping 7. */
const SIGNATURE = 0x0005_0657;
/** Leaf 15h: TSC = crystal * numerator / denominator. */
const CRYSTAL_HZ = 25_000_000;
const TSC_RATIO = 40;

const DEFAULTS =
  'fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ' +
  'cx16 pcid x2apic movbe popcnt tsc-deadline xsave arat fsgsbase tsc-adjust smep erms invpcid zero-fcs-fds smap clflushopt clwb umip ' +
  'spec-ctrl arch-capabilities xsaveopt xsavec xgetbv1 lahf-lm abm 3dnowprefetch syscall nx pdpe1gb rdtscp lm invtsc';

export const INTEL: VendorIdentity = {
  vendor: 'intel',
  physicalAddressWidth: 46,
  defaults: DEFAULTS.split(' '),
  leavesWithSubleaves: new Set([0x4, 0x7, 0xb, 0xd]),
  leaves: (features, physicalAddressWidth): Leaf[] => {
    const [b, c, d] = vendorString('GenuineIntel');
    return [
      [0x0, 0, [HIGHEST_BASIC, b, c, d]],
      // EBX: APIC id 0, one logical processor, CLFLUSH line of 8 quadwords.
      [0x1, 0, [SIGNATURE, 0x0001_0800, 0, 0]],
      // Descriptors FFh (see leaf 4), 63h 76h B5h F0h C3h (TLBs, prefetch) as this generation has them.
      [0x2, 0, [0x7603_6301, 0x00f0_b5ff, 0, 0x00c3_0000]],
      [0x4, 0, cacheLeaf(1, 1, 32, 8)],
      [0x4, 1, cacheLeaf(2, 1, 32, 8)],
      [0x4, 2, cacheLeaf(3, 2, 1024, 16)],
      [0x4, 3, cacheLeaf(3, 3, 11 * 1024, 11)],
      // Monitor line of 64 bytes, no MWAIT extensions.
      [0x5, 0, features.has('monitor') ? [64, 64, 0, 0] : [0, 0, 0, 0]],
      [0x6, 0, [0, 0, 0, 0]],
      [0x7, 0, [0, 0, 0, 0]],
      // No architectural performance monitoring.
      [0xa, 0, [0, 0, 0, 0]],
      // One thread in one core in one package, x2APIC id 0.
      [0xb, 0, [0, 1, 0x100, 0]],
      [0xb, 1, [0, 1, 0x201, 0]],
      ...xsaveLeaves(features),
      [0x15, 0, [1, TSC_RATIO, CRYSTAL_HZ, 0]],
      // Base, maximum and bus frequency in MHz.
      [0x16, 0, [1000, 1000, 100, 0]],
      [0x8000_0000, 0, [HIGHEST_EXTENDED, 0, 0, 0]],
      [0x8000_0001, 0, [0, 0, 0, 0]],
      ...brandString('vmexit Intel-compatible processor @ 1.00GHz'),
      // L2: 1 MiB, 16-way (encoding 8), 64-byte lines.
      [0x8000_0006, 0, [0, 0, (1024 << 16) | (8 << 12) | 64, 0]],
      [0x8000_0008, 0, [addressWidths(features, physicalAddressWidth), 0, 0, 0]],
    ];
  },
  // SDM "CPUID": an invalid subleaf of leaf 0Bh repeats ECX[7:0] and the x2APIC id.
  beyondLastSubleaf: (leaf, subleaf): Registers => (leaf === 0xb ? [0, 0, subleaf & 0xff, 0] : [0, 0, 0, 0]),
};

/** Leaf 0Dh with x87 and SSE state. EBX of subleaves 0 and 1 follows XCR0: cpuid.ts. */
export function xsaveLeaves(features: ReadonlySet<string>): Leaf[] {
  if (!features.has('xsave')) return [];
  return [
    [0xd, 0, [3, XSAVE_BYTES, XSAVE_BYTES, 0]],
    [0xd, 1, [0, 0, 0, 0]],
  ];
}
