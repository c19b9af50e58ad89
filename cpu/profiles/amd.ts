/** An AMD server processor of the Zen 4 generation as far as identity goes; its features are those that execute. */
import { xsaveLeaves } from './intel';
import { addressWidths, brandString, cacheLeaf, vendorString, type Leaf, type Registers, type VendorIdentity } from './vendor';

const HIGHEST_BASIC = 0xd;
const HIGHEST_EXTENDED = 0x8000_0021;
/** Family 19h (Fh + Ah), model 11h, stepping 1. */
const SIGNATURE = 0x00a1_0f11;

const DEFAULTS =
  'fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ' +
  'cx16 pcid x2apic movbe popcnt xsave arat fsgsbase smep erms invpcid smap clflushopt clwb umip rdpid ' +
  'xsaveopt xsavec xgetbv1 lahf-lm abm 3dnowprefetch topoext syscall nx pdpe1gb rdtscp lm invtsc wbnoinvd amd-ibpb ' +
  'xsaveerptr lfence-always-serializing null-sel-clr-base auto-ibrs amd-ssb-no srso-no tsa-sq-no tsa-l1-no';

/** Leaf 8000_000Ah, "SVM Revision and Feature Identification". */
const SVM_REVISION = 1;
const SVM_ASIDS = 0x8000;
/** NP, LbrVirt, SVML, NRIPS, TscRateMsr, VmcbClean, FlushByAsid, DecodeAssists, PauseFilter and threshold, virtual VMLOAD/VMSAVE, VGIF, VNMI: svm/capabilities.ts. */
const SVM_FEATURES = 0x0201_94ff;

export const AMD: VendorIdentity = {
  vendor: 'amd',
  physicalAddressWidth: 46,
  defaults: DEFAULTS.split(' '),
  leavesWithSubleaves: new Set([0x7, 0xb, 0xd, 0x8000_001d]),
  leaves: (features, physicalAddressWidth): Leaf[] => {
    const [b, c, d] = vendorString('AuthenticAMD');
    return [
      [0x0, 0, [HIGHEST_BASIC, b, c, d]],
      [0x1, 0, [SIGNATURE, 0x0001_0800, 0, 0]],
      [0x5, 0, features.has('monitor') ? [64, 64, 0, 0] : [0, 0, 0, 0]],
      [0x6, 0, [0, 0, 0, 0]],
      [0x7, 0, [0, 0, 0, 0]],
      [0xb, 0, [0, 1, 0x100, 0]],
      [0xb, 1, [0, 1, 0x201, 0]],
      ...xsaveLeaves(features),
      [0x8000_0000, 0, [HIGHEST_EXTENDED, b, c, d]],
      // EBX: package type SP5 (4).
      [0x8000_0001, 0, [SIGNATURE, 0x4000_0000, 0, 0]],
      ...brandString('vmexit AMD-compatible processor'),
      // L1 TLBs, fully associative, of 72 entries for data and 64 for instructions; L1D and L1I 32 KiB, 8-way.
      [0x8000_0005, 0, [0xff48_ff40, 0xff48_ff40, 0x2008_0140, 0x2008_0140]],
      // L2 TLBs of 3072 entries for data (6- and 8-way) and 512 for instructions; L2 1 MiB 8-way (6), L3 32 MiB (64 * 512 KiB) 16-way (8).
      [0x8000_0006, 0, [0x5c00_2200, 0x6c00_4200, 0x0400_6140, 0x0100_8140]],
      [0x8000_0007, 0, [0, 0, 0, 0]],
      // ECX: one thread in the package.
      [0x8000_0008, 0, [addressWidths(features, physicalAddressWidth), 0, 0, 0]],
      ...(features.has('svm') ? ([[0x8000_000a, 0, [SVM_REVISION, SVM_ASIDS, 0, SVM_FEATURES]]] as Leaf[]) : []),
      [0x8000_001d, 0, cacheLeaf(1, 1, 32, 8)],
      [0x8000_001d, 1, cacheLeaf(2, 1, 32, 8)],
      [0x8000_001d, 2, cacheLeaf(3, 2, 1024, 8)],
      [0x8000_001d, 3, cacheLeaf(3, 3, 32 * 1024, 16)],
      // Extended APIC id 0; core 0 with one thread; node 0, one node in the package.
      [0x8000_001e, 0, [0, 0, 0, 0]],
    ];
  },
  beyondLastSubleaf: (leaf, subleaf): Registers => (leaf === 0xb ? [0, 0, subleaf & 0xff, 0] : [0, 0, 0, 0]),
};
