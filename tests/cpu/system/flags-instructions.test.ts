import { Flag, GP0, R, RAX, RSP, UD, execute, longMode, protectedMode, realMode } from './processor';

const CLI = 'fa',
  STI = 'fb',
  PUSHF = '9c',
  POPF = '9d';

describe('CLI and STI', () => {
  test.each([
    [0, 0, true],
    [3, 0, false],
    [3, 3, true],
    [2, 1, false],
  ])('CPL %i, IOPL %i: allowed %s', (cpl, iopl, allowed) => {
    const cpu = protectedMode('intel', cpl);
    cpu.set32(R.RFLAGS_SYSTEM, 2 | (iopl << 12));
    expect(execute(cpu, STI)).toEqual(allowed ? undefined : GP0);
    expect(cpu.interruptsEnabled).toBe(allowed);
    expect(execute(cpu, CLI)).toEqual(allowed ? undefined : GP0);
  });

  test('virtual-8086 mode wants IOPL 3', () => {
    const cpu = protectedMode('intel', 3);
    cpu.set32(R.RFLAGS_SYSTEM, 2 | Flag.VM);
    for (const hex of [CLI, STI, PUSHF, POPF]) expect(execute(cpu, hex)).toEqual(GP0);
    cpu.set32(R.RFLAGS_SYSTEM, 2 | Flag.VM | Flag.IOPL);
    expect(execute(cpu, STI)).toBeUndefined();
  });

  test('STI blocks interrupts until after the next instruction, only when IF was 0', () => {
    const cpu = realMode();
    execute(cpu, STI);
    expect(cpu.shadowAt).toBe(cpu.retired() + 1);
    expect(cpu.shadowByMovSs).toBe(false);
    expect(cpu.attention).toBe(true);
    cpu.shadowAt = -1;
    execute(cpu, STI);
    expect(cpu.shadowAt).toBe(-1);
  });
});

describe('PUSHF', () => {
  test('stores VM and RF as 0 and moves RSP by the operand size', () => {
    const cpu = longMode();
    cpu.setRflags(0x0021_0ad7 | Flag.RF);
    execute(cpu, PUSHF);
    expect(cpu.gpr(RSP)).toBe(0x7ff8n);
    expect(cpu.memory.read64(0x7ff8)).toBe(0x0020_0ad7n);
    execute(cpu, '669c');
    expect(cpu.gpr(RSP)).toBe(0x7ff6n);
    expect(cpu.memory.read16(0x7ff6)).toBe(0x0ad7);
  });

  test('a stack that crosses a page, and a 16-bit stack that wraps', () => {
    const cpu = longMode();
    cpu.setRflags(0x246);
    cpu.setGpr(RSP, 0x9004n);
    execute(cpu, PUSHF);
    expect(cpu.memory.read64(0x8ffc)).toBe(0x246n);
    const real = realMode();
    real.setGpr32(RSP, 0xabcd_0000);
    real.setRflags(0x202);
    execute(real, PUSHF);
    expect(real.gpr32(RSP)).toBe(0xabcd_fffe);
    expect(real.memory.read16(0xfffe)).toBe(0x202);
  });

  test('a page fault leaves RSP', () => {
    const cpu = longMode();
    cpu.setGpr(RSP, 0x4000_0000n);
    expect(execute(cpu, PUSHF)).toMatchObject({ vector: 14, payload: 0x3fff_fff8n });
    expect(cpu.gpr(RSP)).toBe(0x4000_0000n);
  });

  test('a non-canonical stack is #SS(0)', () => {
    const cpu = longMode();
    cpu.setGpr(RSP, 0x8000_0000_0000_1000n);
    expect(execute(cpu, PUSHF)).toMatchObject({ vector: 12, errorCode: 0 });
  });
});

describe('POPF', () => {
  const popf = (cpl: number, iopl: number, value: bigint, hex = POPF): number => {
    const cpu = longMode('intel', cpl);
    cpu.setRflags(iopl << 12);
    cpu.memory.write64(0x8000, value);
    expect(execute(cpu, hex)).toBeUndefined();
    return cpu.rflags();
  };
  const ALL = 0xffff_ffffn;

  test('CPL 0 loads everything but VM, RF, VIF, VIP', () => expect(popf(0, 0, ALL)).toBe(0x0024_7fd7));
  test('CPL 3, IOPL 0 changes neither IF nor IOPL', () => expect(popf(3, 0, ALL)).toBe(0x0024_4dd7));
  test('CPL 3, IOPL 3 changes IF', () => expect(popf(3, 3, ALL & ~0x3000n)).toBe(0x0024_7fd7));
  test('a 16-bit operand leaves the upper half', () => expect(popf(0, 0, ALL, '669d')).toBe(0x7fd7));

  test('IF 0 -> 1 opens at once: no shadow', () => {
    const cpu = longMode();
    cpu.memory.write64(0x8000, 0x202n);
    execute(cpu, POPF);
    expect(cpu.shadowAt).toBe(-1);
    expect(cpu.attention).toBe(true);
    expect(cpu.gpr(RSP)).toBe(0x8008n);
  });
});

test('STAC and CLAC: #UD outside CPL 0 and without SMAP', () => {
  const cpu = longMode();
  execute(cpu, '0f01cb');
  expect(cpu.rflags() & Flag.AC).toBe(Flag.AC);
  execute(cpu, '0f01ca');
  expect(cpu.rflags() & Flag.AC).toBe(0);
  expect(execute(longMode('intel', 3), '0f01cb')).toEqual(UD);
  expect(execute(longMode('intel,-smap'), '0f01ca')).toEqual(UD);
});

test('LAHF and SAHF move SF ZF AF PF CF and keep OF', () => {
  const cpu = longMode();
  cpu.setRflags(0x8d5);
  cpu.setGpr(RAX, 0n);
  execute(cpu, '9f');
  expect(cpu.gpr32(RAX)).toBe(0xd700);
  cpu.setGpr32(RAX, 0x4100);
  execute(cpu, '9e');
  expect(cpu.rflags()).toBe(0x843);
  expect(execute(longMode('intel,-lahf-lm'), '9f')).toEqual(UD);
  expect(execute(protectedMode('intel,-lahf-lm'), '9f')).toBeUndefined();
});
