/** What a computer is made of, as users write it: checked before anything is built, so that what is wrong is said in their words. */
import { z } from 'zod';
import { parseProfile } from '../cpu/profiles/profile';
import { seededEntropy, type GuestConfig } from '../hypervisor/guest';
import { DEVICE_NAMES, MOST_FUNCTIONS } from '../hypervisor/pci-functions';
import { DiskError } from './disk-error';
import { openDisks, type OpenDisks } from './disk-image';

const MIB = 2 ** 20;
const LEAST_MEMORY = MIB;
/** The physical machine has 3584 MiB at most, and a hypervisor needs some of it. */
const MOST_MEMORY = 3072 * MIB;
const UNITS: Readonly<Record<string, number>> = { k: 2 ** 10, m: MIB, g: 2 ** 30 };
const TICKS_MOST = Number.MAX_SAFE_INTEGER;

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, { error: 'give a Uint8Array, such as fs.readFileSync returns' });
const callback = <T>(what: string) => z.custom<T>((value) => typeof value === 'function', { error: `give a function ${what}` });

const memory = z.union([z.number(), z.string()], { error: 'give bytes as a number, or a text like "256M"' }).transform((value, context) => {
  const size = typeof value === 'number' ? value : parseSize(value);
  if (size >= LEAST_MEMORY && size <= MOST_MEMORY && size % 4096 === 0) return size;
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is no size from 1M to 3072M in whole pages of 4 KiB: write "256M", or bytes` });
  return z.NEVER;
});

const cpu = z.string().superRefine((text, context) => {
  try {
    parseProfile(text);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    context.addIssue({ code: 'custom', message: error.message });
  }
});

/** Every key but `image` has a default. */
export const ComputerSchema = z.strictObject({
  /** Kernel or program: bzImage, ELF (PVH, multiboot, 64-bit), or flat with `format`. */
  image: bytes,
  imageName: z.string().optional(),
  format: z.enum(['auto', 'linux', 'pvh', 'multiboot', 'elf64', 'flat32', 'flat64']).default('auto'),
  /** Initial RAM disk. */
  initrd: bytes.optional(),
  /** Further modules, for PVH and multiboot. */
  modules: z.array(z.strictObject({ bytes, commandLine: z.string().optional() })).optional(),
  commandLine: z.string().optional(),
  /** RAM of the guest: bytes, or text like "256M". Default "64M". */
  memory: memory.default(64 * MIB),
  /** 'bare' is the physical machine itself; 'vmx' (default) and 'svm' a VM on a processor with that extension. */
  backend: z.enum(['bare', 'vmx', 'svm']).default('vmx'),
  /** Processor identity that the guest sees: a preset with +feature and -feature, like "intel,-pcid". Default: "intel", "amd" under SVM. */
  cpu: cpu.optional(),
  /** Seed of what RDRAND answers and of the order of host frames; 0 leaves frames in order. Default 0. */
  seed: z.int().min(0).max(0xffff_ffff).default(0),
  /** What the clock shows at the start: seconds since 1970. Default 2026-01-01. */
  rtcStart: z.number().min(0).max(TICKS_MOST).optional(),
  /** KVM's CPUID leaves and paravirtual clock. Default false. */
  kvmParavirt: z.boolean().optional(),
  /** The IOMMU of the processor's vendor. Default false. */
  iommu: z.boolean().optional(),
  /**
   * Disks, in the order in which the guest finds them: raw images in files. What the guest writes is in the file when it has flushed. The
   * files are open, and those that are written are locked, until `close()`.
   */
  drives: z
    .array(
      z.strictObject({
        file: z.string().min(1),
        /** The controller that the guest finds. Default "nvme". */
        interface: z.enum(['nvme', 'virtio']).default('nvme'),
        /** Default false. */
        readOnly: z.boolean().default(false),
      }),
    )
    .default([]),
  /** Disks are not written: what the guest writes stays in memory. Snapshots and the history need that, or disks that are read-only. Default false. */
  snapshotDisk: z.boolean().default(false),
  /** Further PCI functions: "edu" (QEMU's device for teaching), "virtio-rng". */
  devices: z.array(z.enum(DEVICE_NAMES)).default([]),
  /** Which of the disks and devices are physical ones behind an IOMMU, given to the VM: "nvme0" is the first NVMe disk, "edu0" the first edu. */
  assign: z.array(z.string()).default([]),
  /** I/O port of an isa-debug-exit device, at which a guest ends the run. */
  debugExitPort: z.int().min(0).max(0xffff).optional(),
  /**
   * Keep snapshots of the past, so that reverse motions are possible: true, or with `interval` (instructions between snapshots) and
   * `budget` (bytes that they may hold). Default false: nothing is kept, and it costs nothing.
   */
  history: z.union([z.boolean(), z.strictObject({ interval: z.int().positive().optional(), budget: z.int().positive().optional() })]).default(false),
  /** Bytes that the guest sends on COM1, one by one; `on('console')` hears the same. */
  serialOutput: callback<(byte: number) => void>('that takes a byte').optional(),
  /** Handlers of VM exits that replace those of ROUTES. */
  routes: z
    .custom<NonNullable<GuestConfig['routes']>>((value) => typeof value === 'object' && value !== null, { error: 'give what withRoutes() returns' })
    .optional(),
  /** What CPUID and MSRs do in a VM, made from what they do by themselves. */
  policy: callback<NonNullable<GuestConfig['policy']>>('from a policy to a policy').optional(),
});

/** What a user writes: see the fields of {@link ComputerSchema}. */
export type ComputerConfiguration = z.input<typeof ComputerSchema>;
type Checked = z.output<typeof ComputerSchema>;

/** A configuration that no computer can be built from. Each line of the message names a key, what is wrong with it, and what would do. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

function parseSize(text: string): number {
  const match = /^(\d+)\s*([kmg])(?:i?b)?$/i.exec(text.trim());
  return match === null ? NaN : Number(match[1]) * UNITS[match[2].toLowerCase()];
}

/** Throws ConfigurationError that names everything that is wrong. */
export function checkConfiguration(configuration: ComputerConfiguration): Checked {
  const result = ComputerSchema.safeParse(configuration);
  const problems = result.success
    ? contradictions(result.data)
    : result.error.issues.map(({ path, message }) => `${path.join('.') || 'configuration'}: ${message}`);
  if (result.success && problems.length === 0) return result.data;
  throw new ConfigurationError(problems.join('\n'));
}

/** Keys that are right by themselves, but not together. */
function contradictions(checked: Checked): string[] {
  const { backend, routes, policy, cpu: identity } = checked;
  const problems = diskProblems(checked);
  if (backend === 'bare' && routes !== undefined)
    problems.push("routes: a bare machine has no hypervisor whose exits could be handled; use backend 'vmx' or 'svm'");
  if (backend === 'bare' && policy !== undefined) problems.push("policy: a bare machine has no hypervisor that could answer CPUID; use backend 'vmx' or 'svm'");
  if (backend !== 'bare' && identity !== undefined) {
    const extension = (['vmx', 'svm'] as const).find((feature) => parseProfile(identity).has(feature));
    if (extension !== undefined) problems.push(`cpu: a VM has no ${extension} of its own; leave it out of "${identity}", or use backend 'bare'`);
  }
  return problems;
}

function diskProblems({ backend, iommu, history, drives, snapshotDisk, devices, assign }: Checked): string[] {
  const problems: string[] = [];
  if (snapshotDisk && drives.length === 0) problems.push('snapshotDisk: there is no disk; give drives too');
  const functions = drives.length + devices.length;
  if (functions > MOST_FUNCTIONS) problems.push(`drives, devices: ${functions} were given, and the PCI bus has room for ${MOST_FUNCTIONS}; leave some out`);
  const written = drives.find(({ readOnly }) => !readOnly && !snapshotDisk);
  if (history !== false && written !== undefined)
    problems.push(`history: going back needs the disk ${written.file} as it was; set snapshotDisk, or readOnly for the disk`);
  const kinds: readonly string[] = [...drives.map((drive) => drive.interface), ...devices];
  assign.forEach((name, i) => {
    const [, kind = '', number] = /^(nvme|edu)(\d{1,3})$/.exec(name) ?? [];
    if (kind === '') problems.push(`assign: there is no device "${name}" to assign; there are nvme0 (the first NVMe disk), edu0, and so on`);
    else if (kinds.filter((k) => k === kind).length <= Number(number))
      problems.push(`assign: there is no ${name}; ${kind === 'nvme' ? 'put an NVMe disk in drives' : 'put "edu" in devices'} too`);
    else if (assign.indexOf(name) < i) problems.push(`assign: ${name} can be assigned once`);
  });
  if (assign.length > 0 && backend === 'bare')
    problems.push("assign: a bare machine has all devices already: there is no VM to assign them to; use backend 'vmx' or 'svm'");
  if (assign.length > 0 && iommu === true) problems.push("assign: the VM's own IOMMU cannot translate for a physical device; leave iommu out");
  return problems;
}

const DRIVE_KINDS = { nvme: 'nvme', virtio: 'virtio-blk' } as const;

/** Opens the files of all disks, or none. Throws ConfigurationError. */
export function openDrives({ drives, snapshotDisk }: Checked): OpenDisks {
  try {
    const files = drives.map(({ file, readOnly, interface: kind }) => ({ path: file, kind: DRIVE_KINDS[kind], readOnly }));
    return openDisks(files, snapshotDisk);
  } catch (error) {
    if (error instanceof DiskError) throw new ConfigurationError(`drives: ${error.message}`);
    throw error;
  }
}

/** What the guest is built from. */
export function guestConfig(checked: Checked, drives: GuestConfig['drives'], serialOutput: (byte: number) => void): GuestConfig {
  const { memory: memoryBytes, seed, debugExitPort, cpu: identity, devices, assign, history: _, serialOutput: __, snapshotDisk: ___, ...rest } = checked;
  return {
    ...rest,
    drives,
    devices: devices.length > 0 ? devices : undefined,
    assign: assign.length > 0 ? assign : undefined,
    cpu: identity ?? (rest.backend === 'svm' ? 'amd' : 'intel'),
    memoryBytes,
    entropy: seededEntropy(seed),
    frameSeed: seed,
    debugExit: debugExitPort === undefined ? undefined : { iobase: debugExitPort },
    serialOutput,
  };
}
