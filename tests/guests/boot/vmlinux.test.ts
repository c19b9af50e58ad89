import fc from 'fast-check';
import { BootError } from '../../../guests/boot/boot-error';
import { unpackLz4Legacy } from '../../../guests/boot/lz4';
import { extractVmlinux } from '../../../guests/boot/vmlinux';
import { bzImage } from './sample-images';

/** Output of `lz4 -l -9` for PLAIN. */
const PACKED = Buffer.from('AiFMGEIAAAB/dm1leGl0IAcACP8HOiB0aGUgcXVpY2sgYnJvd24gZm94OxUAAS8uCk4AiR8AAQD//////////////6pQAAAAAAA=', 'base64');
const PLAIN = Buffer.from('vmexit vmexit vmexit vmexit vmexit: the quick brown fox; the quick brown fox.\n'.repeat(3) + '\0'.repeat(3000));

describe('LZ4 legacy frames', () => {
  test('unpacks what the lz4 tool packed', () => {
    expect(Buffer.from(unpackLz4Legacy(PACKED, PLAIN.length)).equals(PLAIN)).toBe(true);
  });

  test('damaged data --> BootError, never more output than asked for', () => {
    fc.assert(
      fc.property(fc.nat(PACKED.length - 1), fc.nat(255), fc.nat(PACKED.length), (at, value, length) => {
        const damaged = Uint8Array.from(PACKED).subarray(0, length);
        if (at < length) damaged[at] = value;
        try {
          expect(unpackLz4Legacy(damaged, PLAIN.length)).toHaveLength(PLAIN.length);
        } catch (error) {
          expect(error).toBeInstanceOf(BootError);
        }
      }),
      { numRuns: 1000, seed: 1 },
    );
  });

  test('a wrong magic number and a wrong size are refused', () => {
    expect(() => unpackLz4Legacy(Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]), 10)).toThrow(/magic/);
    expect(() => unpackLz4Legacy(PACKED, PLAIN.length + 1)).toThrow(/truncated/);
  });
});

describe('the kernel inside a bzImage', () => {
  const withPayload = (payload: Uint8Array): Uint8Array => {
    const image = bzImage((v) => {
      v.setUint32(0x248, 0x400, true);
      v.setUint32(0x24c, payload.length, true);
    });
    image.set(payload, 5 * 512 + 0x400);
    return image;
  };
  const size = (n: number): number[] => [n & 0xff, (n >>> 8) & 0xff, (n >>> 16) & 0xff, n >>> 24];

  test('payload_offset, payload_length, and the size behind the packed data', () => {
    expect(Buffer.from(extractVmlinux(withPayload(Uint8Array.from([...PACKED, ...size(PLAIN.length)])))).equals(PLAIN)).toBe(true);
  });

  test('other compressions and absurd sizes are refused', () => {
    expect(() => extractVmlinux(withPayload(Uint8Array.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0, 0])))).toThrow(/not LZ4/);
    expect(() => extractVmlinux(withPayload(Uint8Array.from([...PACKED, ...size(0xffff_ffff)])))).toThrow(/4294967295/);
    expect(() => extractVmlinux(new Uint8Array(100))).toThrow(/not a bzImage/);
  });
});
