/** Which host frames stand behind guest memory is nobody's business but the hypervisor's. */
import type { GuestRun } from '../guest-run';
import { bootDebian, expectHealthy, some } from './debian';

const SEEDS = [1, 2, 3, 5, 8, 13, 0x1234_5678, 0x7fff_ffff, -1, -77];
const PAGE = 4096;

/** A different pattern in each run: neither zeroes nor what another run left. */
const poisonOf = (run: number): number => 0xa5 ^ (run * 0x11);

function expectPoisoned({ guest }: GuestRun, value: number): void {
  const { memory } = guest.machine;
  const poisoned = Buffer.alloc(PAGE, value);
  let pages = 0;
  for (const { base, size } of guest.freeFrames()) {
    for (let page = base; page < base + size; page += PAGE, pages++) {
      if (Buffer.compare(memory.readBytes(page, PAGE), poisoned) !== 0) throw new Error(`host frame 0x${page.toString(16)} was given to nobody, and changed`);
    }
  }
  expect(pages).toBeGreaterThan(100);
}

describe('Debian cloud kernel under VMX', () => {
  let ordinary: GuestRun;
  beforeAll(() => {
    ordinary = bootDebian('vmx', {}, [], { digest: true });
    expectHealthy(ordinary.console);
  });

  it.each(
    some(
      3,
      SEEDS.map((seed, run) => [seed, run] as const),
    ),
  )('with its memory on other host frames (seed %i): same console, same exits, no other frame touched', (seed, run) => {
    const poison = poisonOf(run);
    const moved = bootDebian('vmx', { frameSeed: seed, poison }, [], { digest: true });
    expect(moved.console).toBe(ordinary.console);
    expect([moved.exitDigest, moved.exits, moved.instructions, moved.time]).toEqual([
      ordinary.exitDigest,
      ordinary.exits,
      ordinary.instructions,
      ordinary.time,
    ]);
    expectPoisoned(moved, poison);
  });
});
