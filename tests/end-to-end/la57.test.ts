import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest } from '../../hypervisor/guest';
import { runGuest } from '../guest-run';
import { reportLines } from './report-lines';

/** 5-level paging, against what the same image printed under `qemu-system-x86_64 -cpu qemu64,+la57 -kernel la57.elf` (TCG, QEMU 7.2). */
const RECORDED = readFileSync(join(__dirname, 'la57.qemu.txt'), 'latin1');

/** SDM "Page-Fault Exceptions": "bit 3 can be set only if bit 0 is also set"; QEMU 7.2 sets it alone. */
const RESERVED = ['PML5E: bit 7', 'PML5E: bit 51'].flatMap((section) =>
  [
    ['load', '9'],
    ['store', 'b'],
    ['fetch', '19'],
  ].map(([access, code]) => [`${section}: ${access}`, `#PF ${code} at ff12000000003000`] as const),
);

const image = readFileSync(join(__dirname, '../../guests/bundled/la57/la57.elf'));
const run = (backend: 'bare' | 'vmx' | 'svm', cpu: string): ReturnType<typeof runGuest> => runGuest({ image, memoryBytes: 64 << 20, backend, cpu });

describe('5-level paging', () => {
  const bare = run('bare', 'intel,+la57');
  const printed = reportLines(bare.console);
  const expected = reportLines(RECORDED);
  for (const [line, text] of RESERVED) expected.set(line, text);
  it.each([...expected])('%s: %s', (line, text) => expect(printed.get(line)).toBe(text));
  it('nothing else was printed', () => {
    expect([...printed.keys()]).toEqual([...expected.keys()]);
    expect(bare.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });

  it.each([
    ['vmx', 'intel,+la57'],
    ['bare', 'amd,+la57'],
    ['svm', 'amd,+la57'],
  ] as const)('%s, %s: the same, at the same instructions', (backend, cpu) => {
    const other = run(backend, cpu);
    expect(other.console).toBe(bare.console);
    expect([other.instructions, other.time]).toEqual([bare.instructions, bare.time]);
  });

  it.each(['bare', 'vmx'] as const)('%s: goes on from a snapshot amid 57-bit addresses', (backend) => {
    const config = { image, memoryBytes: 64 << 20, backend, cpu: 'intel,+la57' };
    const { guest, console: begun } = runGuest(config, [], { until: 'PML5E: bit 7\r\n' });
    let rest = '';
    const copy = Guest.fromState(guest.saveState(), { serialOutput: (byte) => (rest += String.fromCharCode(byte)) });
    copy.run(60e9);
    expect(begun + rest).toBe(bare.console);
  });

  it('a processor has it only if asked for', () => {
    for (const cpu of ['intel', 'amd']) expect(run('bare', cpu).console).toContain('no 5-level paging');
  });
});
