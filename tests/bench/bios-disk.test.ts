/** The disks that Bochs boots from, on QEMU: another BIOS machine whose serial console is easy to read. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linuxDisk, pvhDisk } from '../../bench/bios-disk';
import { BENCH_GUEST, END_OF_ROWS, IMAGE_ENTERED, readRow } from '../../bench/workload';

const MEMORY = 256 << 20;
const has = (tool: string): boolean => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
const withBinutils = has('as') && has('ld') ? describe : describe.skip;
const withQemu = has('as') && has('ld') && has('qemu-system-x86_64') ? describe : describe.skip;

/** What the disk prints on the serial port up to `last`. */
function bootOnQemu(disk: Buffer, last: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'bios-disk-'));
  const image = join(directory, 'disk.img');
  writeFileSync(image, disk);
  const args = ['-drive', `file=${image},format=raw`, '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-m', '256', '-net', 'none'];
  const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  return new Promise((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (text.includes(last)) child.kill('SIGKILL');
    });
    child.on('close', () => {
      rmSync(directory, { recursive: true });
      resolve(text);
    });
  });
}

withQemu('a bundled guest on a disk', () => {
  it('is entered with its command line and a memory map', async () => {
    const text = await bootOnQemu(pvhDisk(readFileSync(BENCH_GUEST), 'quick fib sieve', MEMORY), END_OF_ROWS);
    expect(text).toContain(`${IMAGE_ENTERED}\n`);
    // fib(22); primes below 125000: "sieve" needs RAM that only the memory map promises.
    expect(text.split('\n').flatMap((line) => readRow(line) ?? [])).toEqual([
      { name: 'fib', count: 22, check: '452f' },
      { name: 'sieve', count: 125000, check: '2dd6' },
    ]);
  });
});

withBinutils('what a disk cannot hold', () => {
  it('an ELF file without a PVH entry point', () => {
    // The class of the note section's name is damaged: "Xen" becomes "Yen".
    const image = Buffer.from(readFileSync(BENCH_GUEST));
    image.write('Yen', image.indexOf('Xen\0'));
    expect(() => pvhDisk(image, '', MEMORY)).toThrow(/no PVH entry point/);
  });

  it('something that is not Linux', () => {
    expect(() => linuxDisk(new Uint8Array(4096), new Uint8Array(0), '', MEMORY)).toThrow(/Linux image/);
  });
});
