/**
 * CPU identities: what CPUID answers, and which features the processor therefore executes. A profile is a vendor's leaves
 * (intel.ts, amd.ts) with a set of features laid over them.
 */
import type { CpuProfile } from '../interfaces';
import { AMD } from './amd';
import { AMD_REPEATED_EDX, FEATURES, canonicalFeatureName, featureNames, type CpuidRegister } from './features';
import { INTEL } from './intel';
import { leafKey, type Registers, type VendorIdentity } from './vendor';

export interface ProfileOptions {
  /** Features to add (true) or remove (false), over those of the preset. */
  readonly features?: Readonly<Record<string, boolean>>;
  /** MAXPHYADDR, 36-52 bits. */
  readonly physicalAddressWidth?: number;
}

interface Preset {
  readonly identity: VendorIdentity;
  readonly features: Readonly<Record<string, boolean>>;
  readonly description: string;
}

/** What the first word of a CPU description may be. */
export const CPU_PRESETS: Readonly<Record<string, Preset>> = {
  intel: { identity: INTEL, features: {}, description: 'Intel server processor without VT-x' },
  'intel-vmx': { identity: INTEL, features: { vmx: true }, description: 'Intel server processor with VT-x' },
  amd: { identity: AMD, features: {}, description: 'AMD server processor without AMD-V' },
  'amd-svm': { identity: AMD, features: { svm: true }, description: 'AMD server processor with AMD-V' },
};

const REGISTERS: readonly CpuidRegister[] = ['eax', 'ebx', 'ecx', 'edx'];
const ZERO: Registers = [0, 0, 0, 0];
const EXTENDED = 0x8000_0000;

class Profile implements CpuProfile {
  readonly vendor: 'intel' | 'amd';
  private readonly leaves: ReadonlyMap<number, Registers>;
  private readonly present: ReadonlySet<string>;
  private readonly highestBasic: number;
  private readonly highestExtended: number;

  constructor(
    readonly name: string,
    private readonly identity: VendorIdentity,
    features: ReadonlySet<string>,
    readonly physicalAddressWidth: number,
  ) {
    this.vendor = identity.vendor;
    // Both spellings, so that has() is one look-up.
    this.present = new Set([...features].flatMap((f) => [f, f.replace(/-/g, '_')]));
    this.leaves = this.build(features);
    this.highestBasic = this.leaves.get(leafKey(0, 0))![0];
    this.highestExtended = this.leaves.get(leafKey(EXTENDED, 0))![0];
  }

  has(feature: string): boolean {
    return this.present.has(feature);
  }

  cpuid(leaf: number, subleaf: number): Registers {
    leaf >>>= 0;
    if (leaf > (leaf >= EXTENDED ? this.highestExtended : this.highestBasic)) {
      // SDM "CPUID": beyond the highest leaf Intel answers as for the highest basic leaf, AMD with zeros.
      if (this.vendor === 'amd') return ZERO;
      leaf = this.highestBasic;
    }
    if (!this.identity.leavesWithSubleaves.has(leaf)) return this.leaves.get(leafKey(leaf, 0)) ?? ZERO;
    return this.leaves.get(leafKey(leaf, subleaf)) ?? this.identity.beyondLastSubleaf(leaf, subleaf);
  }

  private build(features: ReadonlySet<string>): Map<number, Registers> {
    const leaves = new Map<number, Registers>();
    for (const [leaf, subleaf, registers] of this.identity.leaves(features, this.physicalAddressWidth)) leaves.set(leafKey(leaf, subleaf), registers);
    for (const f of FEATURES) {
      if (!features.has(f.name)) continue;
      const key = leafKey(f.leaf, f.subleaf);
      const registers = [...(leaves.get(key) ?? ZERO)] as [number, number, number, number];
      const r = REGISTERS.indexOf(f.register);
      registers[r] = (registers[r] | (1 << f.bit)) >>> 0;
      leaves.set(key, registers);
    }
    if (this.vendor === 'amd') {
      const [a, b, c, d] = leaves.get(leafKey(0x8000_0001, 0))!;
      leaves.set(leafKey(0x8000_0001, 0), [a, b, c, (d | (leaves.get(leafKey(1, 0))![3] & AMD_REPEATED_EDX)) >>> 0]);
    }
    return leaves;
  }
}

/**
 * @param preset a key of {@link CPU_PRESETS}.
 * @throws RangeError naming what is not known, not consistent or out of range.
 */
export function createProfile(preset: string, options: ProfileOptions = {}): CpuProfile {
  const known = CPU_PRESETS[preset];
  if (known === undefined) throw new RangeError(`no CPU "${preset}"; there are ${Object.keys(CPU_PRESETS).join(', ')}`);
  const { identity } = known;
  const names = featureNames(identity.vendor);
  const features = new Set(identity.defaults);
  for (const [written, on] of Object.entries({ ...known.features, ...options.features })) {
    const feature = canonicalFeatureName(written);
    if (!names.includes(feature)) throw new RangeError(`CPU ${preset} cannot have a feature "${written}"; known features: ${names.join(' ')}`);
    if (on) features.add(feature);
    else features.delete(feature);
  }
  for (const f of FEATURES) {
    const missing = features.has(f.name) ? f.requires?.filter((r) => !features.has(r)) : undefined;
    if (missing?.length)
      throw new RangeError(`CPU ${preset}: ${f.name} requires ${missing.join(', ')}: add +${missing.join(',+')} or remove ${f.name} with -${f.name}`);
  }
  const width = options.physicalAddressWidth ?? identity.physicalAddressWidth;
  if (!Number.isInteger(width) || width < 36 || width > 52) throw new RangeError(`physical address width ${width} is not an integer from 36 to 52`);
  return new Profile(preset, identity, features, width);
}

/**
 * A CPU as users write it: `intel,+vmx,-pcid,phys-bits=40`: a preset, then features with `+` or `-`.
 * @throws RangeError saying what is wrong and what there is.
 */
export function parseProfile(text: string): CpuProfile {
  const [preset, ...words] = text.split(',').map((w) => w.trim());
  const features: Record<string, boolean> = {};
  let physicalAddressWidth: number | undefined;
  for (const word of words) {
    const width = /^phys-bits=(\d+)$/.exec(word);
    if (width) physicalAddressWidth = Number(width[1]);
    else if (/^[+-].+/.test(word)) features[word.slice(1)] = word[0] === '+';
    else throw new RangeError(`CPU "${text}": "${word}" is neither +feature, -feature nor phys-bits=N`);
  }
  return createProfile(preset, { features, physicalAddressWidth });
}
