/** State of what is between the devices: shared lines, the A20 gate, the timers of a machine. */
import { A20Gate } from '../../devices/a20-gate';
import { Scheduler } from '../../devices/bus';
import { SharedLine } from '../../devices/shared-line';
import { Wire } from './test-bench';

describe('a shared line', () => {
  test('remembers who asserts it: the others cannot release it', () => {
    const line = new SharedLine(new Wire());
    line.source();
    line.source().set(true);
    const target = new Wire();
    target.level = true;
    const copy = new SharedLine(target);
    const [first, second] = [copy.source(), copy.source()];
    copy.restoreState(line.saveState());
    first.set(true);
    first.set(false);
    expect(target.level).toBe(true);
    second.set(false);
    expect(target.level).toBe(false);
  });

  test('is restored without a word to the target', () => {
    const target = new Wire();
    const line = new SharedLine(target);
    line.source();
    line.restoreState([true]);
    expect([target.level, target.rises, line.saveState()]).toEqual([false, 0, [true]]);
  });

  test('refuses a line with another number of sources', () => {
    expect(() => new SharedLine(new Wire()).restoreState([true])).toThrow('the snapshot has 1 sources on a line of 0');
  });
});

test('the A20 gate tells of a restore that moves it', () => {
  const heard: boolean[] = [];
  const gate = new A20Gate((enabled) => heard.push(enabled));
  const open = gate.saveState();
  gate.set('port92', false);
  gate.set('keyboardController', false);
  const closed = gate.saveState();
  gate.restoreState(open);
  gate.restoreState(closed);
  expect(heard).toEqual([false, true, false]);
});

describe('timers', () => {
  const clockAt = (time: number): Scheduler => new Scheduler({ now: () => time });

  test('fire at the same ticks in the same order: by deadline, then by creation', () => {
    const fired: string[] = [];
    const build = (): Scheduler => {
      const scheduler = clockAt(0);
      for (const name of ['a', 'b', 'c', 'd']) scheduler.timer((deadline) => fired.push(`${name} ${deadline}`), name);
      return scheduler;
    };
    const original = build();
    original.restoreState([
      ['a', 70],
      ['b', 50],
      ['c', 70],
      ['d', null],
    ]);
    const copy = build();
    copy.restoreState(structuredClone(original.saveState()));
    expect(copy.next).toBe(50);
    copy.run(100);
    expect(fired).toEqual(['b 50', 'a 70', 'c 70']);
    expect(copy.saveState().map(([, deadline]) => deadline)).toEqual([null, null, null, null]);
  });

  test('what was armed before the restore does not count, and the processor hears of the new deadline', () => {
    const scheduler = clockAt(0);
    const timer = scheduler.timer(() => {}, 'x');
    let changes = 0;
    scheduler.onChange = () => changes++;
    timer.arm(10);
    scheduler.restoreState([['x', null]]);
    expect([timer.deadline, scheduler.next, changes]).toEqual([Infinity, Infinity, 2]);
  });

  test('a machine with other timers is refused by name', () => {
    const scheduler = clockAt(0);
    scheduler.timer(() => {}, 'PIT');
    expect(() => scheduler.restoreState([['HPET 0', 5]])).toThrow('the snapshot has the timers HPET 0; this machine has PIT: build it with the same devices');
  });
});
