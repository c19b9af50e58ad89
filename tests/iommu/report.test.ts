/** The state of a unit for people: names instead of numbers, and no more than says something. */
import { renderReport } from '../../iommu/report';
import { IommuBench, dte } from './amdvi/bench';
import { Bench, DEVICE } from './vtd/bench';

test('VT-d: what is on, the fault records with their reasons, registers', () => {
  const b = new Bench();
  b.attach(DEVICE, 3);
  b.map(0x1000, 0x5000);
  b.enableTranslation().enableInterrupts(false);
  b.dma(0x1000);
  b.dma(0x7123, true);
  b.interrupt(5);
  const report = b.unit.report();
  expect(report).toMatchObject({
    unit: 'VT-d',
    enabled: ['DMA remapping (TES)', 'root table pointer set (RTPS)', 'interrupt remapping (IRES)', 'interrupt table pointer set (IRTPS)'],
    cached: { contexts: 1, translations: 1, tables: 2, interrupts: 0 },
  });
  expect(report.faults).toEqual([
    expect.stringMatching(/^write of 0x7000 by 00:04\.0: .* \(0x5\)$/),
    expect.stringMatching(/^interrupt 0x5 by 00:04\.0: .* \(0x22\)$/),
  ]);
  const registers = new Map(report.registers);
  expect([registers.get('VER'), registers.get('RTADDR'), registers.get('GSTS'), registers.has('PMEN')]).toEqual([0x10n, 0x1_0000n, 0xc300_0000n, false]);
  expect(renderReport(report)).toMatch(/\n {2}RTADDR +0x10000\n/);
  // Looking changes nothing.
  expect(b.unit.report()).toEqual(report);
});

test('VT-d: all 64 bits of a register', () => {
  const { unit } = new Bench();
  const cap = BigInt(unit.readMmio(8, 4)) | (BigInt(unit.readMmio(12, 4)) << 32n);
  expect(new Map(unit.report().registers).get('CAP')).toBe(cap);
});

test('AMD-Vi: what is on, the events that software has not taken, registers', () => {
  const bench = new IommuBench().enable();
  bench.setDte(dte());
  bench.write(0x1230);
  bench.read(0xfee0_0000);
  const report = bench.iommu.report();
  expect(report).toMatchObject({
    unit: 'AMD-Vi',
    enabled: ['IommuEn', 'EventLogEn', 'CmdBufEn', 'EventLogInt', 'EventLogRun', 'CmdBufRun'],
    faults: ['write of 0x1230 by 00:04.0: IO_PAGE_FAULT (0x2)', '0xfee00000 by 00:04.0: INVALID_DEVICE_REQUEST (0x8)'],
    cached: { devices: 1 },
  });
  const registers = new Map(report.registers);
  expect([registers.get('CONTROL'), registers.get('EVENT_TAIL'), registers.has('EVENT_HEAD')]).toEqual([0x1005n, 0x20n, false]);
  bench.takeEvents();
  expect(bench.iommu.report().faults).toEqual([]);
});
