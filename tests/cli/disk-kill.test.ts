/** Killed at any moment, a run leaves everything on its disk that the guest was told is durable, and nothing of ours that is in the way. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { DiskImage } from '../../library/disk-image';
import { DISK_LOG, RECORD, sequences } from './disk-log';

const VMEXIT = join(__dirname, '../../bin/vmexit.js');
const SLOTS = 32;
/** Twenty with VMEXIT_TESTS=all. */
const RUNS = process.env.VMEXIT_TESTS === 'all' ? 20 : 3;
const SEED = 5;

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'disk-kill-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** After how many records, and how many milliseconds later. */
const moment = fc.record({ records: fc.integer({ min: 0, max: 60 }), delay: fc.integer({ min: 0, max: 40 }) });
const moments = fc.sample(moment, { numRuns: RUNS, seed: SEED });

/** The console up to the end of the process: nothing but SIGKILL ends it. */
function killed(disk: string, { records, delay }: (typeof moments)[number]): Promise<string> {
  const child = spawn(process.execPath, [VMEXIT, 'run', DISK_LOG, '--bare', '--drive', `${disk},if=virtio`], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [console, complaints, aimed] = ['', '', false];
  child.stderr.on('data', (bytes: Buffer) => (complaints += bytes.toString()));
  child.stdout.on('data', (bytes: Buffer) => {
    console += bytes.toString();
    if (aimed || (console.match(/flushed \d+\r\n/g)?.length ?? 0) < records || !console.includes('recovered')) return;
    aimed = true;
    setTimeout(() => child.kill('SIGKILL'), delay);
  });
  return new Promise((resolve, reject) =>
    child.on('close', (_, signal) => (signal === 'SIGKILL' ? resolve(console) : reject(new Error(`the run ended by itself: ${console}${complaints}`)))),
  );
}

const numbers = (console: string, word: string): number[] => [...console.matchAll(new RegExp(`${word} (\\d+)\\r\\n`, 'g'))].map((match) => Number(match[1]));

test(`SIGKILL at ${RUNS} moments: every record that was flushed is there, whole, and the next run takes the disk over`, async () => {
  const disk = join(folder, 'disk');
  writeFileSync(disk, new Uint8Array(SLOTS * RECORD));
  let durable = 0;
  for (const at of moments) {
    const console = await killed(disk, at);
    // What the guest itself finds, of all runs before this one.
    const [recovered] = numbers(console, 'recovered');
    expect(recovered).toBeGreaterThanOrEqual(durable);
    durable = numbers(console, 'flushed').at(-1) ?? recovered;
    const found = sequences(readFileSync(disk));
    const newest = Math.max(0, ...found.map((sequence) => sequence ?? 0));
    expect(newest).toBeGreaterThanOrEqual(durable);
    // Behind the newest whole record at most one is under way; it may have been torn, in the slot of the oldest.
    for (let sequence = Math.max(1, newest - SLOTS + 2); sequence <= newest; sequence++) expect(found[sequence % SLOTS]).toBe(sequence);
    // The lock of a process that is no more, and nothing else.
    expect(readdirSync(folder).sort()).toEqual(['disk', expect.stringMatching(/^disk\.lock\.write\./)]);
  }
  expect(durable).toBeGreaterThan(SLOTS);
  DiskImage.open(disk, false).close();
  expect(readdirSync(folder)).toEqual(['disk']);
}, 300_000);
