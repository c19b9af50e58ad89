/**
 * What SIGKILL leaves of an ext4 image under a run that writes and flushes. The image is looked at twenty times while the process stands still
 * (the host keeps what a killed process has written, so that is what a kill at that moment leaves), and then the process is killed.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { DiskImage } from '../../library/disk-image';
import { ext4Image, recover } from './disk-files';

const ROOT = join(__dirname, '../..');
const guestFile = (name: string): string => join(ROOT, '.cache/guests', name);
const MOMENTS = 20;
const HELLO = 'hello from the host\n';
/** Milliseconds of the host between two looks. */
const delays = fc.sample(fc.integer({ min: 20, max: 400 }), { numRuns: MOMENTS, seed: 7 });

const LOOP =
  'n=100; while true; do echo contents $n > /mnt/f$n; dd if=/dev/urandom of=/mnt/big$((n%5)) bs=4k count=9; [ $n -gt 130 ] && rm -f /mnt/f$((n-31)); sync; echo safe:$n:; n=$((n+1)); done 2>/dev/null';
const KEPT = 20;

it('passes fsck with what the guest had synced, at twenty moments and after the kill; nothing of ours is in the way', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'disk-kill-'));
  try {
    const [disk, typed] = [join(folder, 'disk'), join(folder, 'typed')];
    writeFileSync(disk, ext4Image(8 << 20, HELLO));
    writeFileSync(typed, ['guest# -> mkdir /mnt; mount -t ext4 /dev/vda /mnt\\n', `guest# -> ${LOOP}\\n`, ''].join('\n'));
    const child = spawn(
      process.execPath,
      [
        ...[join(ROOT, 'bin/vmexit.js'), 'run', guestFile('vmlinuz'), '--initrd', guestFile('initramfs-disks.cpio.gz')],
        ...['--append', 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests', '--drive', `${disk},if=virtio`, '--type', typed],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let console = '';
    let heard: () => void = () => {};
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => {
        console += bytes.toString();
        heard();
      });
    const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on('close', (_, signal) => resolve(signal)));
    const started = new Promise<void>((resolve) => (heard = () => console.includes('safe:100:\r\n') && resolve()));
    await Promise.race([started, ended.then(() => Promise.reject(new Error(`the run ended: ${console}`)))]);

    const whole = (): void => {
      const last = Number([...console.matchAll(/^safe:(\d+):\r$/gm)].at(-1)![1]);
      const numbers = Array.from({ length: Math.min(KEPT, last - 99) }, (_, i) => last - i);
      const found = recover(readFileSync(disk), ['/hello', ...numbers.map((n) => `/f${n}`)]);
      expect(found).toEqual([HELLO, ...numbers.map((n) => `contents ${n}\n`)]);
    };
    for (const delay of delays) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      child.kill('SIGSTOP');
      // What it had printed arrives.
      await new Promise((resolve) => setTimeout(resolve, 20));
      whole();
      child.kill('SIGCONT');
    }
    child.kill('SIGKILL');
    expect(await ended).toBe('SIGKILL');
    whole();
    expect(readdirSync(folder).sort()).toEqual(['disk', expect.stringMatching(/^disk\.lock\.write\./), 'typed']);
    DiskImage.open(disk, false).close();
    expect(readdirSync(folder).sort()).toEqual(['disk', 'typed']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
