import { Activity, Flag } from '../../cpu/cpu';
import { setDr7 } from '../../cpu/debug';
import { R } from '../../cpu/layout';
import { CODE, STACK, exceptionMachine } from './exception-machine';

const DB = 1;
const RF = 0x1_0000;
const PUSH_FLAGS = (flags: string): string => `9c 48810c24${flags} 9d`; // pushfq; or qword [rsp],flags; popfq
const TF = '00010000';
const CLEAR_TF = '9c 4881242400feffff 9d';

describe('instruction breakpoints', () => {
  // SDM "Instruction-Breakpoint Exception Condition": a fault, before the instruction, with the highest priority.
  it('hold from the instruction behind MOV to DR7 on, inside a run of compiled code', () => {
    const m = exceptionMachine();
    // lea rax,[rip+t]; mov dr0,rax; mov eax,2; mov dr7,rax; mov ecx,50; 1: add edx,ecx; loop 1b; jmp t; nop; t: nop
    m.execute('488d0519000000 0f23c0 b802000000 0f23f8 b932000000 01ca e2fc eb01 90 90 90 90 90 90 90 90 90');
    const target = 7 + 0x19;
    expect(m.delivered).toEqual([{ vector: DB, rip: target, rflags: expect.any(Number), dr6: 0xffff_0ff1, at: expect.any(Number) }]);
    expect(m.delivered[0].rflags & RF).toBe(0);
  });

  it('stop a loop that a branch inside compiled code reaches again and again', () => {
    const m = exceptionMachine();
    m.cpu.set64(R.DR2, BigInt(CODE + 5));
    setDr7(m.cpu, 1 << 4);
    // mov ecx,3; 1: dec ecx; jnz 1b
    m.execute('b903000000 ffc9 75fc');
    expect(m.delivered.map(({ rip, dr6 }) => [rip, dr6])).toEqual(Array(3).fill([5, 0xffff_0ff4]));
  });

  it('hit a repeated string instruction once, not at every iteration', () => {
    const m = exceptionMachine();
    m.cpu.set64(R.DR0, BigInt(CODE + 1));
    setDr7(m.cpu, 1);
    m.cpu.setGpr(1, 5n);
    m.cpu.setGpr(7, 0x20_0000n);
    m.execute('90 f3aa 90');
    expect(m.delivered.map(({ rip }) => rip)).toEqual([1]);
  });
});

describe('RFLAGS.RF', () => {
  it('that IRET loads is gone after one instruction: INT3, INT1 and INT n push 0', () => {
    const m = exceptionMachine();
    // push ss; push rsp..: an interrupt frame with RF = 1 that returns to the next instruction
    const frame = '4889e0 6a10 50 6802000100 6a08 488d0503000000 50 48cf';
    m.execute(`${frame} 90 cc f1 90 cd80`);
    expect(m.delivered.map(({ vector, rflags }) => [vector, rflags & RF])).toEqual([
      [3, 0],
      [1, 0],
      [0x80, 0],
    ]);
  });
  it('that IRET loads is still 1 in the image of an interrupt instead of that instruction', () => {
    const m = exceptionMachine();
    const frame = '4889e0 6a10 50 6802000100 6a08 488d0503000000 50 48cf';
    m.execute(`${frame} cc`);
    expect(m.delivered.map(({ vector, rflags }) => [vector, rflags & RF])).toEqual([[3, RF]]);
  });
  it.each([
    ['between iterations', 3, RF],
    ['behind the last iteration', 8, 0],
  ])('in the image of an interrupt %s of REP STOS', (_, retired, rf) => {
    const m = exceptionMachine();
    m.cpu.setGpr(1, 8n);
    m.cpu.setGpr(7, 0x20_0000n);
    m.memory.writeBytes(CODE, Buffer.from('f3aa90f4', 'hex'));
    m.cpu.rip = BigInt(CODE);
    m.engine.run(m.cpu.now() + retired);
    m.cpu.nmiPending = true;
    m.engine.run(m.cpu.now() + 100);
    expect(m.delivered).toEqual([expect.objectContaining({ vector: 2, rip: rf === 0 ? 2 : 0, at: retired })]);
    expect([m.delivered[0].rflags & RF, m.cpu.gpr(1)]).toEqual([rf, 0n]);
  });
});

describe('single-step traps', () => {
  it('come after every instruction behind the POPF that set TF', () => {
    const m = exceptionMachine();
    m.execute(`${PUSH_FLAGS(TF)} 90 90 ${CLEAR_TF}`);
    // POPF that clears TF is the last one to be followed by a trap.
    expect(m.delivered.map(({ rip, dr6 }) => [rip, dr6])).toEqual([11, 12, 13, 21, 22].map((rip) => [rip, 0xffff_4ff0]));
  });

  // SDM "HLT": "An enabled interrupt (including NMI and SMI), a debug exception, the BINIT# signal, the INIT# signal, or the RESET# signal will resume execution."
  it('end a HLT', () => {
    const m = exceptionMachine();
    m.execute(`${PUSH_FLAGS(TF)} f4 ${CLEAR_TF} 90`);
    expect(m.delivered[0]).toMatchObject({ vector: DB, rip: 11 });
    expect([m.cpu.rip, m.cpu.activity]).toEqual([BigInt(CODE + 11 + 12), Activity.Halted]);
    expect(m.cpu.get32(R.RFLAGS_SYSTEM) & Flag.TF).toBe(0);
    expect(m.cpu.gpr(4)).toBe(BigInt(STACK));
  });

  it('come after every iteration of a repeated string instruction', () => {
    const m = exceptionMachine();
    m.cpu.setGpr(1, 3n);
    m.cpu.setGpr(7, 0x20_0000n);
    m.execute(`${PUSH_FLAGS(TF)} f3aa ${CLEAR_TF}`);
    expect(m.delivered.slice(0, 4).map(({ rip, rflags }) => [rip, rflags & RF])).toEqual([
      [10, RF],
      [10, RF],
      [12, 0],
      [13, 0],
    ]);
  });
});
