import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Cr0, Cr4, updateSimdState, Vector } from '../../../cpu/cpu';
import { R } from '../../../cpu/layout';
import { longModeMachine, TEST_PROFILE } from '../long-mode-machine';

type Case = readonly [first: number, second: number, memory: number, misalignment: number, control: number, result: string];
interface Recording {
  readonly pool: readonly string[];
  readonly rows: readonly { readonly asm: string; readonly code: string; readonly cases: readonly Case[] }[];
}

/** Recorded on a processor by vectors/record-sse.c, which explains the format. */
const recording = JSON.parse(gunzipSync(readFileSync(join(__dirname, 'vectors/sse-integer.json.gz'))).toString()) as Recording;

const CODE = 0x1_0000;
const DATA = 0x20_0000;
const [RAX, RDI] = [0, 7];
const TOP = 5;
const hex = (text: string): Buffer => Buffer.from(text.replace(/ /g, ''), 'hex');

describe('SSE and MMX instructions without floating-point arithmetic, as a processor executed them', () => {
  const m = longModeMachine();
  const { cpu, memory } = m;
  const pool = recording.pool.map(hex);
  const at = (offset: number): number => cpu.base + offset;
  const bytes = (from: number, count: number): Buffer => Buffer.from(cpu.u8.subarray(from, from + count));
  const fpr = (i: number): number => at(R.FPR + i * 16);

  /** Executes one case with its memory block at `block`, and says what changed as the recorder does. */
  const execute = (code: Buffer, [a, b, c, misalignment]: Case, block: number, stepping: boolean): string => {
    cpu.u8.set(pool[a], cpu.xmm(1));
    cpu.u8.set(pool[b], cpu.xmm(2));
    cpu.set32(R.FSW, TOP << 11);
    cpu.set32(R.FTW, 0x81);
    for (let i = 0; i < 8; i++) {
      cpu.set64(R.FPR + i * 16, 0n);
      cpu.set64(R.FPR + i * 16 + 8, BigInt(0x4000 + i));
    }
    cpu.u8.set(pool[a].subarray(8), fpr(1));
    cpu.u8.set(pool[b].subarray(8), fpr(2));
    const rax = pool[b].subarray(3, 11);
    cpu.u8.set(rax, at(R.GPR));
    const before = Buffer.alloc(48, 0xa5);
    pool[c].copy(before, 16 + misalignment);
    memory.writeBytes(block, before);
    cpu.setGpr(RDI, BigInt(block + 16 + misalignment));
    const fault = m.run(CODE, CODE + code.length, stepping);
    if (fault !== undefined) return fault.vector === Vector.GP && fault.errorCode === 0 ? 'fault' : `vector ${fault.vector}`;

    const changed: string[] = [];
    const compare = (name: string, was: Buffer, is: Buffer): void => void (was.equals(is) || changed.push(`${name}=${is.toString('hex')}`));
    compare('x1', pool[a], bytes(cpu.xmm(1), 16));
    compare('x2', pool[b], bytes(cpu.xmm(2), 16));
    compare('q1', pool[a].subarray(8), bytes(fpr(1), 8));
    compare('q2', pool[b].subarray(8), bytes(fpr(2), 8));
    compare('r', rax, bytes(at(R.GPR + RAX * 8), 8));
    compare('m', before, Buffer.from(Array.from({ length: 48 }, (_, i) => memory.read8(block + i))));
    const ones = [...Array(8).keys()].reduce((set, i) => ((cpu.get32(R.FPR + i * 16 + 8) & 0xffff) === 0xffff ? set | (1 << i) : set), 0);
    compare('t', Buffer.from([TOP, 0x81, 0]), Buffer.from([(cpu.get32(R.FSW) >>> 11) & 7, cpu.get32(R.FTW), ones]));
    return changed.join(' ');
  };

  const mismatches = (block: number, stepping: boolean, choose: (c: Case, index: number) => boolean): string[] => {
    const wrong: string[] = [];
    for (const row of recording.rows) {
      let loaded = '';
      row.cases.forEach((c, index) => {
        if (!choose(c, index)) return;
        const code = row.code + (c[4] < 0 ? '' : Buffer.from([c[4]]).toString('hex'));
        if (code !== loaded) memory.writeBytes(CODE, hex(`${(loaded = code)}90`));
        const got = execute(hex(code), c, block, stepping);
        if (got !== c[5]) wrong.push(`${row.asm} (${code}) ${c.slice(0, 5).join()}\n  got      ${got}\n  expected ${c[5]}`);
      });
    }
    return wrong;
  };

  it('replays every recorded case', () => {
    expect(
      mismatches(DATA, false, () => true)
        .slice(0, 12)
        .join('\n'),
    ).toBe('');
    expect(recording.rows.length).toBeGreaterThan(360);
  });
  it('replays in single steps', () => {
    expect(
      mismatches(DATA, true, (_c, index) => index < 26)
        .slice(0, 12)
        .join('\n'),
    ).toBe('');
  });
  it('replays with unaligned operands that cross a page', () => {
    expect(
      mismatches(DATA + 0x1000 - 24, false, (c) => c[3] === 0 && c[4] < 0 && c[5] !== 'fault')
        .filter((text) => !text.includes('fault'))
        .slice(0, 12)
        .join('\n'),
    ).toBe('');
    expect(
      mismatches(DATA + 0x1000 - 32, false, (c) => c[3] !== 0)
        .slice(0, 12)
        .join('\n'),
    ).toBe('');
  });
});

