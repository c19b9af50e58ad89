/** An image, or what goes with it, that cannot be booted: says what was refused, the values, and what to do about it. */
export class BootError extends Error {
  override readonly name = 'BootError';
}

export const hex = (value: number): string => `0x${value.toString(16)}`;

/** A size as people write it: "53.2 MiB", "512 bytes". */
export function bytesText(size: number): string {
  if (size >= 1 << 20) return `${+(size / (1 << 20)).toFixed(1)} MiB`;
  if (size >= 1 << 10) return `${+(size / (1 << 10)).toFixed(1)} KiB`;
  return `${size} bytes`;
}
