/** A guest that drives a physical edu device: found in its own configuration space, interrupting it by MSI. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Guest, type GuestConfig } from '../../hypervisor/guest';

/** From edu/program.asm. */
const image = new Uint8Array(readFileSync(join(__dirname, 'edu/program.bin')));
const DMA_TIME = 100_000_000;

const config = (backend: GuestConfig['backend'], extra: Partial<GuestConfig> = {}): GuestConfig => ({
  ...{ image, format: 'flat32', memoryBytes: 8 << 20, backend, devices: ['edu'], debugExit: { iobase: 0xf4 }, serialOutput: () => {} },
  ...extra,
});
const SUCCESS = { kind: 'ended', because: 'debug-exit', status: (0x10 << 1) | 1 };

describe.each(['vmx', 'svm'] as const)('%s', (backend) => {
  it('runs as it does with an emulated device, at the same ticks, and gives the device back', () => {
    const guest = new Guest(config(backend, { assign: ['edu0'], poison: 0xa5, frameSeed: 3 }));
    expect(guest.run(DMA_TIME * 2)).toMatchObject(SUCCESS);
    // A processor with virtual-interrupt delivery has its interrupts posted.
    const [interrupts, posted] = backend === 'vmx' ? [0, 1] : [1, 0];
    expect(guest.physicalIommu!.counts).toEqual({ translations: 1, blocked: 0, interrupts, posted, blockedInterrupts: 0 });
    // Given back: reset, and without a way to memory.
    expect(guest.assignment!.functions[0].physical.read(4, 2) & 4).toBe(0);
    expect(guest.physicalIommu!.translate(0x20, 0x20_0000, 4, true).kind).toBe('blocked');

    const emulated = new Guest(config(backend));
    expect(emulated.run(DMA_TIME * 2)).toMatchObject(SUCCESS);
    expect([guest.time, guest.instructions]).toEqual([emulated.time, emulated.instructions]);
    expect(new Guest(config('bare')).run(DMA_TIME * 2)).toMatchObject(SUCCESS);
  });

  it('goes on from a snapshot while the device is at work, and back again', () => {
    const guest = new Guest(config(backend, { assign: ['edu0'] }));
    expect(guest.run(DMA_TIME / 2).kind).toBe('limit');
    const state = structuredClone(guest.saveState());
    expect(guest.run(DMA_TIME * 2)).toMatchObject(SUCCESS);
    const end = [guest.time, guest.instructions];
    const other = Guest.fromState(state, { serialOutput: () => {} });
    for (const again of [other, guest]) {
      if (again === guest) guest.restoreState(state);
      expect(again.physicalIommu!.counts.translations).toBe(0);
      expect(again.run(DMA_TIME * 2)).toMatchObject(SUCCESS);
      expect([again.time, again.instructions]).toEqual(end);
    }
  });
});

it('a snapshot of a guest with an assigned device is not one of a guest with an emulated one', () => {
  const state = new Guest(config('vmx', { assign: ['edu0'] })).saveState();
  expect(() => new Guest(config('vmx')).restoreState(state)).toThrow('assign is ["edu0"] there and the default here');
});
