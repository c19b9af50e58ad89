/** The ELF kernel inside a bzImage. */
import { BootError, hex } from './boot-error';
import { readLinuxHeader, isLinuxImage } from './linux';
import { unpackLz4Legacy } from './lz4';

const LZ4_LEGACY = 0x184c_2102;
/** The build appends the unpacked size to the packed data. */
const SIZE_BYTES = 4;
const LARGEST = 0x2000_0000;

/** Unpacks the payload of an LZ4 bzImage. Throws BootError for other compressions and damaged images. */
export function extractVmlinux(image: Uint8Array): Uint8Array {
  if (!isLinuxImage(image)) throw new BootError('the image has no Linux setup header ("HdrS" at offset 0x202): it is not a bzImage');
  const { kernel, payloadOffset, payloadLength } = readLinuxHeader(image);
  if (payloadLength < 2 * SIZE_BYTES) throw new BootError(`the bzImage has a payload of ${payloadLength} bytes: it is damaged`);
  const payload = kernel.subarray(payloadOffset, payloadOffset + payloadLength);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const magic = view.getUint32(0, true);
  if (magic !== LZ4_LEGACY)
    throw new BootError(`the payload of the bzImage begins with ${hex(magic)}, not LZ4; unpack it with the scripts/extract-vmlinux of the Linux sources`);
  const size = view.getUint32(payload.length - SIZE_BYTES, true);
  if (size > LARGEST) throw new BootError(`the bzImage is damaged: it claims an unpacked size of ${size} bytes`);
  return unpackLz4Legacy(payload.subarray(0, payload.length - SIZE_BYTES), size);
}
