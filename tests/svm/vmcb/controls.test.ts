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

describe('bits by number, as Appendix B lists them', () => {
  it('010h: write traps of CR0 to CR15 are bits 16 to 31', () => {
    const { CR0_WRITE_TRAP, CR3_WRITE_TRAP, CR4_WRITE_TRAP, CR8_WRITE_TRAP } = controls.Intercept4;
    expect([CR0_WRITE_TRAP, CR3_WRITE_TRAP, CR4_WRITE_TRAP, CR8_WRITE_TRAP].map(bitOf)).toEqual([16, 19, 20, 24]);
  });
  it('05Ch: 0 nothing, 1 everything, 3 this guest, 7 this guest without global translations', () =>
    expect(controls.TlbControl).toEqual({ DO_NOTHING: 0, FLUSH_ALL: 1, FLUSH_GUEST: 3, FLUSH_GUEST_NON_GLOBAL: 7 }));
  it('068h: 0 interrupt shadow, 1 guest interrupt mask', () => expect(controls.InterruptShadow).toEqual({ INTERRUPT_SHADOW: 1, GUEST_INTERRUPT_MASK: 2 }));
  it('090h: nested paging and its neighbours', () =>
    expect(oneBit(controls.NestedControl)).toEqual([
      ['NP_ENABLE', 0],
      ['SEV_ENABLE', 1],
      ['SEV_ES_ENABLE', 2],
      ['GMET_ENABLE', 3],
      ['SSS_CHECK_ENABLE', 4],
      ['VTE_ENABLE', 5],
      ['ROGPT_ENABLE', 6],
      ['INVLPGB_ENABLE', 7],
    ]));
  it('0B8h: LBR, VMSAVE and VMLOAD, IBS, PMC', () => expect(controls.VirtualizationEnable).toEqual({ LBR: 1, VMSAVE_VMLOAD: 2, IBS: 4, PMC: 8 }));
  it('EXITINFO1: IOIO, MSR and MOV CR', () => {
    expect(oneBit(controls.IoioInfo).map(([, bit]) => bit)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect([controls.IOIO_SEGMENT_SHIFT, controls.IOIO_PORT_SHIFT, controls.V_INTR_PRIO_SHIFT]).toEqual([10, 16, 16]);
    expect(controls.MsrInfo).toEqual({ RDMSR: 0, WRMSR: 1 });
    expect(controls.MovCrInfo).toEqual({ GPR: 0xf, MOV_HIGH: 0x8000_0000 });
  });
  it('CPUID Fn8000_000A_EDX', () =>
    expect(oneBit(SvmFeature)).toEqual([
      ...['NP', 'LBR_VIRT', 'SVML', 'NRIPS', 'TSC_RATE_MSR', 'VMCB_CLEAN', 'FLUSH_BY_ASID', 'DECODE_ASSISTS', 'PMC_VIRT'].map((name, bit) => [name, bit]),
      ['PAUSE_FILTER', 10],
      ['PAUSE_FILTER_THRESHOLD', 12],
      ['AVIC', 13],
      ...['VMSAVE_VIRT', 'VGIF', 'GMET', 'X2AVIC', 'SSS_CHECK', 'SPEC_CTRL', 'ROGPT'].map((name, i) => [name, 15 + i]),
      ['HOST_MCE_OVERRIDE', 23],
      ...['TLBI_CTL', 'VNMI', 'IBS_VIRT', 'EXT_LVT_AVIC_ACCESS_CHG', 'NESTED_VIRT_VMCB_ADDR_CHK', 'BUS_LOCK_THRESHOLD', 'IDLE_HLT_INTERCEPT'].map((name, i) => [
        name,
        24 + i,
      ]),
    ]));
});
