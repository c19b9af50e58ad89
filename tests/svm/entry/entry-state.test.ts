/** The rules over a VMCB in RAM, on the processor that `amd-svm` describes. */
import { Cpu } from '../../../cpu/cpu';
import { R } from '../../../cpu/layout';
import { parseProfile } from '../../../cpu/profiles/profile';
import { PhysicalMemory } from '../../../memory/physical-memory';
import { VmcbEntryState } from '../../../svm/entry/entry-state';
import { violations } from '../../../svm/entry/explain';
import { VmcbImage, type Patch } from './vmcb-image';

const VMCB_PA = 0x3000;

function state(patch: Patch = {}, hostCr0 = 0x8001_0033n): VmcbEntryState {
  const memory = new PhysicalMemory(1 << 20);
  const cpu = new Cpu(memory, parseProfile('amd-svm'));
  cpu.set64(R.CR0, hostCr0);
  const image = new VmcbImage(patch);
  for (let offset = 0; offset < 4096; offset += 4) memory.write32(VMCB_PA + offset, image.word(offset));
  const entry = new VmcbEntryState(cpu, memory.u32);
  entry.base = memory.host(VMCB_PA) >>> 2;
  return entry;
}
const ids = (entry: VmcbEntryState): string[] => violations(entry).map((v) => v.check.id);

describe('a VMCB in memory', () => {
  it('that is in order breaks no rule', () => expect(ids(state())).toEqual([]));
  it('is judged by the width of physical addresses of the profile', () => {
    expect(ids(state({ CR3: (1n << 46n) - 4096n }))).toEqual([]);
    expect(ids(state({ CR3: 1n << 46n }))).toEqual(['cr3.mbz']);
  });
  it('is judged by the CR4 and EFER bits of the profile: no VMXE, but SMEP; no reserved EFER bit', () => {
    expect(ids(state({ CR4: 0x10_06b0 }))).toEqual([]);
    expect(ids(state({ CR4: 0x26b0 }))).toEqual(['cr4.mbz']);
    expect(ids(state({ EFER: 0x1d03 }))).toEqual(['efer.mbz']);
  });
  it('needs host paging for nested paging', () => expect(ids(state({}, 0x33n))).toEqual(['np.host-paging']));
  it('has its PDPEs read from physical memory', () => {
    const entry = state({ NESTED_CONTROL: 0, EFER: 0x1000, CS_ATTRIB: 0xc9b, CR3: VMCB_PA });
    // CR_READ_INTERCEPTS, at the beginning of the VMCB, are PDPE 0 here: not present. The exception intercepts are PDPE 1.
    expect(ids(entry)).toEqual([]);
    entry.words[entry.base + 2] = 3;
    expect(ids(entry)).toEqual(['pdpe1.reserved']);
  });
});
