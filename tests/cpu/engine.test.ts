import * as fc from 'fast-check';
import { R } from '../../cpu/layout';
import { longModeMachine, type LongModeMachine } from './long-mode-machine';

const CODE = 0x1_0000;
const DATA = 0x20_0000;
const hex = (text: string): Uint8Array => Buffer.from(text.replace(/ /g, ''), 'hex');

/** Points the 4 KiB page at `linear` (inside the first 16 MiB) somewhere; entry 0 makes it absent. Splits the 2 MiB page that maps it. */
function mapPage(m: LongModeMachine, linear: number, entry: bigint): void {
  const directory = 0x10_2000 + Math.floor(linear / 0x20_0000) * 8;
  let table = Number(m.memory.read64(directory));
  if ((table & 0x80) !== 0) {
    table = 0x11_0000 + Math.floor(linear / 0x20_0000) * 4096;
    const base = linear - (linear % 0x20_0000);
    for (let i = 0; i < 512; i++) m.memory.write64(table + i * 8, BigInt(base + i * 4096 + 7));
    m.memory.write64(directory, BigInt(table + 7));
  }
  m.memory.write64((table & ~0xfff) + Math.floor((linear % 0x20_0000) / 4096) * 8, entry);
  m.cpu.mmu.flushAll();
}
const entryOf = (m: LongModeMachine, linear: number): bigint =>
  m.memory.read64((Number(m.memory.read64(0x10_2000 + Math.floor(linear / 0x20_0000) * 8)) & ~0xfff) + Math.floor((linear % 0x20_0000) / 4096) * 8);

describe('the instruction budget', () => {
  // mov ecx,1000; xor eax,eax; 1: lea rax,[rax+rax*2+1]; xor rax,rcx; test al,1; jz 2f; add rbx,rax; 2: rol rbx,3; dec ecx; jnz 1b; nop
  const loop = hex('b9e803000031c0488d4440014831c8a80174034801c348c1c303ffc975e990');
  const end = CODE + loop.length;
  const state = (m: LongModeMachine): string => [m.cpu.rip, m.cpu.gpr(0), m.cpu.gpr(1), m.cpu.gpr(3), BigInt(m.cpu.rflags())].map((v) => v.toString(16)).join();
  const start = (): LongModeMachine => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, loop);
    m.cpu.rip = BigInt(CODE);
    m.engine.addGate(end);
    return m;
  };

  it('stops at exactly the instruction asked for, in the state that single steps reach', () => {
    const stepped = start();
    const states: string[] = [];
    for (let i = 0; i < 2000; i++) {
      states.push(state(stepped));
      stepped.engine.step();
    }
    const m = start();
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1999 }), fc.integer({ min: 0, max: 1999 }), (a, b) => {
        m.cpu.rip = BigInt(CODE);
        for (let r = 0; r < 16; r++) m.cpu.setGpr(r, 0n);
        m.cpu.setRflags(2);
        const from = m.cpu.now();
        const [first, second] = a < b ? [a, b] : [b, a];
        expect(m.engine.run(from + first)).toBe('limit');
        expect([m.cpu.now() - from, state(m)]).toEqual([first, states[first]]);
        expect(m.engine.run(from + second)).toBe('limit');
        expect([m.cpu.now() - from, state(m)]).toEqual([second, states[second]]);
      }),
      { numRuns: 200 },
    );
  });

  it('charges a repeated string instruction by iteration', () => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, hex('f3a4 90'));
    const from = m.cpu.now();
    m.cpu.setGpr(1, 1000n);
    m.cpu.setGpr(6, BigInt(DATA));
    m.cpu.setGpr(7, BigInt(DATA + 0x1000));
    m.cpu.rip = BigInt(CODE);
    m.engine.run(from + 300);
    expect([m.cpu.gpr(1), m.cpu.gpr(6), m.cpu.rip]).toEqual([700n, BigInt(DATA + 300), BigInt(CODE)]);
    m.engine.run(from + 1000);
    expect([m.cpu.gpr(1), m.cpu.rip]).toEqual([0n, BigInt(CODE + 2)]);
  });
});

