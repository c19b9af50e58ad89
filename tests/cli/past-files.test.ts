/** Files that hold something of a run: a recording, a snapshot, a trace; whole, cut, or where something else is wanted. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { createGuestRunner } from '../../cli/guest-machine';
import { main } from '../../cli/main';
import type { Io } from '../../cli/run-command';

const directory = mkdtempSync(join(tmpdir(), 'vmexit-past-'));
const file = (name: string): string => join(directory, name);
const TOUR = join(__dirname, '../../guests/bundled/tour/tour.elf');

async function vmexit(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const collect = (to: Buffer[]) =>
    new Writable({
      write: (chunk: Buffer, _, done) => {
        to.push(Buffer.from(chunk));
        done();
      },
    });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  const io = { now: () => 0, stdin: Readable.from([]), stdout: collect(out), stderr: collect(err), onInterrupt: () => () => {} } as unknown as Io;
  const status = await main(args, io, createGuestRunner);
  if (status === 70) throw new Error(Buffer.concat(err).toString());
  return { status, out: Buffer.concat(out).toString('latin1'), err: Buffer.concat(err).toString('latin1') };
}

describe('a recording', () => {
  const whole = file('tour.rec');
  beforeAll(async () => {
    expect((await vmexit('run', TOUR, '--record', whole)).status).toBe(0);
  });

  it('cut behind its last newline is compared to its last moment', async () => {
    const [, instructions] = /the same: (\d+) instructions/.exec((await vmexit('replay', whole)).out)!;
    writeFileSync(file('cut.rec'), readFileSync(whole).subarray(0, -1));
    const { status, out } = await vmexit('replay', file('cut.rec'));
    expect({ status, out }).toEqual({
      status: 0,
      out: expect.stringContaining(`the same as far as the recording goes: ${instructions} instructions`) as string,
    });
  });

  it('cut before anything that could be compared is not called the same', async () => {
    writeFileSync(file('none.rec'), readFileSync(whole).subarray(0, 1500));
    const { status, out, err } = await vmexit('replay', file('none.rec'));
    expect({ status, out, err }).toEqual({ status: 2, out: '', err: expect.stringMatching(/cut before the first thing that could be compared/) as string });
  });

  it('with a bit that has flipped is damaged, and no divergence', async () => {
    const bytes = readFileSync(whole);
    bytes[Math.floor(bytes.length / 2)] ^= 1;
    writeFileSync(file('flipped.rec'), bytes);
    expect((await vmexit('replay', file('flipped.rec'))).err).toMatch(/line \d+ is not as it was written .*damaged/);
  });

  it('is opened by the debugger, and so is a snapshot; neither is an image', async () => {
    const recorded = await vmexit('debug', whole, '-c', 'exit 3', '-c', `snapshot ${file('s.snap')}`);
    expect(recorded).toMatchObject({ status: 0, out: expect.stringMatching(/exit 3: /) as string });
    expect(await vmexit('debug', file('s.snap'), '-c', 'info registers rip')).toMatchObject({ status: 0 });
    expect((await vmexit('debug', file('s.snap'), '--memory', '8M', '-c', 'exit')).err).toMatch(/--memory: .* is a snapshot, which has the machine in it/);
    expect((await vmexit('run', file('s.snap'))).err).toMatch(/s\.snap is a snapshot of a run, not an image: vmexit debug /);
    expect((await vmexit('run', whole)).err).toMatch(/is a recording of a run, not an image: .*vmexit replay /);
  });
});

describe('vmexit stats', () => {
  const ROW = '{"vcpu":0,"instructions":5,"ticks":5,"rip":"0x1","reason":"HLT","code":12,"qualification":"0x0","handler":"hlt","outcome":"halt"}\n';

  it('counts what is whole of a trace whose last line was cut, and says so', async () => {
    writeFileSync(file('cut.ndjson'), ROW + ROW + ROW.slice(0, 40));
    const { status, out } = await vmexit('stats', file('cut.ndjson'));
    expect({ status, out }).toEqual({ status: 0, out: expect.stringMatching(/^2 VM exits[\s\S]*line 3, the last one, was cut short/) as string });
    expect(JSON.parse((await vmexit('stats', file('cut.ndjson'), '--json')).out)).toMatchObject({ total: 2, cutLine: 3 });
  });

  it.each([
    ['a line in the middle', ROW + ROW.slice(0, 40) + '\n' + ROW, /line 2: /],
    ['nothing whole', ROW.slice(0, 40), /line 1: /],
    ['parquet', 'PAR1\x15\x04', /a trace of the format parquet .*: give a trace that --trace-format ndjson wrote/],
    ['perfetto', '{"displayTimeUnit":"ns","traceEvents":[\n', /format perfetto/],
    ['kvm', '          vmexit-1       [000]     0.000000: kvm_entry:            vcpu 0, rip 0x100000\n', /format kvm/],
  ])('refuses %s', async (_, text, message) => {
    writeFileSync(file('refused'), text);
    const { status, err } = await vmexit('stats', file('refused'));
    expect({ status, err }).toEqual({ status: 2, err: expect.stringMatching(message) as string });
  });
});
