import { BootError } from './boot-error';

/** Zero-terminated UTF-8. `limit` counts bytes without the terminator. */
export function commandLineBytes(text: string, limit: number, whose: string): Uint8Array {
  if (text.includes('\0')) throw new BootError(`the command line for ${whose} contains a NUL character at position ${text.indexOf('\0')}; remove it`);
  const encoded = new TextEncoder().encode(text);
  if (encoded.length > limit) {
    throw new BootError(`the command line has ${encoded.length} bytes, but ${whose} takes at most ${limit}; shorten it (--append)`);
  }
  const bytes = new Uint8Array(encoded.length + 1);
  bytes.set(encoded);
  return bytes;
}
