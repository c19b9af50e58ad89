import type { Cpu } from '../../../cpu/cpu';
import type { Interception } from '../../../cpu/interfaces';
import { Cr4, Flag, GP0, R, RAX, RCX, RDI, RDX, RSI, Segment, execute, longMode, protectedMode, realMode } from './processor';

type Transfer = readonly [direction: 'in' | 'out', port: number, size: number, value: number];

function withPorts(cpu: Cpu, answer = 0x8899_aabb): Transfer[] {
  const log: Transfer[] = [];
  let next = answer;
  cpu.ports = {
    read: (port, size) => {
      const value = size === 4 ? next : next & (size === 2 ? 0xffff : 0xff);
      log.push(['in', port, size, value]);
      next = (next + 1) >>> 0;
      return value;
    },
    write: (port, size, value) => void log.push(['out', port, size, value]),
  };
  return log;
}

test('IN: 32 bits clear the upper half of RAX, 16 and 8 leave the rest', () => {
  const cpu = longMode();
  withPorts(cpu);
  cpu.setGpr(RDX, 0xcf8n);
  cpu.setGpr(RAX, 0x1111_2222_3333_4444n);
  execute(cpu, 'e460');
  expect(cpu.gpr(RAX)).toBe(0x1111_2222_3333_44bbn);
  execute(cpu, '66ed');
  expect(cpu.gpr(RAX)).toBe(0x1111_2222_3333_aabcn);
  execute(cpu, 'ed');
  expect(cpu.gpr(RAX)).toBe(0x8899_aabdn);
});

test('OUT: immediate and DX ports, three sizes', () => {
  const cpu = longMode();
  const log = withPorts(cpu);
  cpu.setGpr(RDX, 0xffff_1cf8n);
  cpu.setGpr(RAX, 0x8123_4567n);
  for (const hex of ['e6f0', '66e7f0', 'ef']) execute(cpu, hex);
  expect(log).toEqual([
    ['out', 0xf0, 1, 0x67],
    ['out', 0xf0, 2, 0x4567],
    ['out', 0x1cf8, 4, 0x8123_4567],
  ]);
});

describe('permission', () => {
  /** 32-bit TSS at 9000h with the I/O map at offset 104, which allows ports 60h-62h and FFFFh only. */
  function user(limit = 104 + 8192): Cpu {
    const cpu = protectedMode('intel', 3);
    withPorts(cpu);
    cpu.memory.write16(0x9000 + 102, 104);
    for (let i = 0; i <= 8192; i++) cpu.memory.write8(0x9000 + 104 + i, 0xff);
    cpu.memory.write8(0x9000 + 104 + (0x60 >>> 3), 0xf8);
    cpu.memory.write8(0x9000 + 104 + (0xffff >>> 3), 0x7f);
    cpu.setSegment(Segment.TR, 0x28, 0x8b, limit, 0x9000n);
    return cpu;
  }

  test('every bit of a wide access counts', () => {
    expect(execute(user(), 'e460')).toBeUndefined();
    expect(execute(user(), '66e561')).toBeUndefined();
    expect(execute(user(), '66e562')).toEqual(GP0);
    expect(execute(user(), 'e560')).toEqual(GP0);
    expect(execute(user(), 'e463')).toEqual(GP0);
  });

  test('the byte behind the map must be inside the TSS', () => {
    const cpu = user(104 + 8191);
    cpu.setGpr32(RDX, 0xffff);
    expect(execute(cpu, 'ec')).toEqual(GP0);
    const longer = user(104 + 8192);
    longer.setGpr32(RDX, 0xffff);
    expect(execute(longer, 'ec')).toBeUndefined();
  });

  test('CPL <= IOPL asks no map, virtual-8086 mode always does, a 16-bit TSS has none', () => {
    const cpu = user();
    cpu.set32(R.RFLAGS_SYSTEM, 2 | Flag.IOPL);
    expect(execute(cpu, 'e480')).toBeUndefined();
    cpu.set32(R.RFLAGS_SYSTEM, 2 | Flag.IOPL | Flag.VM);
    expect(execute(cpu, 'e480')).toEqual(GP0);
    expect(execute(cpu, 'e460')).toBeUndefined();
    cpu.setSegment(Segment.TR, 0x28, 0x83, 104 + 8192, 0x9000n);
    expect(execute(cpu, 'e460')).toEqual(GP0);
  });

  test('a refused port does not exit, an allowed one does before the device is touched', () => {
    for (const [hex, exits] of [
      ['e480', 0],
      ['e460', 1],
    ] as const) {
      const cpu = user();
      const log = withPorts(cpu);
      let asked = 0;
      cpu.interception = { guestMode: true, active: true, instruction: () => (asked++, true) } as unknown as Interception;
      expect(execute(cpu, hex)).toBeDefined();
      expect([asked, log.length]).toEqual([exits, 0]);
    }
  });
});

