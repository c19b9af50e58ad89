import { Interpreter } from '../../debugger/commands/interpreter';
import { Session } from '../../debugger/session';
import { kernelSymbols } from '../../debugger/kallsyms';
import { complete } from '../../debugger/target';
import type { TimelineOptions } from '../../debugger/timeline';
import { Guest } from '../../hypervisor/guest';
import { guestDigest } from '../guest-digest';
import { Outside } from '../debugger/debug-guests';
import { debianFile, everything, MEMORY, QUIET } from './debian';

const PROMPT = 'guest# ';
const config = (backend: 'bare' | 'vmx' | 'svm', commandLine = QUIET) => ({
  image: debianFile('vmlinuz'),
  initrd: debianFile('initramfs.cpio.gz'),
  commandLine,
  memoryBytes: MEMORY,
  backend,
  cpu: backend === 'svm' ? 'amd' : 'intel',
});

function debian(commandLine = QUIET, options: TimelineOptions = {}): { session: Session; outside: Outside; debug: Interpreter } {
  const outside = new Outside();
  const { serialOutput, observer } = outside;
  const session = new Session({ ...config('vmx', commandLine), serialOutput, observer }, options);
  return { session, outside, debug: new Interpreter(session) };
}

/** Seeks of the test that compares with a straight run. */
const PLACES = everything ? 200 : 50;

describe('the boot of Debian under the debugger', () => {
  it('stops at the 1,000th EPT violation, goes back to the previous WRMSR exit, and forward again to an equal machine', () => {
    const { session, outside, debug } = debian();
    debug.perform('break-exit ept_violation');
    expect(debug.perform('continue 1000').data).toMatchObject({ kind: 'exit', exit: { reason: 'EPT_VIOLATION' } });
    const there = session.position;
    const digest = guestDigest(session.timeline.guest);
    const { console } = outside;
    const violations = session.timeline.guest.exitRows().find((r) => r.reason === 'EPT_VIOLATION');
    // The handler of the 1,000th has not run.
    expect(violations?.count).toBe(999);

    debug.perform('delete');
    debug.perform('break-exit wrmsr');
    expect(debug.perform('reverse-continue').data).toMatchObject({ kind: 'exit', exit: { reason: 'WRMSR' } });
    expect(session.position.exits).toBeLessThan(there.exits);
    expect([...session.readMemory('virtual', session.readRegister('rip'), 2)]).toEqual([0x0f, 0x30]);

    debug.perform('delete');
    debug.perform(`exit ${there.exits - session.position.exits}`);
    expect(session.position).toEqual(there);
    expect(guestDigest(session.timeline.guest)).toBe(digest);
    expect(outside.console).toBe(console);
  });

  it('goes back to the last write of jiffies_64, which it finds by the symbols that the kernel has of itself', () => {
    const { session, debug } = debian();
    complete(session.seek(300_000_000));
    const symbols = kernelSymbols(session.memory, MEMORY);
    // Where the linker put it, and where the variable that user space knows as the time since boot is.
    const address = symbols.addressOf('jiffies_64')!;
    expect(Buffer.from(session.readMemory('virtual', symbols.addressOf('linux_banner')!, 16)).toString()).toMatch(/^Linux version 6/);
    const jiffies = (): bigint => Buffer.from(session.readMemory('virtual', address, 8)).readBigUInt64LE();
    const now = jiffies();
    const here = session.position;
    debug.perform(`watch 0x${address.toString(16)} 8`);
    const stop = complete(session.reverseResume());
    expect(stop).toMatchObject({ kind: 'watchpoint', write: true, oldValue: now - 1n, newValue: now });
    expect(stop.position.instructions).toBeLessThan(here.instructions);
    // The tick: CONFIG_HZ is 250, so the one before is 4 ms ago at most.
    expect(here.ticks - stop.position.ticks).toBeLessThanOrEqual(4_100_000);
    expect(symbols.describe(session.readRegister('rip'))).toMatch(/^(do_timer|tick_do_update_jiffies64|tick_periodic)/);
    expect(jiffies()).toBe(now - 1n);
    complete(session.step());
    expect(jiffies()).toBe(now);
    // And the one before that.
    complete(session.reverseResume());
    expect(complete(session.reverseResume())).toMatchObject({ kind: 'watchpoint', newValue: now - 1n });
  });

  it(`finds ${PLACES} random places as a straight run comes to them, in the middle of string instructions and beside events too`, () => {
    const [BEGIN, END] = [330_000_000, 390_000_000];
    const { session, outside } = debian(QUIET, { interval: 4 << 20 });
    complete(session.seek(END));
    const { console } = outside;
    let seed = 1;
    const random = (below: number): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;

    const events: number[] = [];
    const scout = new Guest({ ...config('vmx'), serialOutput: () => {} });
    scout.machine.cpu.observer = { deliver: () => scout.instructions > BEGIN && void events.push(scout.instructions) };
    scout.run(END);
    expect(events.length).toBeGreaterThan(10);

    const straight = new Map<number, string>();
    const kinds = { repeated: 0, shadow: 0 };
    const guest = new Guest({ ...config('vmx'), serialOutput: () => {} });
    const { cpu } = guest.machine;
    const note = (kind?: keyof typeof kinds): void => {
      if (straight.has(guest.instructions)) return;
      straight.set(guest.instructions, quickDigest(guest));
      if (kind !== undefined) kinds[kind]++;
    };
    const spread = Array.from({ length: everything ? 130 : 30 }, () => BEGIN + random(END - BEGIN - 10_000));
    const places = [...spread, ...events.filter((place) => place < END - 10_000).slice(0, everything ? 40 : 12)].sort((a, b) => a - b);
    for (const place of places) {
      if (place <= guest.instructions) continue;
      while (guest.instructions < place) guest.run(guest.time + place - guest.instructions);
      note();
      // From here by single steps, for a while: awkward places.
      let rip = 0n;
      for (let i = 0, found = 0; i < 6000 && found < 2; i++) {
        const before = straight.size;
        rip = cpu.rip;
        const { instructions } = guest;
        guest.run(guest.time + 1);
        // The first moment of a count, and no later one, is what seek() goes to.
        if (guest.instructions === instructions) continue;
        if (cpu.inShadow() && kinds.shadow < 30) note('shadow');
        else if (cpu.guestMode && cpu.rip === rip && kinds.repeated < 40) note('repeated');
        if (straight.size > before) found++;
      }
    }
    expect(straight.size).toBeGreaterThanOrEqual(PLACES);
    expect(Object.entries(kinds).filter(([, count]) => count < 3)).toEqual([]);

    const shuffled = [...straight.keys()].map((place) => [random(1 << 30), place] as const).sort((a, b) => a[0] - b[0]);
    for (const [, place] of shuffled.slice(0, PLACES)) {
      complete(session.seek(place));
      expect(quickDigest(session.timeline.guest)).toBe(straight.get(place));
    }
    expect(outside.console).toBe(console);
  });

  it('keeps what was typed at the moment at which it was typed', () => {
    const { session, outside, debug } = debian();
    // Ticks of typing that follow from nothing in the guest.
    const until = (text: string): void => {
      for (let i = 0; i < 2000 && !outside.console.endsWith(text); i++) complete(session.seek(session.position.instructions + 1_000_003));
    };
    until(PROMPT);
    debug.perform('type echo one two\\n');
    until(PROMPT);
    expect(outside.console).toContain('\none two');
    const end = session.position.instructions;
    const digest = guestDigest(session.timeline.guest);
    const { console } = outside;
    complete(session.seek(end - 30_000_000));
    complete(session.seek(end));
    expect(guestDigest(session.timeline.guest)).toBe(digest);
    expect(outside.console).toBe(console);
    // Something else is typed in the past: then that is what happens.
    complete(session.seek(end - 1_000_000));
  });
});

