/** Who writes a disk image: a file beside it that holds the process, so that two machines never write the same disk. */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { DiskError } from './disk-error';

interface Owner {
  readonly pid: number;
  /** When the process started, as its system counts: a number that is used again is another process. */
  readonly started: string;
}

const lockOf = (image: string): string => `${image}.lock`;

/** Field 22 of Linux's /proc/PID/stat; empty where there is none. The name of the program, in brackets, may hold anything. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return '';
  }
}

function alive({ pid, started }: Owner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: there is such a process, of another user.
    if ((error as { readonly code?: string }).code === 'ESRCH') return false;
  }
  const now = startOf(pid);
  return now === '' || started === '' || now === started;
}

/** Undefined: nobody, or somebody who is no more. */
function ownerOf(lock: string): { text: string; owner: Owner | undefined } | undefined {
  let text: string;
  try {
    text = readFileSync(lock, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const owner = JSON.parse(text) as Owner;
    return { text, owner: typeof owner.pid === 'number' && alive(owner) ? owner : undefined };
  } catch {
    return { text, owner: undefined };
  }
}

const inUse = (image: string, { pid }: Owner): DiskError =>
  new DiskError(`the disk ${image} is in use: process ${pid} writes it; end that machine first, or use a copy of the file`);

/** Throws DiskError when a machine that runs writes the image. */
export function requireNoWriter(image: string): void {
  const owner = ownerOf(lockOf(image))?.owner;
  if (owner !== undefined) throw inUse(image, owner);
}

/** Makes this process the writer of `image`; the answer takes that back. Throws DiskError. The lock of a process that died does not count. */
export function lockDisk(image: string): () => void {
  const lock = lockOf(image);
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, JSON.stringify({ pid: process.pid, started: startOf(process.pid) } satisfies Owner));
  try {
    // A link appears whole or not at all.
    for (;;) {
      try {
        linkSync(mine, lock);
        return () => rmSync(lock, { force: true });
      } catch (error) {
        if ((error as { readonly code?: string }).code !== 'EEXIST') throw error;
      }
      const found = ownerOf(lock);
      if (found?.owner !== undefined) throw inUse(image, found.owner);
      if (found !== undefined) removeStale(lock, found.text);
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** Only the lock that was looked at: another process may have removed it, and made its own, in between. */
function removeStale(lock: string, text: string): void {
  const aside = `${lock}.${process.pid}.stale`;
  try {
    renameSync(lock, aside);
    if (readFileSync(aside, 'utf8') !== text) linkSync(aside, lock);
  } catch {
    // Somebody was faster.
  }
  rmSync(aside, { force: true });
}