describe('INS and OUTS', () => {
  test('REP INSD: one iteration at a time, RIP stays until RCX is 0', () => {
    const cpu = longMode();
    withPorts(cpu, 100);
    cpu.rip = 0x40_0000n;
    cpu.setGpr(RCX, 3n);
    cpu.setGpr(RDI, 0x8000n);
    for (const left of [2n, 1n]) {
      expect(execute(cpu, 'f36d')).toBeUndefined();
      expect([cpu.gpr(RCX), cpu.rip]).toEqual([left, 0x40_0000n]);
    }
    execute(cpu, 'f36d');
    expect([cpu.gpr(RCX), cpu.rip, cpu.gpr(RDI)]).toEqual([0n, 0x40_0002n, 0x800cn]);
    expect([0x8000, 0x8004, 0x8008].map((a) => cpu.memory.read32(a))).toEqual([100, 101, 102]);
    const log = withPorts(cpu);
    execute(cpu, 'f36d');
    expect(log).toEqual([]);
  });

  test('INS does not read the port when the destination faults; earlier iterations stay', () => {
    const cpu = longMode();
    const log = withPorts(cpu);
    cpu.setGpr(RCX, 2n);
    cpu.setGpr(RDI, 0xff_fffen);
    execute(cpu, 'f3666d');
    expect(execute(cpu, 'f3666d')).toMatchObject({ vector: 14, payload: 0x100_0000n });
    expect(log).toHaveLength(1);
    expect([cpu.gpr(RCX), cpu.gpr(RDI)]).toEqual([1n, 0x100_0000n]);
  });

  test('OUTS takes an override, DF counts down, 16-bit registers wrap', () => {
    const cpu = realMode();
    const log = withPorts(cpu);
    cpu.setSegment(Segment.GS, 0x100, 0x93, 0xffff, 0x1000n);
    cpu.memory.write8(0x1000, 0x5a);
    cpu.setGpr32(RSI, 0xabcd_0000);
    cpu.setGpr32(RDX, 0x3f8);
    cpu.setRflags(Flag.DF);
    execute(cpu, '656e');
    expect(log).toEqual([['out', 0x3f8, 1, 0x5a]]);
    expect(cpu.gpr32(RSI)).toBe(0xabcd_ffff);
  });
});

test('I/O breakpoints are traps, with CR4.DE only', () => {
  const cpu = longMode();
  withPorts(cpu);
  cpu.set64(R.DR0 + 8, 0x62n);
  // L1, R/W1 = 10b, LEN1 = one byte.
  cpu.set64(R.DR7, BigInt(0x0020_0404));
  execute(cpu, 'e560');
  expect(cpu.pendingDebug).toBe(0);
  cpu.set32(R.CR4, cpu.cr4 | Cr4.DE);
  execute(cpu, 'e460');
  expect(cpu.pendingDebug).toBe(0);
  execute(cpu, 'e560');
  expect(cpu.pendingDebug).toBe(2);
});