describe('typing at a guest that is busy', () => {
  /** Bytes arrive between two slices, while the kernel boots and after. */
  function typed(backend: 'bare' | 'vmx'): { console: string; instructions: number; time: number } {
    let console = '';
    const guest = new Guest({ ...config(backend), serialOutput: (byte) => void (console += String.fromCharCode(byte)) });
    const moments = [...Array(40).keys()].map((i) => 650_000_000 + i * 2_345_678);
    while (!console.includes(PROMPT)) guest.run(guest.time + 1_000_000);
    const start = guest.time;
    for (const moment of moments) {
      while (guest.time < start + moment - 650_000_000) guest.run(start + moment - 650_000_000);
      guest.sendSerial(Buffer.from(console.length % 3 === 0 ? 'true\n' : 'x=1; for i in 1 2 3 4 5 6 7 8 9; do x=$((x*i)); done; echo $x\n'));
    }
    while (guest.time < start + 400_000_000) guest.run(start + 400_000_000);
    return { console, instructions: guest.instructions, time: guest.time };
  }

  it('gives the same bytes bare and in a VM: the guest is called out to take its interrupt', () => {
    const vmx = typed('vmx');
    expect(vmx.console.split('362880').length).toBeGreaterThan(10);
    expect(vmx).toEqual(typed('bare'));
  });
});

/** Registers and some of RAM: cheap enough for hundreds of places. */
function quickDigest(guest: Guest): string {
  const { cpu, memory } = guest.machine;
  const registers = [...Array(16).keys()].map((r) => cpu.gpr(r).toString(16));
  let sum = 0;
  for (let i = 0x400_0000; i < 0x600_0000; i += 64) sum = (Math.imul(sum, 31) + memory.i32[(0x1000_0000 + i) >>> 2]) | 0;
  return [...registers, cpu.rip.toString(16), cpu.rflags(), guest.time, guest.vm?.vcpu.statistics.total, sum].join(' ');
}
