/** Every command. */
import { BREAKPOINT_COMMANDS } from './breakpoint-commands';
import { findCommand, type Command } from './command';
import { INFO_COMMANDS } from './info-commands';
import { MEMORY_COMMANDS } from './memory-commands';
import { MOTION_COMMANDS } from './motion-commands';
import { SESSION_COMMANDS } from './session-commands';

export const COMMANDS: readonly Command[] = [...MOTION_COMMANDS, ...BREAKPOINT_COMMANDS, ...INFO_COMMANDS, ...MEMORY_COMMANDS, ...SESSION_COMMANDS];

/** Throws DebugError for a word that names none, or several. */
export const commandNamed = (word: string): Command => findCommand(COMMANDS, word);
