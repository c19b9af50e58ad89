/**
 * A recording of a run: what the machine was, what came in from outside with the moments at which it came, and fingerprints of what
 * happened, by which a replay finds the first thing that is different. One JSON object a line, in the order of the run:
 *
 *   {"recording":2,"machine":{...},"files":{...}}
 *   {"input":"<base64>","tick":T}  or  {"input":"<base64>","byte":B}     as InputLog has them
 *   {"moments":[first,last],"instructions":N,"checks":"<base64>"}        16 bits of each moment (moments.ts)
 *   {"mark":T,"instructions":N,"registers":F}                            at virtual time T
 *   {"end":{...}}                                                        missing when the process was killed
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DEVICE_NAMES } from '../hypervisor/pci-functions';
import type { Guest } from '../hypervisor/guest';
import { R } from '../cpu/layout';

export const RECORDING_VERSION = 2;

const count = z.number().int().nonnegative();
const FileSchema = z.strictObject({ path: z.string(), sha256: z.string() });

/** All of what shapes the run; files by path and contents. */
const MachineSchema = z.strictObject({
  imageName: z.string(),
  commandLine: z.string(),
  format: z.enum(['auto', 'flat32', 'flat64']),
  memoryBytes: count,
  bare: z.boolean(),
  backend: z.enum(['vmx', 'svm']),
  cpu: z.string(),
  kvmParavirt: z.boolean(),
  iommu: z.boolean().optional(),
  devices: z.array(z.enum(DEVICE_NAMES)).optional(),
  assign: z.array(z.string()).optional(),
  debugExit: count.optional(),
  debugExitSize: count.optional(),
  initrdName: z.string().optional(),
  rtcStart: z.number(),
  seed: count,
});
const DriveSchema = FileSchema.extend({ kind: z.enum(['nvme', 'virtio-blk']), readOnly: z.boolean() });
const FilesSchema = z.strictObject({
  image: FileSchema,
  initrd: FileSchema.optional(),
  modules: z.array(FileSchema.extend({ commandLine: z.string() })),
  drives: z.array(DriveSchema).optional(),
});
const HeaderSchema = z.strictObject({ recording: z.literal(RECORDING_VERSION), machine: MachineSchema, files: FilesSchema });
const InputSchema = z.union([z.strictObject({ input: z.base64(), tick: count }), z.strictObject({ input: z.base64(), byte: count })]);
const MomentsSchema = z.strictObject({ moments: z.tuple([count, count]), instructions: count, checks: z.base64() });
const MarkSchema = z.strictObject({ mark: count, instructions: count, registers: count });
const EndSchema = z.strictObject({
  end: z.strictObject({
    ...{ instructions: count, ticks: count, exits: count, because: z.string() },
    /** SHA-256 of what the console showed, and of the checks of all moments. */
    ...{ consoleBytes: count, consoleSha256: z.string(), momentsSha256: z.string() },
  }),
});
const LineSchema = z.union([InputSchema, MomentsSchema, MarkSchema, EndSchema]);

export type RecordedMachine = z.output<typeof MachineSchema>;
export type RecordedFiles = z.output<typeof FilesSchema>;
export type RecordingHeader = z.output<typeof HeaderSchema>;
export type RecordingLine = z.output<typeof LineSchema>;
export type RecordingEnd = z.output<typeof EndSchema>['end'];

/** A recording that cannot be used. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}

export interface Recording {
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];
}

/** Throws RecordingError for text that is no recording. A last line that was cut off is left out. */
export function parseRecording(text: string): Recording {
  const lines = text.split('\n');
  // Every line that was written whole ends with a newline.
  lines.pop();
  const [first, ...rest] = lines.map((line, i): unknown => {
    try {
      return JSON.parse(line);
    } catch {
      throw new RecordingError(i === 0 ? 'this is not a recording of vmexit' : `line ${i + 1} is not JSON: the recording is damaged`);
    }
  });
  const header = HeaderSchema.safeParse(first);
  if (!header.success) {
    const version = (first as { recording?: unknown } | undefined)?.recording;
    if (typeof version === 'number' && version > RECORDING_VERSION)
      throw new RecordingError(`it is of format ${version}, and this vmexit knows ${RECORDING_VERSION}: use a newer one`);
    if (typeof version === 'number' && version < RECORDING_VERSION)
      throw new RecordingError(`it is of format ${version}, which this vmexit (${RECORDING_VERSION}) no longer reads: record the run again`);
    throw new RecordingError('this is not a recording of vmexit');
  }
  return {
    header: header.data,
    lines: rest.map((line, i) => {
      const parsed = LineSchema.safeParse(line);
      if (!parsed.success) throw new RecordingError(`line ${i + 2} is no part of a recording: it is damaged`);
      return parsed.data;
    }),
  };
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

// ---- fingerprints ----

const FNV_OFFSET = 0x811c_9dc5;
const FNV_PRIME = 0x0100_0193;
/** FNV-1a over 32-bit words instead of bytes. */
export const mix = (hash: number, word: number): number => Math.imul(hash ^ word, FNV_PRIME);

const REGISTER_WORDS = 32;

/** General registers and RIP, as they are in the processor. */
export function registerFingerprint({ machine: { cpu } }: Guest): number {
  let hash = FNV_OFFSET;
  for (let i = 0; i < REGISTER_WORDS; i++) hash = mix(hash, cpu.get32(R.GPR + 4 * i));
  return mix(mix(hash, cpu.get32(R.RIP)), cpu.get32(R.RIP + 4)) >>> 0;
}
