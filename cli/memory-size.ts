import { UserError } from './user-error';

const UNITS: Readonly<Record<string, number>> = { '': 2 ** 20, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const MIB = 2 ** 20;
export const LEAST_MEMORY = 2 * MIB;
export const MOST_MEMORY = 3072 * MIB;

/** "256M", "1G", "262144K"; without a unit in MiB. A multiple of 4 KiB. Throws UserError. */
export function parseMemorySize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?$/i.exec(text.trim());
  if (!match) throw new UserError(`--memory ${text}: not a size; write it like 256M or 1G`);
  const bytes = Number(match[1]) * UNITS[match[2].toLowerCase()];
  if (!Number.isInteger(bytes)) throw new UserError(`--memory ${text}: not a whole number of bytes; give whole megabytes`);
  if (bytes < LEAST_MEMORY || bytes > MOST_MEMORY)
    throw new UserError(`--memory ${text}: ${bytes} bytes is out of range; give ${LEAST_MEMORY / MIB}M to ${MOST_MEMORY / MIB}M`);
  if (bytes % 4096 !== 0) throw new UserError(`--memory ${text}: ${bytes} bytes is not a multiple of 4 KiB; give whole megabytes`);
  return bytes;
}
