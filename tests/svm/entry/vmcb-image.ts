/** A VMCB that a processor would run, on a page of its own: the baseline from which each test breaks one thing. */
import type { EntryState, ProcessorFacts } from '../../../svm/entry/check';
import { SvmFeature } from '../../../svm/features';
import { describeField } from '../../../svm/vmcb/fields';
import { VMCB_SIZE, type VmcbField } from '../../../svm/vmcb/layout';

export type Patch = Partial<Record<VmcbField, bigint | number>>;

/** A processor with 48-bit physical addresses, long mode, every CR4 bit that Zen 4 without CET has, and every SVM feature but AVIC and SEV. */
export const PROCESSOR: ProcessorFacts = {
  physicalAddressWidth: 48,
  supportedEfer: 0xfd01,
  supportedCr4: 0x0077_0fff & ~0x0000_2000,
  svmFeatures: Object.values(SvmFeature).reduce((bits, bit) => bits | bit, 0) & ~(SvmFeature.AVIC | SvmFeature.X2AVIC),
  asids: 0x8000,
  hostPaging: true,
};

/** A 64-bit guest in CPL 0 under nested paging. */
export const BASELINE: Patch = {
  INTERCEPTS_3: 1 << 27,
  INTERCEPTS_4: 1,
  IOPM_BASE_PA: 0x10_0000,
  MSRPM_BASE_PA: 0x20_0000,
  GUEST_ASID: 1,
  NESTED_CONTROL: 1,
  N_CR3: 0x30_0000,
  CS_SELECTOR: 8,
  CS_ATTRIB: 0xa9b,
  CS_LIMIT: 0xffff_ffff,
  SS_SELECTOR: 0x10,
  SS_ATTRIB: 0xc93,
  EFER: 0x1d01,
  CR0: 0x8001_0033,
  CR3: 0x10_0000,
  CR4: 0x6b0,
  DR6: 0xffff_0ff0,
  DR7: 0x400,
  RFLAGS: 2,
  G_PAT: 0x0007_0406_0007_0406n,
};

/** What must change for a guest in 32-bit protected mode with PAE paging and without nested paging. */
export const PAE_GUEST: Patch = { NESTED_CONTROL: 0, EFER: 0x1000, CR0: 0x8001_0033, CR4: 0x6b0, CR3: 0x5000, CS_ATTRIB: 0xc9b };
export const REAL_MODE_GUEST: Patch = { EFER: 0x1000, CR0: 0x10, CR4: 0, CR3: 0, CS_ATTRIB: 0x9b };

export class VmcbImage implements EntryState {
  readonly bytes = new DataView(new ArrayBuffer(VMCB_SIZE));
  readonly memory = new Map<number, number>();
  readonly physicalAddressWidth: number;
  readonly supportedEfer: number;
  readonly supportedCr4: number;
  readonly svmFeatures: number;
  readonly asids: number;
  readonly hostPaging: boolean;

  constructor(patch: Patch = {}, processor: Partial<ProcessorFacts> = {}) {
    const facts = { ...PROCESSOR, ...processor };
    this.physicalAddressWidth = facts.physicalAddressWidth;
    this.supportedEfer = facts.supportedEfer;
    this.supportedCr4 = facts.supportedCr4;
    this.svmFeatures = facts.svmFeatures;
    this.asids = facts.asids;
    this.hostPaging = facts.hostPaging;
    for (const [name, value] of Object.entries({ ...BASELINE, ...patch })) this.write(name as VmcbField, BigInt(value));
  }

  write(name: VmcbField, value: bigint): void {
    const { offset, bits } = describeField(name);
    for (let i = 0; i < bits / 8; i++) this.bytes.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
  }

  word(offset: number): number {
    if (offset % 4 !== 0) throw new RangeError(`the rules read words, not offset 0x${offset.toString(16)}`);
    return this.bytes.getUint32(offset, true);
  }
  memory32(address: number): number {
    return this.memory.get(address) ?? 0;
  }
}