describe('availability of SSE and MMX', () => {
  const m = longModeMachine(16, { ...TEST_PROFILE, has: (name) => name !== 'sse3' });
  const { cpu } = m;
  const vectorOf = (code: string, cr0: number, cr4: number, fsw = 0): number | undefined => {
    const bytes = hex(code);
    m.memory.writeBytes(CODE, bytes);
    cpu.set32(R.CR0, (0x8001_0013 | cr0) >>> 0);
    cpu.set32(R.CR4, 0x420 | cr4);
    cpu.set32(R.FSW, fsw);
    updateSimdState(cpu);
    // A misaligned operand in an absent page: what is checked later must not be seen.
    cpu.setGpr(RDI, 0x4000_0001n);
    cpu.setGpr(RAX, 0n);
    return m.run(CODE, CODE + bytes.length)?.vector;
  };
  const { EM, TS, NE } = Cr0;
  const { OSFXSR } = Cr4;
  const PENDING = 0x80;
  const SSE = ['660ffc07', '0f2807', '0f1107', '660f7ec0', '660f70c21b', '660ff7ca'];
  const MMX = ['0ffc07', '0f6e07', '0f7e07', '0f70c21b', '0f71d003', '0ff7ca'];

  it.each(SSE)('SSE %s', (code) => {
    expect([EM, TS, EM | TS].map((cr0) => vectorOf(code, cr0, OSFXSR))).toEqual([Vector.UD, Vector.NM, Vector.UD]);
    expect([0, TS].map((cr0) => vectorOf(code, cr0, 0))).toEqual([Vector.UD, Vector.UD]);
  });
  it.each(MMX)('MMX %s', (code) => {
    for (const cr4 of [0, OSFXSR]) {
      expect([EM, TS, EM | TS].map((cr0) => vectorOf(code, cr0 | NE, cr4, PENDING))).toEqual([Vector.UD, Vector.NM, Vector.UD]);
      expect(vectorOf(code, NE, cr4, PENDING)).toBe(Vector.MF);
    }
  });
  it.each(['f30fd6ca', 'f20fd6ca'])('both register files %s', (code) => {
    expect([EM, TS].map((cr0) => vectorOf(code, cr0, OSFXSR))).toEqual([Vector.UD, Vector.NM]);
    expect(vectorOf(code, 0, 0)).toBe(Vector.UD);
    expect(vectorOf(code, NE, OSFXSR, PENDING)).toBe(Vector.MF);
    expect(vectorOf(code, 0, OSFXSR)).toBeUndefined();
  });
  it('misalignment comes before the page fault, which unaligned moves raise', () => {
    expect(vectorOf('0f2807', 0, OSFXSR)).toBe(Vector.GP);
    expect(vectorOf('0f1007', 0, OSFXSR)).toBe(Vector.PF);
    expect(vectorOf('660f2907', 0, OSFXSR)).toBe(Vector.GP);
    expect(vectorOf('0f6f07', 0, 0)).toBe(Vector.PF);
  });
  it('an instruction of a feature that the profile lacks is undefined', () => {
    expect(vectorOf('f20fd0c1', 0, OSFXSR)).toBe(Vector.UD);
    expect(vectorOf('f20f12c1', 0, OSFXSR)).toBe(Vector.UD);
  });

  it('follows MOV CR0, MOV CR4, CLTS and LMSW', () => {
    const PROBE = '0f28c1';
    const run = (code: string): number | undefined => {
      m.memory.writeBytes(CODE, hex(code));
      return m.run(CODE, CODE + hex(code).length)?.vector;
    };
    expect(vectorOf(PROBE, 0, OSFXSR)).toBeUndefined();
    // mov rax,cr0; or al,8; mov cr0,rax
    expect(run(`0f20c0 0c08 0f22c0 ${PROBE}`)).toBe(Vector.NM);
    expect(run(`0f06 ${PROBE}`)).toBeUndefined();
    // smsw eax; or al,8; lmsw ax
    expect(run(`0f01e0 0c08 0f01f0 ${PROBE}`)).toBe(Vector.NM);
    expect(run(`0f06 ${PROBE}`)).toBeUndefined();
    // mov rax,cr4; and ah,~2; mov cr4,rax
    expect(run(`0f20e0 80e4fd 0f22e0 ${PROBE}`)).toBe(Vector.UD);
    // mov rax,cr4; or ah,2; mov cr4,rax
    expect(run(`0f20e0 80cc02 0f22e0 ${PROBE}`)).toBeUndefined();
  });
});

