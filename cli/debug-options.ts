/** The arguments of `vmexit debug`: those of run that make the machine, and the debugger's own. */
import { z } from 'zod';
import { issueError, RunOptionsSchema } from './run-options';
import { UserError } from './user-error';

const MIB = 1 << 20;

export const DebugOptionsSchema = RunOptionsSchema.pick({
  image: true,
  initrd: true,
  module: true,
  append: true,
  memory: true,
  backend: true,
  bare: true,
  cpu: true,
  kvm: true,
  iommu: true,
  device: true,
  drive: true,
  assign: true,
  rtc: true,
  seed: true,
  format: true,
  type: true,
  json: true,
  logLevel: true,
})
  .extend({
    symbols: z.string().optional(),
    script: z.string().optional(),
    command: z.array(z.string()).default([]),
    snapshots: z
      .string()
      .regex(/^\d+$/, { error: ({ input }) => `--snapshots ${String(input)}: not a number of MiB` })
      .prefault('512')
      .transform((text) => Number(text) * MIB),
  })
  .strict();

export type DebugOptions = z.output<typeof DebugOptionsSchema>;

/** Throws UserError with one message for the first thing that is wrong. */
export function checkDebugOptions(raw: unknown): DebugOptions {
  const result = DebugOptionsSchema.safeParse(raw);
  if (!result.success) throw issueError(result.error);
  if (result.data.device.some(({ kind }) => kind === 'virtio-console'))
    throw new UserError('--device virtio-console: the debugger goes back in time, which the other end of this port cannot; leave it out');
  if (result.data.script !== undefined && result.data.command.length > 0) throw new UserError('--script and --command: give one of them');
  return result.data;
}
