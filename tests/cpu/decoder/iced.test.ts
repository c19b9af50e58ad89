import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { decode } from '../../../cpu/decoder/decode';
import type { CodeSize } from '../../../cpu/decoder/insn';
import { IcedOracle } from './iced-oracle';
import { runs } from '../../runs';

const CODE_SIZES: readonly CodeSize[] = [16, 32, 64];
const oracle = new IcedOracle();

/** A repeatable stream of bytes. */
function byteStream(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 0xff;
  };
}

const PREFIX_SEQUENCES: readonly (readonly number[])[] = [
  [],
  [0x66],
  [0xf3],
  [0xf2],
  [0xf0],
  [0x67],
  [0x66, 0xf3],
  [0x66, 0xf2],
  [0xf2, 0xf3],
  [0xf3, 0xf2],
  [0x66, 0xf0],
  [0x65, 0x3e],
  [0x36],
  [0x64, 0x67, 0x66],
  [0x40],
  [0x48],
  [0x4f],
  [0x66, 0x48],
  [0x66, 0x4f],
  [0xf3, 0x49],
  [0xf2, 0x4c],
  [0xf0, 0x48],
  [0x4f, 0x66],
  [0x48, 0x41],
];
const OPCODE_MAPS: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]];
const isRex = (byte: number): boolean => byte >= 0x40 && byte <= 0x4f;

/** Every opcode of every map, each with every ModRM.reg as memory and as register. */
function* opcodeSweep(codeSize: CodeSize, prefixes: readonly number[]): Generator<Uint8Array> {
  const random = byteStream(0x1234_5678 ^ codeSize);
  for (const map of OPCODE_MAPS) {
    for (let opcode = 0; opcode < 256; opcode++) {
      for (let digit = 0; digit < 16; digit++) {
        const mod = digit < 8 ? random() % 3 : 3;
        const head = [...prefixes, ...map, opcode, (mod << 6) | ((digit & 7) << 3) | (random() & 7)];
        const bytes = new Uint8Array(24);
        bytes.set(head);
        for (let at = head.length; at < bytes.length; at++) bytes[at] = random();
        yield bytes;
      }
    }
  }
}

describe('the decoder agrees with iced-x86', () => {
  test.each(CODE_SIZES)('on every opcode under prefixes, %i-bit code', (codeSize) => {
    const failures: string[] = [];
    for (const prefixes of PREFIX_SEQUENCES) {
      if (codeSize !== 64 && prefixes.some(isRex)) continue;
      for (const bytes of opcodeSweep(codeSize, prefixes)) {
        const difference = oracle.difference(bytes, codeSize);
        if (difference) failures.push(difference);
      }
    }
    expect(failures.slice(0, 20)).toEqual([]);
  });

  test.each(CODE_SIZES)('on every ModRM and SIB byte of ADD Gv,Ev and of the escape, 0F 01, 0F AE and 0F C7 groups, %i-bit code', (codeSize) => {
    const failures: string[] = [];
    const random = byteStream(0x0bad_cafe);
    const opcodes = [
      [0x03],
      [0x67, 0x03],
      [0xd8],
      [0xd9],
      [0xda],
      [0xdb],
      [0xdc],
      [0xdd],
      [0xde],
      [0xdf],
      [0x0f, 0x01],
      [0x0f, 0xae],
      [0x0f, 0xc7],
      [0xc6],
      [0xc7],
    ];
    if (codeSize === 64) opcodes.push([0x42, 0x03], [0x4d, 0x03], [0x67, 0x43, 0x03]);
    for (const opcode of opcodes) {
      for (let modrm = 0; modrm < 256; modrm++) {
        const sibs = opcode.includes(0x03) && (modrm & 7) === 4 ? 256 : 1;
        for (let sib = 0; sib < sibs; sib++) {
          const bytes = Uint8Array.from({ length: 24 }, random);
          bytes.set([...opcode, modrm]);
          if (sibs > 1) bytes[opcode.length + 1] = sib;
          const difference = oracle.difference(bytes, codeSize);
          if (difference) failures.push(difference);
        }
      }
    }
    expect(failures.slice(0, 20)).toEqual([]);
  });

  test('on random bytes behind random prefixes', () => {
    const prefix = fc.constantFrom(0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x41, 0x48, 0x4f);
    const instruction = fc.tuple(
      fc.array(prefix, { maxLength: 4 }),
      fc.constantFrom([], [], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(instruction, fc.constantFrom(...CODE_SIZES), ([prefixes, map, rest], codeSize) => {
        expect(oracle.difference(Uint8Array.from([...prefixes, ...map, ...rest]), codeSize)).toBe('');
      }),
      { numRuns: runs(1500), seed: 1 },
    );
  });

  const program = ['/usr/bin/busybox', '/bin/bash', process.execPath].find(existsSync);
  test('on the bytes of a real program, taken as code of each size', () => {
    const bytes = readFileSync(program ?? process.execPath);
    const failures: string[] = [];
    const from = bytes.length >> 2;
    for (const codeSize of CODE_SIZES) {
      const end = Math.min(bytes.length, from + 300_000) - 32;
      for (let at = from; at < end;) {
        const difference = oracle.difference(bytes, codeSize, at);
        if (difference) failures.push(difference);
        at += decode(bytes, at, at + 16, codeSize)?.length ?? 1;
      }
    }
    expect(failures.slice(0, 20)).toEqual([]);
  });
});

describe('bytes behind `end`', () => {
  test.each(CODE_SIZES)('never matter: a cut instruction is undefined, a whole one the same, %i-bit code', (codeSize) => {
    const random = byteStream(0x5eed_5eed);
    for (let run = 0; run < runs(1200); run++) {
      const bytes = Uint8Array.from({ length: 20 }, random);
      if (run % 3 === 0) bytes[0] = 0x0f;
      if (run % 5 === 0) bytes[1] = 0x0f;
      const whole = decode(bytes, 0, 20, codeSize);
      if (whole === undefined) throw new Error('20 bytes are enough for any instruction');
      for (let end = 0; end < whole.length; end++) {
        expect(decode(bytes, 0, end, codeSize)).toBeUndefined();
        expect(decode(bytes.slice(0, end), 0, end, codeSize)).toBeUndefined();
      }
      const exact = bytes.slice(0, whole.length);
      expect(decode(exact, 0, exact.length, codeSize)).toEqual(whole);
    }
  });
});
