import type { Cpu } from '../../cpu/cpu';
import { Cr0 } from '../../cpu/registers';
import { supportedCr4, supportedEfer } from '../../cpu/system/control-state';
import { svmCapabilities } from '../capabilities';
import type { EntryState } from './check';

/** A VMCB image and the processor that would run it, as the rules see them. */
export class VmcbEntryState implements EntryState {
  /** Index in `words` of the image's first word. */
  base = 0;
  readonly physicalAddressWidth: number;
  readonly supportedEfer: number;
  readonly supportedCr4: number;
  readonly svmFeatures: number;
  readonly asids: number;

  /** @param words what holds the image: memory.u32 of the machine, or the merged copy of a processor that caches clean fields. */
  constructor(
    private readonly cpu: Cpu,
    public words: Uint32Array,
  ) {
    this.physicalAddressWidth = cpu.profile.physicalAddressWidth;
    this.supportedEfer = supportedEfer(cpu);
    this.supportedCr4 = supportedCr4(cpu);
    const { asids, features } = svmCapabilities(cpu.profile);
    this.svmFeatures = features;
    this.asids = asids;
  }

  word(offset: number): number {
    return this.words[this.base + (offset >>> 2)];
  }
  memory32(physicalAddress: number): number {
    return this.cpu.memory.read32(physicalAddress);
  }
  get hostPaging(): boolean {
    return (this.cpu.cr0 & Cr0.PG) !== 0;
  }
}
