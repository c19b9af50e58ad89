/**
 * A recording of a run: what the machine was, what came in from outside with the moments at which it came, and fingerprints of what
 * happened, by which a replay finds the first thing that is different. One JSON object a line, in the order of the run:
 *
 *   {"recording":3,"machine":{...},"files":{...}}
 *   {"input":"<base64>","tick":T}  or  {"input":"<base64>","byte":B}     as InputLog has them
 *   {"moments":[first,last],"instructions":N,"checks":"<base64>"}        16 bits of each moment (moments.ts)
 *   {"mark":T,"instructions":N,"registers":F}                            at virtual time T
 *   {"end":{...}}                                                        missing when the process was killed
 *
 * and in each of them, last, "sum": the first 32 bits of the SHA-256 of the line without it. Format 2, which is read too, has no sums.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DEVICE_NAMES } from '../hypervisor/pci-functions';
import type { Guest } from '../hypervisor/guest';
import { R } from '../cpu/layout';

export const RECORDING_VERSION = 3;
/** What came before, and differs in nothing but the sums. */
const VERSION_WITHOUT_SUMS = 2;

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
const HeaderSchema = z.strictObject({ recording: z.literal([VERSION_WITHOUT_SUMS, RECORDING_VERSION]), machine: MachineSchema, files: FilesSchema });
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

/** Whether a file begins as a recording of any version does. */
export const looksLikeRecording = (file: Uint8Array): boolean => /^\{"recording":\d/.test(Buffer.from(file.subarray(0, 16)).toString('latin1'));

/** Throws RecordingError for text that is no recording. A last line that was cut off is left out. */
export function parseRecording(text: string): Recording {
  const lines = text.split('\n');
  // Every line that was written whole ends with a newline.
  lines.pop();
  const summed = !/^\{"recording":2\b/.test(lines.at(0) ?? '');
  const [first, ...rest] = lines.map((line, i): unknown => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      throw new RecordingError(i === 0 ? 'this is not a recording of vmexit' : `line ${i + 1} is not JSON: the recording is damaged`);
    }
    return summed ? withoutSum(value, line, i + 1) : value;
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

const SUM_DIGITS = 8;
const sumOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, SUM_DIGITS);

/** A line as it stands in the file. */
export function recordingText(line: RecordingHeader | RecordingLine): string {
  const text = JSON.stringify(line);
  return `${text.slice(0, -1)},"sum":"${sumOf(text)}"}\n`;
}

/** Of a line that is no recording's, and of a header of a format that has no sums, nothing is said here. */
function withoutSum(value: unknown, line: string, number: number): unknown {
  if (number === 1 && (value as { recording?: unknown } | null)?.recording !== RECORDING_VERSION) return value;
  const [, text, sum] = /^(.*),"sum":"([0-9a-f]*)"\}$/.exec(line) ?? [];
  if (text === undefined || sum !== sumOf(`${text}}`))
    throw new RecordingError(`line ${number} is not as it was written (its sum is wrong): the recording is damaged`);
  const { sum: _, ...rest } = value as { readonly sum: unknown };
  return rest;
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
