import { explainStale } from '../../../svm/vmcb/explain-stale';

test('says which field, what memory and the processor have, and what to do', () => {
  const text = explainStale(0x5000, { field: 'N_CR3', cleanBit: 4, memory: 0x9000n, cached: 0x8000n });
  expect(text).toMatch(/VMCB at 0x5000: N_CR3 is 0x9000 in memory, but clean bit 4 \(NP\)/);
  expect(text).toMatch(/goes on with 0x8000; clear the bit .*VMCB Clean Field/);
});
