/** A file that cannot be a disk. The message says what was refused, why, and what to do. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'part of the path is not a directory',
  EADDRINUSE: 'the socket exists already; remove it',
  ENOSPC: 'no space is left on the device',
  EROFS: 'the file system is read-only',
};

/** What an error of the operating system means to people. */
export function reasonOf(error: unknown): string {
  const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string };
  return REASONS[code] ?? message;
}
