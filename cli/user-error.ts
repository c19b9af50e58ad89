/** Something the user gave that cannot be used. The message says what was refused, why, and what to do. */
export class UserError extends Error {
  override readonly name = 'UserError';
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

/** Turns an error of the operating system into a message about a file the user named. */
export function fileError(error: unknown, action: string, path: string): UserError {
  const { code = '', message = String(error) } = error as { readonly code?: string; readonly message?: string };
  const reason = REASONS[code] ?? message;
  return new UserError(`cannot ${action} ${path}: ${reason}`);
}
