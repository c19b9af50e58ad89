import { setBreakpointAddress, setDr7 } from '../../cpu/debug';
import { R } from '../../cpu/layout';
import { CODE, STACK, exceptionMachine, type ExceptionMachine } from './exception-machine';

const DATA = 0x20_0000;
const [RAX, RCX, RSI, RDI] = [0, 1, 6, 7];
const L0 = 1;
const WRITE = 1 << 16,
  READ_WRITE = 3 << 16;
const LEN1 = 0,
  LEN2 = 1 << 18,
  LEN4 = 3 << 18,
  LEN8 = 2 << 18;
const DB = 1;
const RF = 0x1_0000;
const B0 = 0xffff_0ff1;

function armed(address: number, dr7: number): ExceptionMachine {
  const m = exceptionMachine();
  m.cpu.setGpr(RDI, BigInt(DATA));
  m.cpu.setGpr(RSI, BigInt(DATA + 0x1000));
  setBreakpointAddress(m.cpu, 0, BigInt(address));
  setDr7(m.cpu, L0 | dr7);
  return m;
}
const ripsOf = (m: ExceptionMachine): number[] => m.delivered.filter((e) => e.vector === DB).map((e) => e.rip);

describe.each(['runs', 'steps'] as const)('in %s', (how) => {
  // SDM "Data Memory and I/O Breakpoint Exception Conditions": a trap, after the instruction.
  it('traps after the store, with B0', () => {
    const m = armed(DATA, WRITE | LEN4);
    // nop; mov [rdi],eax; nop
    expect(m.execute('90 8907 90', how)).toEqual([{ vector: DB, rip: 3, rflags: 2, dr6: B0, at: 2 }]);
  });

  it.each([
    ['a read', '8b07', WRITE | LEN4, false],
    ['a read', '8b07', READ_WRITE | LEN4, true],
    ['a read-modify-write', 'ff07', WRITE | LEN4, true],
    ['the quadword below', '488947f8', WRITE | LEN8, false],
    ['the byte above', '884708', WRITE | LEN8, false],
    ['the last byte', '884707', WRITE | LEN8, true],
    ['a store that begins below', '488947f9', WRITE | LEN1, true],
    ['an SSE store of 16 bytes that ends in it', '0f1147f2', WRITE | LEN2, true],
    ['an SSE load that does', '0f1047f2', READ_WRITE | LEN2, true],
    ['an aligned SSE store', '0f2907', WRITE | LEN1, true],
    ['CMPXCHG16B', '480fc70f', WRITE | LEN8, true],
    ['FXSAVE', '0fae07', WRITE | LEN1, true],
    ['MOVSS load', 'f30f5807', READ_WRITE | LEN4, true],
    ['a prefetch', '0f180f', READ_WRITE | LEN4, false],
    ['LEA', '488d07', READ_WRITE | LEN4, false],
  ])('%s (%s)', (_, code, dr7, hit) => {
    const m = armed(DATA, dr7);
    m.execute(`90 ${code} 90`, how);
    expect(ripsOf(m)).toEqual(hit ? [1 + code.length / 2] : []);
  });

  it.each([
    ['PUSH', '50', STACK - 8, WRITE, 1],
    ['POP', '58', STACK, READ_WRITE, 1],
    ['CALL', 'e800000000', STACK - 8, WRITE, 5],
    ['PUSHF', '9c', STACK - 8, WRITE, 1],
    ['ENTER', 'c8100000', STACK - 8, WRITE, 4],
  ])('the stack access of %s', (_, code, address, dr7, length) => {
    const m = armed(address, dr7 | LEN8);
    m.execute(code, how);
    expect(ripsOf(m)).toEqual([length]);
  });

  it('a store across a page meets a breakpoint in the second page', () => {
    const m = armed(DATA + 0x1000, WRITE | LEN2);
    m.execute('488987fc0f0000', how);
    expect(ripsOf(m)).toEqual([7]);
    expect(m.memory.read64(DATA + 0xffc)).toBe(m.cpu.gpr(RAX));
  });

  it('two breakpoints and a single step make one exception', () => {
    const m = armed(DATA, WRITE | LEN4);
    setBreakpointAddress(m.cpu, 3, BigInt(DATA + 1));
    setDr7(m.cpu, L0 | WRITE | LEN4 | (1 << 6) | (1 << 28));
    // pushfq; or byte [rsp+1],1; popfq; mov [rdi],eax; nop
    m.execute('9c 804c240101 9d 8907', how);
    expect(m.delivered[0]).toMatchObject({ vector: DB, rip: 9, dr6: 0xffff_4ff9 });
  });

  // SDM "Instruction-Breakpoint Exception Condition": RF is 1 in the image after every iteration but the last.
  it('traps between the iterations of REP STOS, with RF in the image', () => {
    const m = armed(DATA + 2, WRITE | LEN2);
    m.cpu.setGpr(RCX, 6n);
    m.execute('90 f3aa', how);
    expect(m.delivered.map(({ rip, rflags, at }) => [rip, rflags & RF, at])).toEqual([
      [1, RF, 4],
      // The handler's IRETQ is one of them.
      [1, RF, 6],
    ]);
    expect([m.cpu.gpr(RCX), m.cpu.gpr(RDI)]).toEqual([0n, BigInt(DATA + 6)]);
  });

  it('traps behind REP MOVS after its last iteration, without RF', () => {
    const m = armed(DATA + 0x1005, READ_WRITE | LEN1);
    m.cpu.setGpr(RCX, 6n);
    m.execute('90 f3a4', how);
    expect(m.delivered.map(({ rip, rflags, at }) => [rip, rflags & RF, at])).toEqual([[3, 0, 7]]);
  });

  it.each([
    ['LODS', 'f3ac', READ_WRITE, DATA + 0x1001, [[1, 2]]],
    ['SCAS', 'f2ae', READ_WRITE, DATA + 1, [[1, 2]]],
    ['CMPS', 'f3a6', READ_WRITE, DATA + 0x1001, [[1, 2]]],
  ])('traps between the iterations of REP %s', (_, code, dr7, address, expected) => {
    const m = armed(address, dr7 | LEN1);
    m.cpu.setGpr(RAX, 1n);
    m.cpu.setGpr(RCX, 4n);
    m.execute(`${code}`, how);
    expect(m.delivered.map(({ at }) => [1, at])).toEqual(expected);
    expect(m.delivered[0].rip).toBe(0);
    expect(m.cpu.gpr(RCX)).toBe(0n);
  });

  it('waits for the instruction behind a MOV SS that met it', () => {
    const m = armed(DATA, READ_WRITE | LEN2);
    m.memory.write16(DATA, 16);
    // mov ss,[rdi]; nop; nop
    m.execute('8e17 90 90', how);
    expect(ripsOf(m)).toEqual([3]);
  });

  it('is forgotten when the instruction faults after all', () => {
    const m = armed(DATA + 0x1000, READ_WRITE | LEN8);
    m.cpu.setGpr(RDI, 0x4000_0000n);
    // movsb: the source is read, the destination is not mapped
    m.execute('a4', how);
    expect(m.delivered.map((e) => e.vector)).toEqual([14]);
    expect([m.cpu.pendingDebug, m.cpu.mmu.dataBreakpoints.hits]).toEqual([0, 0]);
  });

  it('sees the pushes of a delivery: the trap is taken before the first instruction of the handler', () => {
    const m = armed(STACK - 8, WRITE | LEN8);
    m.execute('cd80', how);
    expect(m.delivered.slice(0, 2).map(({ vector, rip }) => [vector, rip])).toEqual([
      [0x80, 2],
      [DB, 0xa000 - CODE],
    ]);
  });

  it('holds from the instruction behind MOV to DR7 on, and no longer than to the next', () => {
    const m = exceptionMachine();
    m.cpu.setGpr(RDI, BigInt(DATA));
    // mov [rdi],edi; mov dr0,rdi; mov eax,0d0002h; mov dr7,rax; mov [rdi],edi; xor eax,eax; mov dr7,rax; mov [rdi],edi
    m.execute('893f 0f23c7 b802000d00 0f23f8 893f 31c0 0f23f8 893f', how);
    expect(ripsOf(m)).toEqual([15]);
  });

  it('follows an address that is loaded while the breakpoint is enabled', () => {
    const m = armed(0, WRITE | LEN4);
    m.execute('893f 0f23c7 893f', how);
    expect(ripsOf(m)).toEqual([7]);
  });
});

