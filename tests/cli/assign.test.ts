/** `--assign` on the command line. */
import { createGuestRunner } from '../../cli/guest-machine';
import { machineSpec } from '../../cli/guest-spec';
import { checkRunOptions } from '../../cli/run-options';
import { UserError } from '../../cli/user-error';
import { file, vmexit } from './fake-machine';

const image = file('image', Uint8Array.of(0xf4));

it('reaches the machine, with the IOMMU explained', async () => {
  const { guest } = await vmexit(['run', image, '--device', 'edu', '--assign', 'edu0']);
  expect(guest?.spec).toMatchObject({ devices: ['edu'], assign: ['edu0'] });
  expect(guest?.spec.explainIommu).toBeDefined();
  expect((await vmexit(['run', image])).guest?.spec.assign).toBeUndefined();
});

const run = (raw: Record<string, unknown>): void => {
  const spec = machineSpec(checkRunOptions({ image, format: 'flat32', ...raw }));
  createGuestRunner({ ...spec, serialOutput: () => {} });
};

it.each([
  [{ assign: ['nvme0'] }, '--assign: there is no nvme0 to assign: give --drive FILE,if=nvme too'],
  [{ assign: ['disk'] }, '--assign: there is no device "disk" to assign; there are nvme0 (the first NVMe disk), edu0, and so on'],
  [{ device: ['edu'], assign: ['edu1'] }, '--assign: there is no edu1 to assign: give --device edu too'],
  [{ device: ['edu'], assign: ['edu0'], bare: true }, '--assign: a bare machine has all devices already: there is no VM to assign them to'],
  [{ device: ['edu'], assign: ['edu0'], iommu: true }, "--assign: the VM's own IOMMU cannot translate for a physical device: leave it out"],
])('%j is refused', (raw, message) => {
  expect(() => run(raw)).toThrow(new UserError(message));
});

it('builds the machine otherwise', () => {
  for (const backend of ['vmx', 'svm']) expect(() => run({ device: ['edu'], assign: ['edu0'], backend, format: 'flat32' })).not.toThrow();
});
