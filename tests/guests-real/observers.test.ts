/** Who watches changes nothing. */
import type { Guest } from '../../hypervisor/guest';
import { FrameFlag } from '../../memory/physical-memory';
import { bootDebian, some } from './debian';

/** Every hook there is, and a watch on one host frame in sixteen. Counts what each heard. */
function watchEverything(guest: Guest, heard: Map<string, number>): void {
  const count = (what: string) => (): void => void heard.set(what, (heard.get(what) ?? 0) + 1);
  const { cpu, vmx, svm, memory } = guest.machine;
  cpu.observer = { deliver: count('event delivery'), unimplemented: count('unimplemented opcode') };
  if (vmx) vmx.observer = { entry: count('VM entry'), exit: count('VM exit'), abort: count('VMX abort') };
  if (svm) svm.observer = { entry: count('VM entry'), exit: count('VM exit') };
  if (guest.vm) guest.vm.vcpu.observer = { exit: count('handled exit') };
  for (let frame = 0; frame < memory.frameFlags.length; frame += 16) memory.frameFlags[frame] |= FrameFlag.Watched;
  memory.onWrite(count('write to RAM'));
}

describe('a boot of Linux with every observer on equals one without', () => {
  it.each(some(1, ['vmx', 'svm', 'bare'] as const))('%s', (backend) => {
    const heard = new Map<string, number>();
    const watched = bootDebian(backend, {}, [], { prepare: (guest) => watchEverything(guest, heard) });
    const alone = bootDebian(backend);
    expect(watched.console).toBe(alone.console);
    expect([watched.instructions, watched.time]).toEqual([alone.instructions, alone.time]);
    expect(watched.guest.exitRows()).toEqual(alone.guest.exitRows());

    expect(heard.get('write to RAM')).toBeGreaterThan(1_000_000);
    expect(heard.get('event delivery')).toBeGreaterThan(100);
    if (backend === 'bare') return;
    const exits = alone.guest.exitRows().reduce((n, row) => n + row.count, 0);
    expect([heard.get('VM entry'), heard.get('VM exit'), heard.get('handled exit')]).toEqual([exits, exits, exits]);
    expect([heard.get('VMX abort'), heard.get('unimplemented opcode')]).toEqual([undefined, undefined]);
  });
});