it('costs accesses to other pages nothing', () => {
  const m = armed(DATA + 0x3000, READ_WRITE | LEN8);
  // mov ecx,1000; 1: mov [rdi],ecx; dec ecx; jnz 1b
  m.execute('b9e8030000 890f ffc9 75fa');
  expect(m.delivered).toEqual([]);
  expect(m.engine.slowSteps).toBeLessThan(20);
});

it('other data of its page is read and written as ever', () => {
  const m = armed(DATA + 0x100, READ_WRITE | LEN8);
  m.execute('b9e8030000 010f ffc9 75fa');
  expect([m.delivered, m.memory.read32(DATA)]).toEqual([[], 500500]);
});

it('survives a snapshot', () => {
  const m = armed(DATA, WRITE | LEN4);
  const state = m.engine.saveState();
  setDr7(m.cpu, 0);
  m.execute('8907');
  expect(m.delivered).toEqual([]);
  m.engine.restoreState(state);
  m.execute('8907');
  expect(ripsOf(m)).toEqual([2]);
});

it('a match is discarded while GIF is 0', () => {
  const m = armed(DATA, WRITE | LEN4);
  m.cpu.interception = { guestMode: false, active: true, held: true, deadline: Infinity, attention: false } as never;
  m.execute('8907 90');
  expect(m.delivered).toEqual([]);
  expect(m.cpu.get32(R.DR6)).toBe(0);
});