describe('segment limits outside 64-bit mode', () => {
  const m = longModeMachine();
  const { cpu } = m;
  const [CS, DS] = [1, 3];
  /** Compatibility mode; the data segment ends 16 bytes behind DATA. Runs `code` with EDI = DATA + `offset`. */
  const vectorOf = (code: string, offset: number): number | undefined => {
    cpu.setSegment(CS, 8, 0xc09b, 0xffff_ffff, 0n);
    cpu.setSegment(DS, 16, 0x4093, DATA + 15, 0n);
    cpu.modeChanged();
    cpu.setGpr(RDI, BigInt(DATA + offset));
    m.memory.writeBytes(CODE, hex(code));
    return m.run(CODE, CODE + hex(code).length)?.vector;
  };
  // The last offset at which the operand fits, and the width that decides it.
  it.each([
    ['movaps xmm0,[edi]', '0f2807', 0, 16],
    ['movups [edi],xmm0', '0f1107', 0, 1],
    ['movss xmm0,[edi]', 'f30f1007', 12, 1],
    ['movss [edi],xmm0', 'f30f1107', 12, 1],
    ['movhps xmm0,[edi]', '0f1607', 8, 1],
    ['pinsrw xmm0,[edi],0', '660fc40700', 14, 1],
    ['punpcklbw mm0,[edi]', '0f6007', 12, 1],
    ['punpckhbw mm0,[edi]', '0f6807', 8, 1],
    ['movd xmm0,[edi]', '660f6e07', 12, 1],
    ['movq [edi],xmm0', '660fd607', 8, 1],
    ['pextrb [edi],xmm0,0', '660f3a140700', 15, 1],
    ['pmovzxbq xmm0,[edi]', '660f383207', 14, 1],
  ])('%s', (_asm, code, last, beyond) => {
    expect(vectorOf(code, last)).toBeUndefined();
    expect(vectorOf(code, last + beyond)).toBe(Vector.GP);
  });
  it('MASKMOVDQU is checked where it stores', () => {
    cpu.u8.fill(0, cpu.xmm(2), cpu.xmm(2) + 16);
    cpu.u8[cpu.xmm(2) + 3] = 0x80;
    expect(vectorOf('660ff7ca', 12)).toBeUndefined();
    expect(vectorOf('660ff7ca', 13)).toBe(Vector.GP);
  });
});
