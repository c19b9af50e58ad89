import { codeBreakpoint, codeBreakpointsArmed, dataBreakpoint, recordDebugException, setDr7 } from '../../../cpu/debug';
import type { Interception } from '../../../cpu/interfaces';
import { Cr4, GP0, R, RAX, UD, execute, longMode, protectedMode } from './processor';

test('DR6 and DR7 keep their fixed bits', () => {
  const cpu = longMode();
  cpu.setGpr(RAX, 0n);
  execute(cpu, '0f23f0');
  execute(cpu, '0f23f8');
  expect([cpu.get64(R.DR6), cpu.get64(R.DR7)]).toEqual([0xffff_0ff0n, 0x400n]);
  cpu.setGpr(RAX, 0xffff_ffffn);
  execute(cpu, '0f23f0');
  expect(cpu.get64(R.DR6)).toBe(0xffff_efffn);
  cpu.setGpr(RAX, 0xffff_dfffn);
  execute(cpu, '0f23f8');
  execute(cpu, '0f21f8');
  expect(cpu.gpr(RAX)).toBe(0xffff_07ffn);
});

test('an upper half in DR6 or DR7 is #GP(0); addresses may be anything', () => {
  const cpu = longMode();
  cpu.setGpr(RAX, 1n << 32n);
  expect(execute(cpu, '0f23f0')).toEqual(GP0);
  expect(execute(cpu, '0f23f8')).toEqual(GP0);
  expect(execute(cpu, '0f23d8')).toBeUndefined();
  expect(cpu.get64(R.DR3)).toBe(1n << 32n);
});

test('DR4 and DR5 are DR6 and DR7 unless CR4.DE', () => {
  const cpu = longMode();
  execute(cpu, '0f21e0');
  expect(cpu.gpr(RAX)).toBe(0xffff_0ff0n);
  cpu.set32(R.CR4, cpu.cr4 | Cr4.DE);
  expect(execute(cpu, '0f21e0')).toEqual(UD);
  expect(execute(longMode('intel', 3), '0f21c0')).toEqual(GP0);
});

test('general detection: #DB with BD before the access', () => {
  const cpu = protectedMode();
  cpu.set64(R.DR7, 0x2400n);
  expect(execute(cpu, '0f21c0')).toMatchObject({ vector: 1, payload: 0x2000n });
  recordDebugException(cpu, 0x2000);
  expect(cpu.get64(R.DR6)).toBe(0xffff_2ff0n);
  expect(execute(cpu, '0f21c0')).toBeUndefined();
});

test('VMX exits before all faults of MOV DR, SVM after them', () => {
  for (const [profile, vector] of [
    ['intel', -1],
    ['amd', 13],
  ] as const) {
    const cpu = longMode(profile, 3);
    cpu.interception = { guestMode: true, active: true, instruction: () => true } as unknown as Interception;
    expect(execute(cpu, '0f21c0')).toMatchObject({ vector });
  }
});

describe('breakpoints', () => {
  const G0 = 2,
    EXECUTE = 0,
    WRITE = 1 << 16,
    READ_WRITE = 3 << 16,
    LEN4 = 3 << 18,
    LEN8 = 2 << 18,
    LEN2 = 1 << 18;

  test('an instruction breakpoint compares the first byte', () => {
    const cpu = longMode();
    cpu.set64(R.DR0, 0xffff_ffff_8100_0000n);
    setDr7(cpu, G0 | EXECUTE);
    expect([codeBreakpointsArmed(cpu), cpu.mmu.dataBreakpoints.armed]).toEqual([true, false]);
    expect(codeBreakpoint(cpu, 0xffff_ffff_8100_0000n)).toBe(1);
    expect(codeBreakpoint(cpu, 0xffff_ffff_80ff_ffffn)).toBe(0);
  });

  // Addresses and accesses of SDM "Breakpoint Field Recognition": DR at A0001h RW 1 byte, A0002h W 1, B0002h RW 2, C0000h W 4.
  test.each<[address: bigint, dr7: number, linear: bigint, bytes: number, write: boolean, hit: boolean]>([
    [0xa0001n, READ_WRITE, 0xa0001n, 1, false, true],
    [0xa0001n, READ_WRITE, 0xa0001n, 2, false, true],
    [0xa0002n, WRITE, 0xa0002n, 1, true, true],
    [0xa0002n, WRITE, 0xa0002n, 1, false, false],
    [0xb0002n, READ_WRITE | LEN2, 0xb0001n, 4, false, true],
    [0xb0002n, READ_WRITE | LEN2, 0xb0002n, 2, false, true],
    [0xc0000n, WRITE | LEN4, 0xc0000n, 4, true, true],
    [0xc0000n, WRITE | LEN4, 0xc0001n, 2, true, true],
    [0xc0000n, WRITE | LEN4, 0xc0003n, 1, true, true],
    [0xa0001n, READ_WRITE, 0xa0000n, 1, false, false],
    [0xb0002n, READ_WRITE | LEN2, 0xb0000n, 2, false, false],
    [0xb0002n, READ_WRITE | LEN2, 0xb0004n, 4, false, false],
    [0xc0000n, WRITE | LEN4, 0xc0004n, 4, true, false],
    [0xd0004n, WRITE | LEN8, 0xd0000n, 1, true, true],
  ])('%p with DR7 %p, access %p + %p, write %p: %p', (address, dr7, linear, bytes, write, hit) => {
    const cpu = longMode();
    cpu.set64(R.DR0, address);
    setDr7(cpu, G0 | dr7);
    expect(cpu.mmu.dataBreakpoints.armed).toBe(true);
    expect(dataBreakpoint(cpu, linear, bytes, write)).toBe(hit ? 1 : 0);
    setDr7(cpu, dr7);
    expect(dataBreakpoint(cpu, linear, bytes, write)).toBe(0);
    expect(cpu.mmu.dataBreakpoints.armed).toBe(false);
  });
});
