/** A guest with a physical edu device: what the debugger lists of it, and whom it names for what the device wrote. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Interpreter } from '../../debugger/commands/interpreter';
import { Session } from '../../debugger/session';
import type { GuestConfig } from '../../hypervisor/guest';
import { guestConfig } from './debug-guests';

const image = new Uint8Array(readFileSync(join(__dirname, '../hypervisor/edu/program.bin')));

const debug = (config: Partial<GuestConfig>): ((line: string) => string) => {
  const common = {
    image,
    format: 'flat32',
    memoryBytes: 8 << 20,
    backend: 'vmx',
    devices: ['edu'],
    debugExit: { iobase: 0xf4 },
    serialOutput: () => {},
  } as const;
  const interpreter = new Interpreter(new Session({ ...common, ...config }), undefined);
  return (line) => interpreter.perform(line).text;
};

it.each(['vmx', 'svm'] as const)('%s: the physical IOMMU and the assigned device are in the list, and say what they do', (backend) => {
  const run = debug({ backend, assign: ['edu0'] });
  expect(run('info devices')).toMatch(/ physical-iommu assigned-00:04\.0\n/);
  const unit = run('info devices physical-iommu');
  expect(unit).toMatch(backend === 'vmx' ? /^VT-d: DMA remapping \(TES\), .*interrupt remapping \(IRES\)/ : /^AMD-Vi: IommuEn, EventLogEn, /);
  expect(unit).toContain('fault log: empty');
  expect(unit.split('\n').length).toBeLessThan(40);
  const device = run('info devices assigned-00:04.0');
  // QEMU's edu device.
  expect(device).toMatch(/^00:04\.0 1234:11e8, physical, behind physical-iommu; enabled: /);
  expect(device).toMatch(/BAR 0: 0x[0-9a-f]+, 0x100000 bytes/);
});

it('a bare guest has its IOMMU in the list, in few lines', () => {
  const run = debug({ ...guestConfig('bare'), format: undefined, devices: undefined, iommu: true });
  const unit = run('info devices iommu');
  // Version 1.0.
  expect(unit).toMatch(/^VT-d: everything is off\nfault log: empty\n[^]*\n {2}VER +0x10\n/);
  expect(unit.split('\n').length).toBeLessThan(20);
});

it.each<[string, Partial<GuestConfig>]>([
  ['an emulated one', {}],
  ['an assigned one', { assign: ['edu0'] }],
  ['one of a bare machine', { backend: 'bare' }],
])('a watchpoint names the device that wrote by DMA: %s', (_, config) => {
  const run = debug(config);
  // The guest has written the dword itself.
  run('step 57');
  run('awatch *0x200000 4');
  expect(run('continue')).toMatch(/^watchpoint 1 written: 0xffffffff -> 0x0, by DMA of 00:04\.0 while the processor was at 0x1001/);
  expect(run('continue')).toMatch(/^watchpoint 1 read: 0x0, by the instruction at 0x1001/);
  expect(run('last-write *0x200000 4')).toMatch(/written: 0xffffffff -> 0x0, by DMA of 00:04\.0/);
});