describe('self-modifying code', () => {
  it.each(['blocks', 'single steps'])('sees a change of the next instruction of its own block (%s)', (how) => {
    const m = longModeMachine();
    // 1: mov byte [rip+patch+1], 7; patch: mov al, 1
    m.memory.writeBytes(CODE, hex('c60501000000 07 b001 90'));
    m.run(CODE, CODE + 9, how === 'single steps');
    expect(m.cpu.gpr(0)).toBe(7n);
  });

  it('sees every change of an instruction that runs in between', () => {
    const m = longModeMachine();
    // mov ecx,50; xor ebx,ebx; 1: mov [rip+p+1],cl; jmp p; p: mov al,0; movzx eax,al; add ebx,eax; dec ecx; jnz 1b
    const code = hex('b93200000031db880d03000000eb00b0000fb6c001c3ffc975ed90');
    m.memory.writeBytes(CODE, code);
    m.run(CODE, CODE + code.length - 1);
    expect(m.cpu.gpr(3)).toBe(1275n);
  });

  it('sees code that a device or the hypervisor writes', () => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, hex('b80100000090'));
    m.run(CODE, CODE + 5);
    m.memory.write8(CODE + 1, 9);
    m.run(CODE, CODE + 5);
    expect(m.cpu.gpr(0)).toBe(9n);
  });

  it('sees a write through another mapping of the page', () => {
    const m = longModeMachine();
    // An alias of the code page at 4 MiB; it is written (and so cached) before the page becomes code.
    mapPage(m, 0x40_0000, BigInt(CODE + 7));
    m.memory.writeBytes(DATA, hex('c6042540100000 00 90'));
    m.memory.writeBytes(0x2_0000, hex('c60425010040 00 09 90')); // mov byte [0x400001], 9
    m.memory.writeBytes(CODE, hex('b80100000090'));
    m.run(0x2_0000, 0x2_0008);
    m.run(CODE, CODE + 5);
    expect(m.cpu.gpr(0)).toBe(9n);
    m.memory.write8(0x2_0007, 0x0b);
    m.run(0x2_0000, 0x2_0008);
    m.run(CODE, CODE + 5);
    expect(m.cpu.gpr(0)).toBe(11n);
  });

  it('runs an instruction that crosses a page, and sees a change of its second half', () => {
    const m = longModeMachine();
    const at = CODE + 0xffe;
    m.memory.writeBytes(at, hex('b80200000090'));
    m.run(at, at + 5);
    expect(m.cpu.gpr(0)).toBe(2n);
    m.memory.write8(at + 2, 1);
    m.run(at, at + 5);
    expect(m.cpu.gpr(0)).toBe(0x102n);
  });
});

describe('memory accesses', () => {
  it('a store across a page whose second half is absent changes nothing', () => {
    const m = longModeMachine();
    mapPage(m, DATA + 0x1000, 0n);
    m.memory.writeBytes(CODE, hex('48890790'));
    m.cpu.setGpr(0, 0x1122_3344_5566_7788n);
    m.cpu.setGpr(7, BigInt(DATA + 0xffc));
    const fault = m.run(CODE, CODE + 3);
    expect(fault).toMatchObject({ vector: 14, errorCode: 2, payload: BigInt(DATA + 0x1000) });
    expect([m.memory.read32(DATA + 0xffc), m.cpu.rip]).toEqual([0, BigInt(CODE)]);
  });

  it.each([0xff9, 0xffa, 0xffc, 0xfff])('reads, writes and modifies across a page at offset %p', (offset) => {
    const m = longModeMachine();
    // Two pages that are not neighbours in physical memory.
    mapPage(m, DATA + 0x1000, 0x30_0007n);
    m.memory.writeBytes(CODE, hex('488907 480107 488b1f 90'));
    m.cpu.setGpr(0, 0x8122_3344_5566_7788n);
    m.cpu.setGpr(7, BigInt(DATA + offset));
    expect(m.run(CODE, CODE + 9)).toBeUndefined();
    expect(m.cpu.gpr(3)).toBe(BigInt.asUintN(64, 2n * 0x8122_3344_5566_7788n));
    expect(m.memory.read8(0x30_0000)).toBe(Number((m.cpu.gpr(3) >> BigInt(8 * (0x1000 - offset))) & 0xffn));
  });

  it('sets accessed and dirty bits exactly', () => {
    const m = longModeMachine();
    mapPage(m, DATA, BigInt(DATA + 7));
    m.memory.writeBytes(CODE, hex('488b07 90 480107 90'));
    m.cpu.setGpr(7, BigInt(DATA));
    m.run(CODE, CODE + 3);
    expect(entryOf(m, DATA)).toBe(BigInt(DATA + 0x27));
    m.run(CODE + 4, CODE + 7);
    expect(entryOf(m, DATA)).toBe(BigInt(DATA + 0x67));
  });

  it.each([
    ['absent, read', 0n, '488b07', 0],
    ['absent, write', 0n, '488907', 2],
    ['read-only with WP, write', 5n, '488907', 3],
    ['reserved bit', (1n << 45n) | 7n, '488b07', 9],
  ])('page fault: %s', (_name, bits, code, errorCode) => {
    const m = longModeMachine();
    mapPage(m, DATA, bits === 0n ? 0n : BigInt(DATA) | bits);
    m.memory.writeBytes(CODE, hex(`${code}90`));
    m.cpu.setGpr(7, BigInt(DATA + 8));
    expect(m.run(CODE, CODE + 3)).toMatchObject({ vector: 14, errorCode, payload: BigInt(DATA + 8) });
    expect(m.cpu.rip).toBe(BigInt(CODE));
  });

  it('a non-canonical address is #GP(0), through RSP or RBP #SS(0)', () => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, hex('488b07 90 488b4500 90'));
    m.cpu.setGpr(7, 0x8000_0000_0000n);
    m.cpu.setGpr(5, 0x8000_0000_0000n);
    expect(m.run(CODE, CODE + 3)).toMatchObject({ vector: 13, errorCode: 0 });
    expect(m.run(CODE + 4, CODE + 8)).toMatchObject({ vector: 12, errorCode: 0 });
  });

  it('a push that faults leaves RSP where it was', () => {
    const m = longModeMachine();
    mapPage(m, DATA, 0n);
    m.memory.writeBytes(CODE, hex('5090'));
    m.cpu.setGpr(4, BigInt(DATA + 8));
    expect(m.run(CODE, CODE + 1)).toMatchObject({ vector: 14 });
    expect(m.cpu.gpr(4)).toBe(BigInt(DATA + 8));
  });

  it('a device sees each access once, at its own width and time', () => {
    const m = longModeMachine();
    mapPage(m, DATA, 0xfed0_0007n);
    const log: string[] = [];
    m.memory.mapMmio(0xfed0_0000, 0x1000, {
      readMmio: (offset, size) => {
        log.push(`r${offset}.${size}@${m.cpu.now()}`);
        return 0x1234_5678;
      },
      writeMmio: (offset, size, value) => void log.push(`w${offset}.${size}=${value.toString(16)}@${m.cpu.now()}`),
    });
    // nop; mov eax,[rdi+4]; add dword [rdi+8],1; mov byte [rdi],5
    m.memory.writeBytes(CODE, hex('90 8b4704 83470801 c60705 90'));
    m.cpu.setGpr(7, BigInt(DATA));
    const t = m.cpu.now();
    m.run(CODE, CODE + 11);
    expect(m.cpu.gpr32(0)).toBe(0x1234_5678);
    expect(log).toEqual([`r4.4@${t + 1}`, `r8.4@${t + 2}`, `w8.4=12345679@${t + 2}`, `w0.1=5@${t + 3}`]);
  });
});

