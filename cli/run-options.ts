/** The arguments of `vmexit run`, checked. */
import { z } from 'zod';
import { parseDevice } from './device-option';
import { parseDrive } from './drive-option';
import { parseGdb } from './gdb-option';
import { parseMemorySize } from './memory-size';
import { DEFAULT_RTC_START, parseRtc } from './rtc-option';
import { parseSerial } from './serial-option';
import { UserError } from './user-error';

/** Runs a parser of ours inside a schema: its UserError becomes the issue's message. */
const parsed = <T>(parse: (text: string) => T) =>
  z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  });

const number = (option: string, what: string, accept: (n: number) => boolean) =>
  parsed((text) => {
    const value = /^\d+(\.\d+)?(e\d+)?$/i.test(text) ? Number(text) : NaN;
    if (!accept(value)) throw new UserError(`${option} ${text}: not ${what}`);
    return value;
  });

const positiveInteger = (n: number): boolean => Number.isSafeInteger(n) && n > 0;

const choice = <const T extends readonly [string, ...string[]]>(option: string, values: T) =>
  z.enum(values, { error: ({ input }) => `${option} ${String(input)}: not one of ${values.join(', ')}` });

export const RunOptionsSchema = z.strictObject({
  image: z.string(),
  initrd: z.string().optional(),
  module: z.array(z.string()).default([]),
  append: z.string().default(''),
  memory: parsed(parseMemorySize).prefault('256M'),
  backend: choice('--backend', ['vmx', 'svm']).optional(),
  bare: z.boolean().default(false),
  cpu: z.string().min(1, { error: '--cpu: give a CPU such as intel' }).optional(),
  kvm: z.boolean().default(false),
  iommu: z.boolean().default(false),
  device: z.array(parsed(parseDevice)).default([]),
  drive: z.array(parsed(parseDrive)).default([]),
  assign: z.array(z.string()).default([]),
  snapshotDisk: z.boolean().default(false),
  serial: parsed(parseSerial).prefault('stdio'),
  stats: z.boolean().default(false),
  json: z.boolean().default(false),
  maxInstructions: number('--max-instructions', 'a positive whole number', positiveInteger).optional(),
  timeout: number('--timeout', 'a positive number of seconds', (n) => n > 0 && Number.isFinite(n)).optional(),
  seed: number('--seed', 'a whole number from 0 to 4294967295', (n) => Number.isInteger(n) && n >= 0 && n <= 0xffff_ffff).prefault('0'),
  rtc: parsed((text) => parseRtc(text, Date.now)).default(DEFAULT_RTC_START),
  type: z.string().optional(),
  gdb: parsed(parseGdb).optional(),
  wait: z.boolean().default(false),
  trace: z.string().optional(),
  record: z.string().optional(),
  checkVmcb: z.boolean().default(false),
  traceFormat: z.string().optional(),
  format: choice('--format', ['auto', 'flat32', 'flat64']).default('auto'),
  logLevel: choice('--log-level', ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace']).default('warn'),
});

export type RunOptions = z.output<typeof RunOptionsSchema>;

/** Throws UserError with one message for the first thing that is wrong. */
export function checkRunOptions(raw: unknown): RunOptions {
  const result = RunOptionsSchema.safeParse(raw);
  if (result.success) return result.data;
  throw issueError(result.error);
}

/** The first thing that is wrong, for the user. */
export function issueError({ issues: [issue] }: z.ZodError): UserError {
  return new UserError(
    issue.code === 'custom' || issue.path.length === 0 || /^--/.test(issue.message) ? issue.message : `${issue.path.join('.')}: ${issue.message}`,
  );
}
