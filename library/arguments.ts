/** What callers hand to a computer, looked at before anything happens: TypeScript does not guard those who write JavaScript. */
import { z } from 'zod';
import type { BreakpointOptions, BreakpointSpec, ExitView, MemorySpace } from '../debugger/target';
import type { EventName } from './events';

const callback = <T>(what: string) => z.custom<T>((value) => typeof value === 'function', { error: `give a function ${what}` });
const address = z.bigint({ error: 'give an address as a bigint, like 0x100000n' });
const access = z.enum(['write', 'read', 'access'], { error: "give 'write', 'read' or 'access'" });
const space = z.enum(['virtual', 'guest-physical', 'host-physical'], { error: "give 'virtual', 'guest-physical' or 'host-physical'" });
const instructions = z.number({ error: 'give a number of instructions' });
const length = z.int({ error: 'give a whole number of bytes' }).nonnegative();
const name = z.string({ error: 'give a name, as text' });

export const Name = name;
export const Space = space satisfies z.ZodType<MemorySpace>;
export const Address = address;
export const Length = length;
export const Value = z.bigint({ error: 'give a value as a bigint, like 5n' });
export const Bytes = z.instanceof(Uint8Array, { error: 'give a Uint8Array' });
export const Input = z.union([z.string(), z.instanceof(Uint8Array)], { error: 'give text or a Uint8Array' });
export const Hear = callback<(event: never) => void>('that hears of it');

export const CountLimit = z.strictObject({ instructions });

export const Limits = z.strictObject({
  instructions: instructions.optional(),
  address: address.optional(),
  exit: z.union([z.string(), callback<(exit: ExitView) => boolean>('')], { error: 'give a name of exits, or a function from an exit to a boolean' }).optional(),
  console: z.union([z.string(), z.instanceof(RegExp)], { error: 'give text or a RegExp' }).optional(),
});

export const Spec = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('execution'), address }),
    z.strictObject({ kind: z.literal('watch'), space, address, length, access }),
    z.strictObject({
      kind: z.literal('exit'),
      reason: name.optional(),
      matches: callback<(exit: ExitView) => boolean>('from an exit to a boolean').optional(),
    }),
    z.strictObject({ kind: z.literal('field'), field: name, access }),
  ],
  { error: ({ code }) => (code === 'invalid_union' ? "give 'execution', 'watch', 'exit' or 'field'" : 'give an object with a kind') },
) satisfies z.ZodType<BreakpointSpec>;

export const Options = z.strictObject({
  condition: z.strictObject({ text: z.string(), holds: callback<() => boolean>('that says whether to stop') }).optional(),
  hitCount: z
    .custom<NonNullable<BreakpointOptions['hitCount']>>((value) => typeof (value as { holds?: unknown } | null)?.holds === 'function', {
      error: 'give what parseHitCondition() returns',
    })
    .optional(),
  log: callback<() => void>('to be called instead of stopping').optional(),
  temporary: z.boolean({ error: 'give true or false' }).optional(),
}) satisfies z.ZodType<BreakpointOptions>;

export const WrittenPlace = z.union([z.strictObject({ field: name }), z.strictObject({ space, address, length })], {
  error: 'give { field } or { space, address, length }',
});

/** Throws TypeError that names the method, the argument and what would do. @param what "addBreakpoint: spec". */
export function requireArgument(what: string, schema: z.ZodType, value: unknown): void {
  const result = schema.safeParse(value);
  if (result.success) return;
  const [{ path, message }] = result.error.issues;
  throw new TypeError(`${[what, ...path].join('.')}: ${message}`);
}

/** Throws TypeError for a name that no event has. */
export function requireEvent(event: unknown, names: readonly string[]): asserts event is EventName {
  if (typeof event === 'string' && names.includes(event)) return;
  throw new TypeError(`on: there is no event ${JSON.stringify(event) ?? String(event)}: ${names.join(', ')}`);
}
