/** How `vmexit run` ends, as a process status. Even numbers, so that none is ever mistaken for an isa-debug-exit status, which is odd. */
export const EXIT_CODES = {
  'power-off': { code: 0, meaning: 'the guest powered off (ACPI S5)' },
  usage: { code: 2, meaning: 'bad arguments, or an image or file that was refused' },
  'triple-fault': { code: 4, meaning: 'the guest shut its processor down (triple fault)' },
  reset: { code: 6, meaning: 'the guest asked for a reset' },
  halted: { code: 8, meaning: 'the guest halted and nothing can wake it' },
  divergence: { code: 12, meaning: 'a replay differs from its recording' },
  internal: { code: 70, meaning: 'an error in vmexit itself' },
  'instruction-limit': { code: 122, meaning: 'the limit of --max-instructions was reached' },
  timeout: { code: 124, meaning: 'the limit of --timeout was reached' },
  'user-quit': { code: 130, meaning: 'stopped by the user (Ctrl-A X, Ctrl-C)' },
} as const satisfies Record<string, { readonly code: number; readonly meaning: string }>;

export type FixedOutcome = keyof typeof EXIT_CODES;

/** Why a run ended. An isa-debug-exit brings its own status, (value << 1) | 1. */
export type RunOutcome =
  { readonly kind: FixedOutcome; readonly explanation: string } | { readonly kind: 'debug-exit'; readonly status: number; readonly explanation: string };

export function exitCode(outcome: RunOutcome): number {
  return outcome.kind === 'debug-exit' ? outcome.status & 0xff : EXIT_CODES[outcome.kind].code;
}

/** For --help. */
export function exitCodeTable(): string {
  const rows = Object.values(EXIT_CODES).map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`);
  return ['Exit status:', ...rows, '  odd  the guest wrote v to isa-debug-exit: (v << 1) | 1, modulo 256'].join('\n');
}
