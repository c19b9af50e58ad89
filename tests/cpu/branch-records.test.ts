/** APM volume 2, "Control-Transfer Breakpoint Features". Addresses are segment offsets, here relative to the program. */
import { Activity } from '../../cpu/cpu';
import { setDr7 } from '../../cpu/debug';
import { EventType } from '../../cpu/interfaces';
import { R } from '../../cpu/layout';
import { deliverEvent } from '../../cpu/exceptions';
import { readMsr, resetSystemRegisters } from '../../cpu/system/msr';
import { CODE, STACK, exceptionMachine, type ExceptionMachine } from './exception-machine';
import { TEST_PROFILE, longModeMachine } from './long-mode-machine';

const AMD = { ...TEST_PROFILE, vendor: 'amd' as const };
const HANDLER = 0xa000 - CODE;
const LBR = 1n,
  BTF = 2n;
// mov ecx,1d9h; xor edx,edx; mov eax,n; wrmsr: 14 bytes
const writeDebugCtl = (n: number): string => `b9d9010000 31d2 b80${n}000000 0f30`;
const PROLOGUE = 14;

const AT = [R.LAST_BRANCH_FROM, R.LAST_BRANCH_TO, R.LAST_INT_FROM, R.LAST_INT_TO];
/** LastBranchFromIP, LastBranchToIP, LastIntFromIP, LastIntToIP. */
const records = (m: ExceptionMachine): number[] => AT.map((at) => Number(m.cpu.get64(at)) - CODE);
const NONE = -CODE;

/** Building one takes a while: a test has it until it asks for the next. */
const machines = { amd: exceptionMachine(AMD), intel: exceptionMachine(TEST_PROFILE) };

function machine(debugControl: bigint, vendor: keyof typeof machines = 'amd'): ExceptionMachine {
  const m = machines[vendor];
  const { cpu } = m;
  m.delivered.length = 0;
  cpu.activity = Activity.Active;
  cpu.pendingDebug = 0;
  cpu.setRflags(2);
  setDr7(cpu, 0);
  cpu.setGpr(4, BigInt(STACK));
  for (const at of AT) cpu.set64(at, 0n);
  cpu.set64(R.DEBUGCTL, debugControl);
  return m;
}

describe.each(['runs', 'steps'] as const)('recording, in %s', (how) => {
  it.each([
    ['JMP', 'eb01 90 90', [0, 3]],
    ['JMP to the next instruction', '90 eb00 90', [1, 3]],
    ['an indirect JMP', '488d0503000000 ffe0 90 90', [7, 10]],
    ['CALL', 'e801000000 90 90', [0, 6]],
    ['CALL and RET', 'e802000000 eb01 c3', [5, 8]],
    ['Jcc that is taken', '31c0 7401 90 90', [2, 5]],
    ['Jcc that is not taken', 'eb00 31c0 7501 90 90', [0, 2]],
    ['LOOP', 'b902000000 e2fe 90', [5, 5]],
    ['JRCXZ', '31c9 e301 90 90', [2, 5]],
    ['a repeated string instruction', 'eb00 31c9 b103 bf00002000 f3aa 90', [0, 2]],
    ['a far RET', '6a08 488d0504000000 50 48cb 90 90', [10, 13]],
    ['IRET', '4889e0 6a10 50 6a02 6a08 488d0504000000 50 48cf 90 90', [18, 21]],
  ])('%s', (_name, hex, expected) => {
    const m = machine(LBR);
    m.execute(hex, how);
    expect(records(m)).toEqual([...expected, NONE, NONE]);
  });

  it('begins behind the WRMSR that sets DebugCtl.LBR and ends behind the one that clears it', () => {
    const m = machine(0n);
    const program = `eb00 ${writeDebugCtl(1)} eb00 ${writeDebugCtl(0)} eb00 90`;
    m.execute(program, how);
    expect(records(m).slice(0, 2)).toEqual([2 + PROLOGUE, 4 + PROLOGUE]);
  });

  it('costs and does nothing without LBR', () => {
    const m = machine(0n);
    m.execute('eb01 90 90 cd80', how);
    expect(records(m)).toEqual([NONE, NONE, NONE, NONE]);
  });

  it('INT n: "the interrupted instruction" and the handler; what was recorded before goes to LastInt', () => {
    const m = machine(LBR);
    // jmp; int 80h; the handler's IRET comes last
    m.execute('eb01 90 cd80 90', how);
    expect(records(m)).toEqual([HANDLER, 5, 0, 3]);
  });
  it('a fault: the faulting instruction', () => {
    const m = machine(LBR);
    m.execute('eb01 90 0f0b', how);
    expect(records(m)).toEqual([3, HANDLER, 0, 3]);
  });
  it('an external interrupt: the instruction that has not been executed', () => {
    const m = machine(LBR);
    m.cpu.rip = BigInt(CODE + 5);
    deliverEvent(m.cpu, { vector: 0x40, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 });
    expect(records(m)).toEqual([5, HANDLER, NONE, NONE]);
  });
  it('#MC leaves LastInt alone', () => {
    const m = machine(LBR);
    AT.forEach((at, i) => m.cpu.set64(at, BigInt(CODE + 100 + i)));
    m.cpu.rip = BigInt(CODE + 5);
    deliverEvent(m.cpu, { vector: 18, type: EventType.HardwareException, errorCode: undefined, payload: 0n, length: 0 });
    expect(records(m)).toEqual([5, HANDLER, 102, 103]);
  });

  it.each([
    ['a single-step trap', (m: ExceptionMachine): unknown => m.execute('eb00 9c 48810c2400010000 9d 90', how)],
    ['a breakpoint', (m: ExceptionMachine): unknown => (m.cpu.set64(R.DR0, BigInt(CODE + 2)), setDr7(m.cpu, 1), m.execute('eb00 90 90', how))],
    ['ICEBP', (m: ExceptionMachine): unknown => m.execute('eb00 f1 90', how)],
  ])('#DB by %s: DebugCtl.LBR and BTF are cleared, and no record changes', (_name, execute) => {
    const m = machine(LBR);
    execute(m);
    expect(m.delivered.map(({ vector }) => vector)).toContain(1);
    expect(m.cpu.get64(R.DEBUGCTL)).toBe(0n);
    expect(records(m)).toEqual([0, 2, NONE, NONE]);
  });
});

