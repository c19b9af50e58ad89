/**
 * What an exit is explained by, as it was when the exit happened: the control structure and RCX. Whoever handles the exit changes them:
 * RIP goes on, controls are switched, a VMCB is cleared for the next VMRUN.
 */
import { R } from '../cpu/layout';
import type { Guest } from '../hypervisor/guest';
import { PAGE_SIZE } from '../memory/physical-memory';

export interface ExitImage {
  /** The page of the VMCS or VMCB. */
  readonly bytes: Uint8Array;
  readonly rcx: number;
}

const RCX = R.GPR + 8;
const NONE = -1;

/** Takes the images of one guest. Each is good until the next is taken; `keep` makes one that lasts. */
export class ExitCamera {
  private readonly bytes = new Uint8Array(PAGE_SIZE);

  constructor(private readonly guest: Guest) {}

  /** undefined: no VMCS is current. */
  take(): ExitImage | undefined {
    const { vmx, svm, memory, cpu } = this.guest.machine;
    const address = vmx !== undefined ? vmx.vmcs.pointer : (svm?.vmcbAddress ?? NONE);
    const host = address < 0 ? 0 : memory.host(address);
    if (host === 0) return undefined;
    this.bytes.set(memory.u8.subarray(host, host + PAGE_SIZE));
    return { bytes: this.bytes, rcx: cpu.get32(RCX) };
  }
}

export const keep = (image: ExitImage | undefined): ExitImage | undefined => image && { ...image, bytes: image.bytes.slice() };

/** A field of `bits` at an offset, unsigned. */
export function fieldOf({ bytes }: ExitImage, offset: number, bits: number): bigint {
  let value = 0n;
  for (let i = offset + Math.ceil(bits / 8) - 1; i >= offset; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}
