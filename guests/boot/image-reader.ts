/** Little-endian reads from an image that nobody has checked: a read outside it is a BootError that names the field. */
import { BootError, bytesText, hex } from './boot-error';

export class ImageReader {
  private readonly view: DataView;

  /** @param what the image in messages: "bzImage", "ELF file". */
  constructor(
    readonly bytes: Uint8Array,
    readonly what: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.bytes.length;
  }

  private need(offset: number, size: number, field: string): void {
    if (offset >= 0 && size >= 0 && offset + size <= this.bytes.length) return;
    throw new BootError(
      `${this.what} is truncated or damaged: ${field} needs ${bytesText(size)} at offset ${hex(offset)}, but the file has ${this.bytes.length} bytes; ` +
        'copy the image again, or extract it from its package again',
    );
  }

  u8(offset: number, field: string): number {
    this.need(offset, 1, field);
    return this.bytes[offset];
  }
  u16(offset: number, field: string): number {
    this.need(offset, 2, field);
    return this.view.getUint16(offset, true);
  }
  u32(offset: number, field: string): number {
    this.need(offset, 4, field);
    return this.view.getUint32(offset, true);
  }
  /** A 64-bit address or size. Anything beyond the 52-bit physical address space is refused. */
  u64(offset: number, field: string): number {
    this.need(offset, 8, field);
    const value = this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * 0x1_0000_0000;
    if (value >= 2 ** 52) throw new BootError(`${this.what} is damaged: ${field} is 0x${this.view.getBigUint64(offset, true).toString(16)}, beyond 52 bits`);
    return value;
  }
  /** Any 64-bit value: virtual addresses. */
  u64Any(offset: number, field: string): bigint {
    this.need(offset, 8, field);
    return this.view.getBigUint64(offset, true);
  }
  /** A view, not a copy. */
  slice(offset: number, size: number, field: string): Uint8Array {
    this.need(offset, size, field);
    return this.bytes.subarray(offset, offset + size);
  }
}
