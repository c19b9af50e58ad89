/** ext4 images, made and checked by e2fsprogs on the host. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OverlayDisk, type BlockBackend } from '../../devices/block-backend';

function inFolder<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'ext4-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(program: string, args: readonly string[]): { status: number; output: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  if (error !== undefined) throw new Error(`${program} did not run (${error.message}): install e2fsprogs`);
  return { status: status ?? -1, output: stdout + stderr };
}

/** An ext4 file system that holds one file, `hello`. */
export function ext4Image(bytes: number, hello: string): Uint8Array {
  return inFolder((folder) => {
    const [image, root] = [join(folder, 'image'), join(folder, 'root')];
    mkdirSync(root);
    writeFileSync(join(root, 'hello'), hello);
    writeFileSync(image, new Uint8Array(bytes));
    const { status, output } = run('mkfs.ext4', ['-q', '-F', '-d', root, image]);
    if (status !== 0) throw new Error(`mkfs.ext4 failed: ${output}`);
    return new Uint8Array(readFileSync(image));
  });
}

/** What `e2fsck -fn` says is wrong; undefined: it is clean. */
export function fsckComplaint(image: Uint8Array): string | undefined {
  return inFolder((folder) => {
    const path = join(folder, 'image');
    writeFileSync(path, image);
    const { status, output } = run('e2fsck', ['-fn', path]);
    return status === 0 ? undefined : output;
  });
}

/** After a crash: replays the journal, as a mount would, and reads files. Throws Error where the file system cannot be repaired by that. */
export function recover(image: Uint8Array, files: readonly string[]): string[] {
  return inFolder((folder) => {
    const path = join(folder, 'image');
    writeFileSync(path, image);
    const { status, output } = run('e2fsck', ['-fp', path]);
    // 1: errors (an unfinished journal) were corrected.
    if (status > 1) throw new Error(`e2fsck -fp: ${status} ${output}`);
    const copy = (i: number): string => join(folder, `copy${i}`);
    writeFileSync(join(folder, 'commands'), files.map((file, i) => `dump ${file} ${copy(i)}\n`).join(''));
    run('debugfs', ['-f', join(folder, 'commands'), path]);
    return files.map((_, i) => readFileSync(copy(i), 'latin1'));
  });
}

export function overlayOf(image: Uint8Array): OverlayDisk {
  return new OverlayDisk({ size: image.length, read: (offset, length) => image.subarray(offset, offset + length) });
}

export const contentsOf = (disk: BlockBackend): Uint8Array => disk.read(0, disk.size)!;

type Operation = { readonly offset: number; readonly bytes: Uint8Array } | 'flush';

/** A disk that remembers what was asked of it, in order. */
export function recordingDisk(image: Uint8Array): { backend: BlockBackend; operations: Operation[] } {
  const disk = overlayOf(image);
  const operations: Operation[] = [];
  const backend: BlockBackend = {
    size: disk.size,
    readOnly: false,
    read: (offset, length) => disk.read(offset, length),
    write: (offset, bytes) => {
      operations.push({ offset, bytes: bytes.slice() });
      return disk.write(offset, bytes);
    },
    flush: () => operations.push('flush') > 0,
  };
  return { backend, operations };
}

/** The disk after a crash that kept only what was durable when the first `count` operations were done. */
export function afterCrash(image: Uint8Array, operations: readonly Operation[], count: number): Uint8Array {
  const bytes = image.slice();
  const durable = operations.slice(0, count).lastIndexOf('flush');
  for (const operation of operations.slice(0, Math.max(durable, 0))) if (operation !== 'flush') bytes.set(operation.bytes, operation.offset);
  return bytes;
}
