/** LZ4 as Linux packs kernels: the legacy frame (magic 184C2102h, blocks of up to 8 MiB) and its block format ("LZ4 Block Format"). */
import { BootError, hex } from './boot-error';

const LEGACY_MAGIC = 0x184c_2102;
const MINIMUM_MATCH = 4;

/** Unpacks a legacy frame of `size` bytes in all. Throws BootError on damaged data. */
export function unpackLz4Legacy(packed: Uint8Array, size: number): Uint8Array {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (packed.length < 8 || view.getUint32(0, true) !== LEGACY_MAGIC) throw new BootError('the data is not an LZ4 legacy frame (magic 0x184c2102)');
  const out = new Uint8Array(size);
  let done = 0;
  for (let at = 4; at + 4 <= packed.length && done < size;) {
    const length = view.getUint32(at, true);
    at += 4;
    if (length === LEGACY_MAGIC) continue;
    if (at + length > packed.length) throw new BootError(`LZ4 data is truncated: a block of ${length} bytes at ${hex(at)} of ${packed.length}`);
    done = unpackBlock(packed.subarray(at, at + length), out, done);
    at += length;
  }
  if (done !== size) throw new BootError(`LZ4 data is truncated: ${done} of ${size} bytes came out`);
  return out;
}

function unpackBlock(block: Uint8Array, out: Uint8Array, start: number): number {
  let at = 0;
  let done = start;
  /** A length of 15 in the token goes on in bytes, until one is not 255. */
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble === 15) {
      let byte;
      do {
        if (at >= block.length) throw new BootError('LZ4 data is damaged: a length runs off its block');
        byte = block[at++];
        length += byte;
      } while (byte === 255);
    }
    return length;
  };
  while (at < block.length) {
    const token = block[at++];
    const literals = extended(token >>> 4);
    if (at + literals > block.length || done + literals > out.length) throw new BootError('LZ4 data is damaged: literals run off their block');
    out.set(block.subarray(at, at + literals), done);
    at += literals;
    done += literals;
    if (at === block.length) break;
    if (at + 2 > block.length) throw new BootError('LZ4 data is damaged: a block ends inside an offset');
    const offset = block[at] | (block[at + 1] << 8);
    at += 2;
    const length = extended(token & 15) + MINIMUM_MATCH;
    if (offset === 0 || offset > done - start || done + length > out.length)
      throw new BootError(`LZ4 data is damaged: a match of ${length} bytes at distance ${offset}`);
    if (offset >= length) out.copyWithin(done, done - offset, done - offset + length);
    else for (let i = 0; i < length; i++) out[done + i] = out[done - offset + i];
    done += length;
  }
  return done;
}
