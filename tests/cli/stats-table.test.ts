import { renderStats } from '../../cli/stats-table';

test('rows by count, shares of the total, details', () => {
  const rows = [
    { reason: 'HLT', count: 1, details: [] },
    { reason: 'EPT_VIOLATION', count: 1500, details: [{ detail: 0xfee0_0000, count: 1000 }, { detail: 0x10_0000, count: 500 }] }, // prettier-ignore
    { reason: 'CPUID', count: 499, details: [] },
  ];
  expect(renderStats({ instructions: 4_000_000, ticks: 1_500_000_000, rows }).split('\n')).toEqual([
    '4,000,000 guest instructions in 1.500000 s of virtual time, 2,000 VM exits',
    '',
    'VM-EXIT        Samples  Samples%  Most frequent',
    '-------------  -------  --------  ------------------------------------',
    'EPT_VIOLATION    1,500    75.00%  0xfee00000 (1,000), 0x100000 (500)',
    'CPUID              499    24.95%',
    'HLT                  1     0.05%',
    '',
    'Total samples: 2,000, one every 2,000 instructions',
  ].map((line) => (line.startsWith('---') ? expect.stringMatching(/^-+  -+  -+  -+$/) : line))); // prettier-ignore
});

test('a run without exits', () => {
  expect(renderStats({ instructions: 5, ticks: 5, rows: [] })).toBe('5 guest instructions in 0.000000 s of virtual time, 0 VM exits');
});
