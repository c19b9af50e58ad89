/** The name of a Unix socket to listen on, looked at first: the operating system's own answers mislead. */
import { lstatSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileError, UserError } from './user-error';

/** sockaddr_un has room for 108 bytes with the zero at the end (unix(7)); a longer name would be cut short, not refused. */
const LONGEST_PATH = 107;

/** Throws UserError. */
export function requireSocketPath(path: string): void {
  const refuse = (reason: string): never => {
    throw new UserError(`cannot listen on ${path}: ${reason}`);
  };
  const length = Buffer.byteLength(path);
  if (length > LONGEST_PATH) refuse(`the name has ${length} bytes, and that of a socket can have ${LONGEST_PATH}; choose a shorter one`);
  const directory = dirname(path);
  try {
    if (!statSync(directory).isDirectory()) refuse(`${directory} is not a directory`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') refuse(`there is no directory ${directory}`);
    throw error instanceof UserError ? error : fileError(error, 'listen on', path);
  }
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (there.isDirectory()) refuse('it is a directory; give the name of a socket in it');
  if (there.isSocket()) refuse('the socket exists already; remove it, if no other program listens there');
  refuse('there is a file of that name already, which is no socket; choose another name');
}
