import { reasonOf } from '../library/disk-error';

/** Something the user gave that cannot be used. The message says what was refused, why, and what to do. */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** Turns an error of the operating system into a message about a file the user named. */
export function fileError(error: unknown, action: string, path: string): UserError {
  return new UserError(`cannot ${action} ${path}: ${reasonOf(error)}`);
}
