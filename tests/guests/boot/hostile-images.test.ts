import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BootError } from '../../../guests/boot/boot-error';
import { planBoot } from '../../../guests/boot/plan';
import { MIB, bzImage, multibootKernel, options, pvhKernel } from './sample-images';

const bundled = (name: string): Uint8Array => readFileSync(join(__dirname, `../../../guests/bundled/${name}/${name}.elf`));
const SAMPLES: readonly [string, Uint8Array][] = [
  ['bzImage', bzImage()],
  ['PVH kernel', pvhKernel()],
  ['multiboot kernel', multibootKernel()],
  ['multiboot kernel with addresses', multibootKernel(0x1_0003)],
  ['bundled guest', bundled('hello')],
];

/** A plan, or a BootError with a message for people; never anything else. Every plan keeps to the machine's RAM. */
function attempt(image: Uint8Array, format?: 'flat32' | 'flat64'): void {
  try {
    const plan = planBoot(image, options({ initrd: new Uint8Array(100), commandLine: 'a b', format }));
    for (const { address, bytes } of plan.writes) {
      expect(address).toBeGreaterThanOrEqual(0);
      expect(address + bytes.length).toBeLessThanOrEqual(64 * MIB);
      expect(Number.isSafeInteger(address)).toBe(true);
    }
    expect(plan.entry.rip).toBeLessThan(64 * MIB);
  } catch (error) {
    if (!(error instanceof BootError)) throw error;
    expect(error.message).not.toMatch(/undefined|NaN|\[object/);
  }
}

describe('no image makes the planner do anything but plan or refuse', () => {
  test.each(SAMPLES)('%s, truncated anywhere', (_name, image) => {
    fc.assert(
      fc.property(fc.nat(image.length), (length) => attempt(image.slice(0, length))),
      { numRuns: 300, seed: 1 },
    );
  });

  test.each(SAMPLES)('%s, with bytes changed in its headers', (_name, image) => {
    const change = fc.tuple(fc.nat(Math.min(image.length, 0x280) - 1), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
        const mutated = image.slice();
        for (const [at, value] of changes) mutated[at] = value;
        attempt(mutated);
      }),
      { numRuns: 500, seed: 2 },
    );
  });

  test.each(SAMPLES)('%s, with 32-bit words replaced by extreme ones', (_name, image) => {
    const change = fc.tuple(fc.nat(Math.min(image.length, 0x280) - 4), fc.constantFrom(0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_f000, 0x10_0000));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const mutated = image.slice();
        for (const [at, value] of changes) new DataView(mutated.buffer).setUint32(at & ~3, value, true);
        attempt(mutated);
      }),
      { numRuns: 500, seed: 3 },
    );
  });

  test('random bytes, in every format', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), fc.constantFrom(undefined, 'flat32' as const, 'flat64' as const), (image, format) =>
        attempt(image, format),
      ),
      { numRuns: 500, seed: 4 },
    );
  });

  test('thousands of claimed headers cost neither time nor memory', () => {
    const image = pvhKernel();
    new DataView(image.buffer).setUint16(56, 0xffff, true);
    expect(() => planBoot(image, options())).toThrow(/65535 program headers/);
  });
});
