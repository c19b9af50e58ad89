/** EXITINFO and EXITINTINFO as numbers: APM "IOIO Intercepts", "Task Switch Intercept", "Event Injection", "Decode Assists". */
import type { Insn } from '../../cpu/decoder/insn';
import { EventType, Sensitive, type CpuEvent } from '../../cpu/interfaces';
import { informationOf } from '../../svm/exit/exception';
import { ioioInfo, taskSwitchInfoHigh } from '../../svm/exit/info';
import { svmBench } from './bench';

describe('EXITINFO1 of an IOIO intercept', () => {
  const insn = (addressSize: number, rep = 0, segment = 3): Insn => ({ addressSize, rep, segment }) as Partial<Insn> as Insn;
  // 31:16 port; 12:10 segment; 9 A64, 8 A32, 7 A16; 6 SZ32, 5 SZ16, 4 SZ8; 3 REP; 2 STR; 0 TYPE, 1 for IN.
  it.each([
    [1, true, false, 0x11],
    [2, true, false, 0x21],
    [4, true, false, 0x41],
    [1, false, false, 0x10],
    [1, true, true, 0x215],
    [1, false, true, 0xe14],
  ])('%i bytes, input %s, string %s', (bytes, input, string, info) => {
    expect(ioioInfo(insn(64), 0xfedc, bytes, input, string)).toBe(0xfedc_0000 + info);
  });
  it('address sizes', () => expect([16, 32, 64].map((size) => ioioInfo(insn(size), 0, 1, false, true) & 0x380)).toEqual([0x80, 0x100, 0x200]));
  it('REP or REPNE', () => expect([0, 1, 2].map((rep) => ioioInfo(insn(64, rep), 0, 1, false, true) & 8)).toEqual([0, 8, 8]));
  it('neither address size, REP nor segment without STR', () => expect(ioioInfo(insn(64, 1), 0, 1, false, false)).toBe(0x10));
  it.each([
    ['ES', 0],
    ['CS', 1],
    ['SS', 2],
    ['DS', 3],
    ['FS', 4],
    ['GS', 5],
  ])('OUTS from %s', (_name, segment) => expect((ioioInfo(insn(64, 0, segment), 0, 1, false, true) >>> 10) & 7).toBe(segment));
  it('INS has ES whatever the prefix', () => expect((ioioInfo(insn(64, 0, 4), 0, 1, true, true) >>> 10) & 7).toBe(0));
});

describe('a task switch', () => {
  // EXITINFO2: bit 36 IRET, bit 38 far JMP, bit 44 "has error code", bit 48 EFLAGS.RF; here as bits of the upper half.
  it.each([
    ['CALL', 0, false, false, 0],
    ['IRET', 1, false, false, 1 << 4],
    ['far JMP', 2, false, false, 1 << 6],
    ['an event', 3, false, false, 0],
    ['an event with an error code', 3, true, false, 1 << 12],
    ['an event with RF', 3, false, true, 1 << 16],
  ])('%s', (_name, source, errorCode, rf, info) => expect(taskSwitchInfoHigh(source, errorCode, rf)).toBe(info));

  /** What a processor with hardware task switches would ask: operand the selector, value the source. */
  const ask = (patch: Record<string, number>, source: bigint, prepare: (b: ReturnType<typeof svmBench>) => void = () => {}) => {
    const b = svmBench();
    b.create([0x90], patch);
    let exited: boolean | undefined;
    b.svm.observer = {
      entry: () => {
        prepare(b);
        exited = b.svm.instruction(Sensitive.TASK_SWITCH, 0x28, source);
      },
    };
    b.cpu.setGpr(0, BigInt(b.vmcb));
    b.enter(1);
    b.svm.observer = {};
    return { exited, code: b.exitCode, info1: b.read('EXITINFO1'), info2: b.read('EXITINFO2') };
  };
  it('exits with the selector of the new TSS, and the error code to push in EXITINFO2', () => {
    expect(ask({ INTERCEPTS_3: 0xa000_0000 }, 2n)).toEqual({ exited: true, code: 0x7dn, info1: 0x28n, info2: 1n << 38n });
    const event: CpuEvent = { vector: 13, type: EventType.HardwareException, errorCode: 0x1234, payload: 0n, length: 0 };
    expect(ask({ INTERCEPTS_3: 0xa000_0000, RFLAGS: 0x1_0002 }, 3n, (b) => (b.cpu.delivering = event))).toEqual({
      exited: true,
      code: 0x7dn,
      info1: 0x28n,
      info2: (1n << 48n) | (1n << 44n) | 0x1234n,
    });
  });
  it('does not exit without its bit', () => expect(ask({}, 0n).exited).toBe(false));
});

describe('the format of EXITINTINFO', () => {
  const event = (type: EventType, vector: number, errorCode?: number): CpuEvent => ({ type, vector, errorCode, payload: 0n, length: 0 });
  // 7:0 vector, 10:8 type (0 INTR, 2 NMI, 3 exception, 4 software interrupt), 11 EV, 31 V.
  it.each([
    ['an external interrupt', event(EventType.ExternalInterrupt, 0x31), 0x8000_0031],
    ['an NMI', event(EventType.Nmi, 2), 0x8000_0202],
    ['an exception', event(EventType.HardwareException, 6), 0x8000_0306],
    ['an exception with an error code', event(EventType.HardwareException, 13, 0), 0x8000_0b0d],
    ['INTn', event(EventType.SoftwareInterrupt, 0x80), 0x8000_0480],
    ['INT3', event(EventType.SoftwareException, 3), 0x8000_0303],
    ['ICEBP', event(EventType.PrivilegedSoftwareException, 1), 0x8000_0301],
  ])('%s', (_name, of, information) => expect(informationOf(of)).toBe(information));
});
