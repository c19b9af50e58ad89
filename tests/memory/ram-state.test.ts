/** The page table of RAM against whole copies, for any sequence of writes, saves and restores. */
import fc from 'fast-check';
import { FrameFlag, PAGE_SIZE, PhysicalMemory, RAM_BASE } from '../../memory/physical-memory';
import { CHUNK_PAGES, pageOf, pagesBeside, RamTracker, type RamState } from '../../memory/ram-state';

const BYTES = 4 << 20;
const FRAMES = BYTES / PAGE_SIZE;

function bench() {
  const memory = new PhysicalMemory(BYTES);
  return { memory, ram: new RamTracker(memory, () => {}) };
}
const contents = (memory: PhysicalMemory): Buffer => Buffer.from(memory.u8.slice(RAM_BASE, RAM_BASE + BYTES));

type Action = { readonly kind: 'write' | 'zero' | 'save' | 'restore'; readonly frame: number; readonly value: number };
const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom<Action['kind']>('write', 'write', 'write', 'zero', 'save', 'restore'),
  // Few frames, in both chunks, so that they meet again.
  frame: fc.constantFrom(0, 1, 2, CHUNK_PAGES - 1, CHUNK_PAGES, CHUNK_PAGES + 7, FRAMES - 1),
  value: fc.integer({ min: 0, max: 0xffff }),
});

test('what is restored is what was there', () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 60 }), (actions) => {
      const { memory, ram } = bench();
      const saved: { state: RamState; copy: Buffer }[] = [];
      for (const { kind, frame, value } of actions) {
        if (kind === 'write') memory.write32(frame * PAGE_SIZE + ((value * 4) & 0xffc), value);
        else if (kind === 'zero') memory.writeBytes(frame * PAGE_SIZE, new Uint8Array(PAGE_SIZE));
        else if (kind === 'save') saved.push({ state: ram.saveState(), copy: contents(memory) });
        else if (saved.length > 0) {
          const { state, copy } = saved[value % saved.length];
          ram.restoreState(state);
          expect(contents(memory).equals(copy)).toBe(true);
        }
      }
      // Later running has not changed the earlier tables; another machine takes them too, as a structured clone.
      const other = bench();
      for (const { state, copy } of saved) {
        other.ram.restoreState(structuredClone(state));
        expect(contents(other.memory).equals(copy)).toBe(true);
      }
    }),
    { numRuns: 40, seed: 21 },
  );
});

test('pages of zeroes are absent, equal pages are shared', () => {
  const { memory, ram } = bench();
  memory.write8(0x5000, 1);
  memory.write8(0x6000, 1);
  memory.write8(0x7000, 1);
  const first = ram.saveState();
  expect(pagesBeside(first, undefined)).toBe(3);
  memory.write8(0x5000, 0);
  memory.write8(0x6000, 2);
  memory.write8(0x6000, 1);
  memory.write8(0x7000, 3);
  const second = ram.saveState();
  expect([pageOf(second, 5), pageOf(second, 6) === pageOf(first, 6), pagesBeside(second, first)]).toEqual([undefined, true, 1]);
  // Nothing was written in the second half: its table is the same object.
  memory.write8(BYTES - 1, 1);
  const third = ram.saveState();
  expect([third.chunks[0] === second.chunks[0], third.chunks[1] === second.chunks[1]]).toEqual([true, false]);
});

test('a frame that the callback marks is looked at again, though nobody announced a write', () => {
  const memory = new PhysicalMemory(BYTES);
  // As a TLB with a write tag does.
  const ram = new RamTracker(memory, () => void (memory.frameFlags[9] |= FrameFlag.Dirty));
  ram.saveState();
  memory.u8[RAM_BASE + 9 * PAGE_SIZE + 5] = 0x77;
  expect(pageOf(ram.saveState(), 9)?.[5]).toBe(0x77);
});

test('restoring tells the observers of code and watched frames before it writes, and of nothing that stays', () => {
  const { memory, ram } = bench();
  memory.write8(0x3000, 1);
  memory.write8(0x4000, 1);
  const state = ram.saveState();
  memory.write8(0x3000, 2);
  memory.frameFlags[3] |= FrameFlag.Watched;
  memory.frameFlags[4] |= FrameFlag.Watched;
  const heard: [number, number, number][] = [];
  memory.onWrite((physical, length) => heard.push([physical, length, memory.read8(0x3000)]));
  ram.restoreState(state);
  expect(heard).toEqual([[0x3000, PAGE_SIZE, 2]]);
  expect(memory.read8(0x3000)).toBe(1);
});

test('RAM of another size is refused', () => {
  const { ram } = bench();
  expect(() => ram.restoreState(new RamTracker(new PhysicalMemory(1 << 20), () => {}).saveState())).toThrow(
    'the snapshot has 1048576 bytes of RAM, this machine 4194304',
  );
});
