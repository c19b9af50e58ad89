/** The bits of the control area: every intercept's bit is its exit code's distance from the first code of its word; formats as the manual's figures show them. */
import * as controls from '../../../svm/controls';
import { SvmFeature } from '../../../svm/features';
import { ExitCode, type ExitCodeName } from '../../../svm/exit/code';

const bitOf = (mask: number): number => Math.log2(mask >>> 0);
const oneBit = (table: Readonly<Record<string, number>>): [string, number][] => Object.entries(table).map(([name, mask]) => [name, bitOf(mask)]);

describe('intercept words', () => {
  it.each(oneBit(controls.Intercept3))('00Ch: %s is bit %i, exit code 60h + bit', (name, bit) => expect(ExitCode[name as ExitCodeName]).toBe(0x60 + bit));
  it.each(oneBit(controls.Intercept5))('014h: %s is bit %i, exit code A0h + bit', (name, bit) => expect(ExitCode[name as ExitCodeName]).toBe(0xa0 + bit));
  it.each(oneBit(controls.Intercept4))('010h: %s is bit %i, exit code 80h + bit', (name, bit) => {
    const trap = /^CR(\d+)_WRITE_TRAP$/.exec(name);
    expect(trap ? 0x90 + Number(trap[1]) : ExitCode[name as ExitCodeName]).toBe(0x80 + bit);
  });
  it('00Ch has all 32 bits, 010h bits 0 to 15 without a gap, 014h bits 0 to 6', () => {
    expect(oneBit(controls.Intercept3).map(([, bit]) => bit)).toEqual(Array.from({ length: 32 }, (_, i) => i));
    expect(
      oneBit(controls.Intercept4)
        .map(([, bit]) => bit)
        .slice(0, 16),
    ).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(oneBit(controls.Intercept5).map(([, bit]) => bit)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe('formats', () => {
  it('V_INTR: 7:0 V_TPR, 8 V_IRQ, 9 VGIF, 11 V_NMI, 12 V_NMI_MASK, 19:16 V_INTR_PRIO, 20 V_IGN_TPR, 24 V_INTR_MASKING, 25 and 26 enables, 30, 31 AVIC', () => {
    const { V_TPR, V_INTR_PRIO, ...bits } = controls.VIntr;
    expect([V_TPR, V_INTR_PRIO]).toEqual([0x0000_00ff, 0x000f_0000]);
    expect(oneBit(bits).map(([, bit]) => bit)).toEqual([8, 9, 11, 12, 20, 24, 25, 26, 30, 31]);
  });
  it('EVENTINJ: an injected #GP with error code is 80000B0Dh, as hypervisors write it', () => {
    const { VALID, ERROR_CODE } = controls.EventInfo;
    expect((VALID | ERROR_CODE | (controls.EventType.EXCEPTION << controls.EVENT_TYPE_SHIFT) | 13) >>> 0).toBe(0x8000_0b0d);
    expect(controls.EventType).toEqual({ INTR: 0, NMI: 2, EXCEPTION: 3, SOFTWARE_INTERRUPT: 4 });
  });
  it('EVENTINJ: every bit belongs to exactly one part', () => {
    const parts = Object.values(controls.EventInfo);
    expect(parts.reduce((all, p) => all + (p >>> 0), 0)).toBe(0xffff_ffff);
  });
  it('IOIO: OUT DX, AL to port 3F8h in 64-bit mode is 03F8_0210h, REP INSW with 32-bit addresses from 1F0h is 01F0_012Dh', () => {
    const { IN, STRING, REP, SIZE_8, SIZE_16, ADDRESS_32, ADDRESS_64 } = controls.IoioInfo;
    expect((0x3f8 << controls.IOIO_PORT_SHIFT) | SIZE_8 | ADDRESS_64).toBe(0x03f8_0210);
    expect((0x1f0 << controls.IOIO_PORT_SHIFT) | IN | STRING | REP | SIZE_16 | ADDRESS_32 | (0 << controls.IOIO_SEGMENT_SHIFT)).toBe(0x01f0_012d);
  });
  it('nested page fault: bits 32, 33 and 37 are bits 0, 1 and 5 of the upper half', () => {
    expect(controls.NpfInfoHigh).toEqual({ FINAL: 1, PAGE_TABLE: 2, SUPERVISOR_SHADOW_STACK: 0x20 });
    expect(controls.NpfInfo).toEqual({ P: 1, RW: 2, US: 4, RSV: 8, ID: 0x10, SS: 0x40 });
  });
  it('task switch: EXITINFO2 bits 36 (IRET), 38 (far jump), 44 (error code), 48 (RF)', () =>
    expect(oneBit(controls.TaskSwitchInfoHigh).map(([name, bit]) => [name, bit + 32])).toEqual([
      ['IRET', 36],
      ['FAR_JUMP', 38],
      ['ERROR_CODE', 44],
      ['RF', 48],
    ]));
  it('CPUID Fn8000_000A_EDX: the bits that Linux prints as npt, nrip_save, flushbyasid, decodeassists, vgif and vnmi', () => {
    const { NP, NRIPS, FLUSH_BY_ASID, DECODE_ASSISTS, VGIF, VNMI } = SvmFeature;
    expect([NP, NRIPS, FLUSH_BY_ASID, DECODE_ASSISTS, VGIF, VNMI].map(bitOf)).toEqual([0, 3, 6, 7, 16, 25]);
  });
});
