import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { PipeOutput } from '../../cli/pipe-output';
import { file, limit, powerOff, vmexit, type FakeGuest } from './fake-machine';

const VMEXIT = join(__dirname, '../../bin/vmexit.js');
const image = file('image', 'not really a kernel');

/** A pipe whose reader takes `room` bytes, and then waits for take(). */
class Reader extends Writable {
  text = '';
  private waiting: (() => void) | undefined;
  constructor(private room: number) {
    super({ highWaterMark: 1 });
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const take = (): void => {
      this.text += chunk.toString('latin1');
      this.room -= chunk.length;
      done();
    };
    if (this.room > 0) take();
    else this.waiting = take;
  }
  take(room: number): void {
    this.room = room;
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.();
  }
}

/** A guest that prints a quarter of a MiB in each slice. */
const chatter = (guest: FakeGuest) => {
  guest.print('y'.repeat(1 << 18));
  return limit();
};

test('order is kept, whatever the pieces', async () => {
  const reader = new Reader(Infinity);
  const output = new PipeOutput(reader);
  const long = 'abcdefg'.repeat(3000);
  for (const text of ['one', '', long, 'two']) output.write(text);
  expect(await output.delivered(Infinity, 10)).toBe(0);
  expect(reader.text).toBe(`one${long}two`);
  expect([output.full, output.abandoned]).toEqual([false, false]);
});

test('a reader that moves is waited for, one that stands still is not', async () => {
  const reader = new Reader(1);
  const output = new PipeOutput(reader);
  output.write('x'.repeat(40_960));
  let pulses = 0;
  const pulse = setInterval(() => (pulses++ < 6 ? reader.take(1) : clearInterval(pulse)), 20);
  const lost = await output.delivered(0, 100);
  expect(lost).toBeGreaterThan(0);
  expect(lost).toBe(40_960 - reader.text.length);
  expect(reader.text.length).toBeGreaterThan(3 * 4096);
  expect(output.abandoned).toBe(true);
});

// Together: each of them waits for the reader for a second.
describe('nobody reads stdout', () => {
  test.concurrent('the guest stands still; --timeout ends the run', async () => {
    const output = new PipeOutput(new Reader(1));
    const { code, stderr, guest } = await vmexit(['run', image, '--timeout', '0.1'], [chatter], undefined, { stdout: output });
    expect(code).toBe(124);
    expect(stderr).toMatch(/timeout: 0.1 seconds are over\nvmexit: \d+ bytes of output are thrown away: nobody has read them/);
    expect(guest?.calls).toBeLessThan(8);
  });

  test.concurrent('a signal ends the run', async () => {
    const onInterrupt = (stop: () => void): (() => void) => {
      setTimeout(stop, 50);
      return () => {};
    };
    const stdout = new PipeOutput(new Reader(1));
    expect((await vmexit(['run', image], [chatter], undefined, { stdout, onInterrupt })).code).toBe(130);
  });

  test.concurrent('a guest that has ended is not forgotten over --timeout', async () => {
    const last = (guest: FakeGuest) => {
      guest.print('the end');
      return powerOff();
    };
    const { code, stderr } = await vmexit(['run', image, '--timeout', '0.1'], [last], undefined, { stdout: new PipeOutput(new Reader(0)) });
    expect([code, stderr]).toEqual([124, expect.stringMatching(/^vmexit: 8 bytes of output are thrown away/)]);
  });

  test.concurrent('once somebody reads, the guest goes on, and nothing is lost', async () => {
    const reader = new Reader(1);
    setTimeout(() => reader.take(Infinity), 50);
    const stdout = new PipeOutput(reader);
    const { code, guest } = await vmexit(['run', image], [...new Array<typeof chatter>(20).fill(chatter), powerOff], undefined, { stdout });
    expect([code, guest?.calls, reader.text.length]).toEqual([0, 21, 20 * (1 << 18) + 1]);
  });
});

test('a real pipe that nobody reads keeps no process', async () => {
  // mov edx, 3F8h; mov al, 'y'; out dx, al; jmp back: for ever.
  const program = file('yes', Uint8Array.of(0xba, 0xf8, 0x03, 0, 0, 0xb0, 0x79, 0xee, 0xeb, 0xfb));
  const args = ['run', program, '--format', 'flat64', '--bare', '--memory', '2M', '--timeout', '0.3'];
  const child = spawn(process.execPath, [VMEXIT, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const [code] = (await once(child, 'exit')) as [number];
  child.stdout.destroy();
  expect(code).toBe(124);
}, 30_000);
