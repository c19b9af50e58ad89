import { UserError } from './user-error';

export type SerialTarget = { readonly kind: 'stdio' } | { readonly kind: 'none' } | { readonly kind: 'file' | 'unix'; readonly path: string };

/** `stdio`, `none`, `file:PATH`, `unix:PATH`. Throws UserError. */
export function parseSerial(text: string): SerialTarget {
  if (text === 'stdio' || text === 'none') return { kind: text };
  const match = /^(file|unix):(.+)$/.exec(text);
  if (!match) throw new UserError(`--serial ${text}: not a place for a serial port; give stdio, none, file:PATH or unix:PATH`);
  return { kind: match[1] as 'file' | 'unix', path: match[2] };
}
