/** Every command. */
import { BREAKPOINT_COMMANDS } from './breakpoint-commands';
import type { Command } from './command';
import { INFO_COMMANDS } from './info-commands';
import { MEMORY_COMMANDS } from './memory-commands';
import { MOTION_COMMANDS } from './motion-commands';
import { SESSION_COMMANDS } from './session-commands';
import { DebugError } from '../target';

export const COMMANDS: readonly Command[] = [...MOTION_COMMANDS, ...BREAKPOINT_COMMANDS, ...INFO_COMMANDS, ...MEMORY_COMMANDS, ...SESSION_COMMANDS];

/** By name, fixed short form, or unique beginning. Throws DebugError for none and for several. */
export function commandNamed(word: string): Command {
  const name = word.toLowerCase();
  const exact = COMMANDS.find((c) => c.name === name || c.short?.includes(name) === true);
  if (exact !== undefined) return exact;
  const begins = COMMANDS.filter((c) => c.name.startsWith(name));
  if (begins.length === 1) return begins[0];
  if (begins.length > 1) throw new DebugError(`"${word}" could be ${begins.map((c) => c.name).join(', ')}`);
  throw new DebugError(`there is no command "${word}": help lists them`);
}
