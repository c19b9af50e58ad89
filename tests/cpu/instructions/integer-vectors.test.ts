import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { longModeMachine } from '../long-mode-machine';

interface Row {
  readonly asm: string;
  readonly code: string;
  readonly undefined: number;
  readonly cases: readonly (readonly [before: string, after: string | null])[];
}

/** Recorded on a processor by vectors/record-integer.py. */
const rows = JSON.parse(gunzipSync(readFileSync(join(__dirname, 'vectors/integer.json.gz'))).toString()) as Row[];

const CODE = 0x1_0000;
const DATA = 0x20_0000;
const STACK = 0x1f_0000;
/** RAX RBX RCX RDX R8. */
const REGISTERS = [0, 3, 1, 2, 8];
const NAMES = ['rax', 'rbx', 'rcx', 'rdx', 'r8', 'flags', 'memory 0', 'memory 8'];

describe('integer instructions, as a processor executed them', () => {
  const m = longModeMachine();
  const words = (text: string): bigint[] => text.split(' ').map((w) => BigInt(`0x${w}`));

  /** Every instruction runs twice: as compiled blocks and as single steps. */
  const execute = (row: Row, before: string, stepping: boolean): string[] | 'fault' => {
    const input = words(before);
    REGISTERS.forEach((r, i) => m.cpu.setGpr(r, input[i]));
    m.cpu.setGpr(7, BigInt(DATA));
    m.cpu.setGpr(4, BigInt(STACK));
    m.cpu.setRflags(Number(input[5]) | 2);
    m.memory.write64(DATA, input[6]);
    m.memory.write64(DATA + 8, input[7]);
    const fault = m.run(CODE, CODE + row.code.length / 2, stepping);
    if (fault !== undefined) return 'fault';
    const flags = BigInt(m.cpu.rflags() & 0x8d5 & ~row.undefined);
    return [...REGISTERS.map((r) => m.cpu.gpr(r)), flags, m.memory.read64(DATA), m.memory.read64(DATA + 8)].map((v, i) => `${NAMES[i]}=${v.toString(16)}`);
  };

  it.each(['blocks', 'single steps'])('replays every recorded case in %s', (how) => {
    const wrong: string[] = [];
    for (const row of rows) {
      m.memory.writeBytes(CODE, Buffer.from(`${row.code}f4`, 'hex'));
      for (const [before, after] of row.cases) {
        const got = execute(row, before, how === 'single steps');
        const expected =
          after === null ? 'fault' : words(after).map((v, i) => `${NAMES[i]}=${(i === 5 ? v & BigInt(~row.undefined & 0x8d5) : v).toString(16)}`);
        if (String(got) !== String(expected)) wrong.push(`${row.asm}\n  before ${before}\n  got      ${String(got)}\n  expected ${String(expected)}`);
      }
    }
    expect(wrong.slice(0, 10).join('\n')).toBe('');
    expect(rows.length).toBeGreaterThan(800);
  });
});
