import { RAX, execute, protectedMode } from './processor';

/** FNV-1a over AL, AH and flags after the instruction for every AL, CF and AF with AH = 35h, taken on an Intel processor. */
const SILICON: readonly (readonly [name: string, opcode: string, flags: number, hash: number])[] = [
  ['DAA', '27', 0xd5, 0x132828f1],
  ['DAS', '2f', 0xd5, 0x7048a73b],
  ['AAA', '37', 0x11, 0x8a2e78bd],
  ['AAS', '3f', 0x11, 0xdcb4bb69],
];

test.each(SILICON)('%s gives what silicon gives for every AL, CF, AF', (_name, opcode, mask, expected) => {
  const cpu = protectedMode();
  let hash = 0x811c9dc5;
  for (let i = 0; i < 1024; i++) {
    cpu.setGpr32(RAX, 0x3500 | (i & 0xff));
    cpu.setRflags(((i >> 8) & 1) | ((i >> 9) << 4) | 2);
    expect(execute(cpu, opcode)).toBeUndefined();
    for (const byte of [cpu.gpr8(RAX), cpu.gpr8(16), cpu.rflags() & mask]) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  expect(hash).toBe(expected);
});

test('AAM divides, AAD multiplies, AAM 0 raises #DE', () => {
  const cpu = protectedMode();
  cpu.setGpr32(RAX, 0xff63);
  execute(cpu, 'd40a');
  expect(cpu.gpr16(RAX)).toBe(0x0909);
  execute(cpu, 'd50a');
  expect(cpu.gpr16(RAX)).toBe(99);
  expect(execute(cpu, 'd400')).toMatchObject({ vector: 0 });
  expect(cpu.gpr16(RAX)).toBe(99);
});
