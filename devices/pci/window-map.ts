/** Several register blocks behind one base address. */
import type { RegisterWindow } from './base-address';

export interface WindowPart {
  readonly offset: number;
  readonly size: number;
  readonly window: RegisterWindow;
}

/** What lies between the parts reads 0 and takes no writes. An access belongs to the part where it begins. */
export function windowMap(parts: readonly WindowPart[]): RegisterWindow {
  const at = (offset: number): WindowPart | undefined => parts.find((p) => offset >= p.offset && offset < p.offset + p.size);
  return {
    read: (offset, size) => {
      const part = at(offset);
      return part === undefined ? 0 : part.window.read(offset - part.offset, size);
    },
    write: (offset, size, value) => {
      const part = at(offset);
      if (part !== undefined) part.window.write(offset - part.offset, size, value);
    },
  };
}