describe('DebugCtl.BTF with rFLAGS.TF', () => {
  const TF = '9c 48810c2400010000 9d'; // pushfq; or qword [rsp],100h; popfq: 10 bytes
  it.each(['amd', 'intel'] as const)('%s: a trap behind a control transfer, behind nothing else; #DB clears BTF', (vendor) => {
    const m = machine(BTF, vendor);
    // nop; nop; jz, not taken; jmp: the first three do not trap.
    m.execute(`${TF} 90 90 7401 eb01 90 90`);
    expect(m.delivered.map(({ vector, rip }) => [vector, rip])[0]).toEqual([1, 17]);
    expect(m.delivered[0].dr6 & 0x4000).toBe(0x4000);
    expect(m.cpu.get64(R.DEBUGCTL)).toBe(0n);
  });
  it('without BTF every instruction traps', () => {
    const m = machine(0n);
    m.execute(`${TF} 90 90`);
    expect(m.delivered.map(({ rip }) => rip).slice(0, 2)).toEqual([11, 12]);
  });
});

describe('the MSRs', () => {
  const fault = (m: ExceptionMachine, index: number, value: bigint): number | undefined => {
    m.cpu.setGpr(1, BigInt(index));
    m.cpu.setGpr(0, value & 0xffff_ffffn);
    m.cpu.setGpr(2, value >> 32n);
    return m.execute('0f30')[0]?.vector;
  };
  it.each([0x1db, 0x1dc, 0x1dd, 0x1de])('%i: RDMSR reads all 64 bits; "These MSRs are read-only"', (index) => {
    const m = machine(0n);
    m.cpu.set64(AT[index - 0x1db], 0xffff_8000_1234_5678n);
    expect(readMsr(m.cpu, index)).toBe(0xffff_8000_1234_5678n);
    expect(fault(m, index, 0n)).toBe(13);
  });
  it('DebugCtl keeps LBR and BTF; another bit is refused', () => {
    expect(fault(machine(0n), 0x1d9, 4n)).toBe(13);
    expect(fault(machine(0n), 0x1d9, 1n << 32n)).toBe(13);
    const m = machine(0n);
    expect(fault(m, 0x1d9, 3n)).toBeUndefined();
    expect(readMsr(m.cpu, 0x1d9)).toBe(3n);
  });
  it('Intel processors have DebugCtl but other records', () => {
    const m = machine(LBR, 'intel');
    m.execute('eb01 90 90 cd80');
    expect(records(m)).toEqual([NONE, NONE, NONE, NONE]);
    for (const index of [0x1db, 0x1dc, 0x1dd, 0x1de]) expect(readMsr(m.cpu, index)).toBeUndefined();
  });
  it('are zero after RESET', () => {
    const { cpu } = longModeMachine(16, AMD);
    for (const at of [R.DEBUGCTL, ...AT]) cpu.set64(at, 1n);
    resetSystemRegisters(cpu);
    expect([R.DEBUGCTL, ...AT].map((at) => cpu.get64(at))).toEqual([0n, 0n, 0n, 0n, 0n]);
  });
});