describe('string instructions', () => {
  it('MOVSB forward and backward, overlapping or not, moves bytes one after the other', () => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, hex('f3a4 90 fd f3a4 fc 90'));
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 9000 }),
        fc.integer({ min: 0, max: 9000 }),
        fc.integer({ min: 0, max: 6000 }),
        fc.boolean(),
        (from, to, count, backwards) => {
          const image = new Uint8Array(0x8000).map((_v, i) => (i * 31 + (i >>> 8)) & 0xff);
          m.memory.writeBytes(DATA, image);
          const delta = backwards ? 6000 : 0;
          m.cpu.setGpr(1, BigInt(count));
          m.cpu.setGpr(6, BigInt(DATA + from + delta));
          m.cpu.setGpr(7, BigInt(DATA + to + delta));
          m.cpu.setRflags(2);
          if (backwards) m.run(CODE + 3, CODE + 7);
          else m.run(CODE, CODE + 2);
          for (let i = 0; i < count; i++) {
            const o = backwards ? -i : i;
            image[to + delta + o] = image[from + delta + o];
          }
          expect(Buffer.compare(m.memory.readBytes(DATA, 0x8000), image)).toBe(0);
          expect(m.cpu.gpr(1)).toBe(0n);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('a fault in the middle leaves the iterations before it done', () => {
    const m = longModeMachine();
    mapPage(m, DATA + 0x1000, 0n);
    m.memory.writeBytes(CODE, hex('f3ab90'));
    m.cpu.setGpr(0, 0xaabbccddn);
    m.cpu.setGpr(1, 100n);
    m.cpu.setGpr(7, BigInt(DATA + 0xff0));
    const from = m.cpu.now();
    expect(m.run(CODE, CODE + 2)).toMatchObject({ vector: 14, payload: BigInt(DATA + 0x1000) });
    expect([m.cpu.gpr(1), m.cpu.gpr(7), m.memory.read32(DATA + 0xffc), m.cpu.rip, m.cpu.now() - from]).toEqual([
      96n,
      BigInt(DATA + 0x1000),
      0xaabbccdd,
      BigInt(CODE),
      4,
    ]);
  });

  it('REPNE SCASB and REPE CMPSB stop at the element that decides', () => {
    const m = longModeMachine();
    m.memory.writeBytes(CODE, hex('f2ae 90 f3a6 90'));
    m.memory.writeBytes(DATA, Buffer.from('hello, world'));
    m.memory.writeBytes(DATA + 0x100, Buffer.from('hello, walls'));
    m.cpu.setGpr(0, BigInt(','.charCodeAt(0)));
    m.cpu.setGpr(1, 50n);
    m.cpu.setGpr(7, BigInt(DATA));
    m.run(CODE, CODE + 2);
    expect([m.cpu.gpr(7), m.cpu.gpr(1), m.cpu.rflags() & 0x40]).toEqual([BigInt(DATA + 6), 44n, 0x40]);
    m.cpu.setGpr(1, 12n);
    m.cpu.setGpr(6, BigInt(DATA));
    m.cpu.setGpr(7, BigInt(DATA + 0x100));
    m.run(CODE + 3, CODE + 5);
    expect([m.cpu.gpr(1), m.cpu.rflags() & 0x41]).toEqual([3n, 0]);
  });
});

it('keeps the state block free of what tests do not set', () => {
  const m = longModeMachine();
  expect(m.cpu.get64(R.ZERO)).toBe(0n);
});
