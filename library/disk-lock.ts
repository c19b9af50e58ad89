/**
 * Who uses a disk image: an empty file beside it for every use, IMAGE.lock.USE.INODE.PID.STARTED.FD. The name says everything, so there is
 * nothing to read, nothing half written, and never two uses at one name; the claim of a process that is no more does not count, whether or not
 * it can be removed. A use claims first and looks for others then: two that start at the same moment may both be refused, and are never both
 * let in.
 *
 * DEVIATION: a lock of the operating system would be seen from other containers and computers, too, where process numbers mean other processes;
 * Node has none.
 */
import { fstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DiskError, reasonOf } from './disk-error';

/** Readers exclude a writer, and a writer everybody. */
export type DiskUse = 'read' | 'write';

interface Claim {
  readonly name: string;
  readonly use: DiskUse;
  /** Of the image: it stays the same when the image is renamed, and copies of the folder have others. */
  readonly inode: string;
  readonly pid: number;
  /** When the process started, as its system counts; '0' where that is not known. A number that is used again is another process. */
  readonly started: string;
}

const CLAIM = /\.lock\.(read|write)\.(\d+)\.(\d+)\.(\d+)\.\d+$/;

/** Field 22 of Linux's /proc/PID/stat. The name of the program, in brackets, may hold anything. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return '0';
  }
}

function alive({ pid, started }: Claim): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: there is such a process, of another user.
    if ((error as { readonly code?: string }).code !== 'EPERM') return false;
  }
  const now = startOf(pid);
  return now === '0' || started === '0' || now === started;
}

function claimsIn(folder: string, inode: string): Claim[] {
  return readdirSync(folder).flatMap((name): Claim[] => {
    const [, use, claimed, pid, started] = CLAIM.exec(name) ?? [];
    return claimed === inode ? [{ name, use: use as DiskUse, inode, pid: Number(pid), started }] : [];
  });
}

/** What cannot be removed, in a folder of others, is in nobody's way. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It does not count once its process has ended.
  }
}

/**
 * Claims the image, which is open as `file`; the answer takes that back. Throws DiskError while a machine that runs uses it otherwise. Who
 * only reads, and cannot make files in the folder of the image, goes without a claim.
 */
export function lockDisk(image: string, file: number, use: DiskUse): () => void {
  const { ino, nlink } = fstatSync(file, { bigint: true });
  const folder = dirname(image);
  if (use === 'write' && nlink > 1n)
    throw new DiskError(
      `cannot write the disk ${image}: the file has ${nlink} names (hard links), and who uses it by another one may not be seen; give it read-only, or use a copy of the file`,
    );
  const mine = `${basename(image)}.lock.${use}.${ino}.${process.pid}.${startOf(process.pid)}.${file}`;
  const unlock = (): void => remove(join(folder, mine));
  try {
    // Never through what somebody else may have put there.
    writeFileSync(join(folder, mine), '', { flag: 'wx' });
  } catch (error) {
    if (use === 'write')
      throw new DiskError(
        `cannot write the disk ${image}: the lock beside it cannot be made: ${reasonOf(error)}; let this user write in the folder ${folder}, or give the disk read-only`,
      );
  }
  try {
    requireNobody(
      image,
      claimsIn(folder, String(ino)).filter(({ name }) => name !== mine),
      use,
    );
  } catch (error) {
    unlock();
    if (error instanceof DiskError) throw error;
    if (use === 'write')
      throw new DiskError(
        `cannot write the disk ${image}: the locks beside it cannot be seen: ${reasonOf(error)}; let this user list the folder ${folder}, or give the disk read-only`,
      );
    return () => {};
  }
  return unlock;
}

/** Throws DiskError. Claims that are left over are removed. */
function requireNobody(image: string, others: readonly Claim[], use: DiskUse): void {
  for (const claim of others) {
    if (!alive(claim)) remove(join(dirname(image), claim.name));
    else if (use === 'write' || claim.use === 'write') throw inUse(image, claim);
  }
}

function inUse(image: string, { pid, use, name }: Claim): DiskError {
  const who = pid === process.pid ? 'this process' : `process ${pid}`;
  const does = use === 'read' ? 'reads' : 'writes';
  return new DiskError(`the disk ${image} is in use: ${who} ${does} it (its lock is ${name}); end that machine first, or use a copy of the file`);
}
