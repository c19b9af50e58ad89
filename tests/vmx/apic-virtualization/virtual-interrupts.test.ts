/** SDM "TPR Virtualization", "PPR Virtualization", "EOI Virtualization", "Self-IPI Virtualization", "Evaluation and Delivery of Virtual Interrupts". */
import { Activity } from '../../../cpu/cpu';
import { deliverEvent } from '../../../cpu/exceptions';
import type { CpuEvent } from '../../../cpu/interfaces';
import { virtualizeEoi } from '../../../vmx/apic-virtualization/end-of-interrupt';
import { virtualizeSelfIpi } from '../../../vmx/apic-virtualization/self-ipi';
import { Primary, Secondary } from '../../../vmx/controls';
import { PIN, PRIMARY, guest, insn, rootWithVmcs, type Bench } from '../bench';
import { Interrupts, VIRR, VISR, VPPR, VTPR, setVectors, setVirtual, vectors, virtual, virtualApic, type Fields } from './bench';

jest.mock('../../../cpu/exceptions', () => ({ deliverEvent: jest.fn() }));
const delivered = (): CpuEvent[] => (deliverEvent as unknown as jest.Mock).mock.calls.map((c) => c[1] as CpuEvent);
beforeEach(() => (deliverEvent as unknown as jest.Mock).mockClear());

const IF = 0x202;
const { VIRTUAL_INTERRUPT_DELIVERY, VIRTUALIZE_APIC_ACCESSES } = Secondary;
const status = (rvi: number, svi: number): number => rvi | (svi << 8);

interface Given {
  readonly rvi?: number;
  readonly svi?: number;
  readonly tpr?: number;
  readonly requested?: readonly number[];
  readonly inService?: readonly number[];
  readonly fields?: Fields;
}
/** A guest whose entry is complete but for what the first boundary does next. */
function entered({ rvi = 0, svi = 0, tpr = 0, requested = [], inService = [], fields = {} }: Given): Bench {
  const b = rootWithVmcs();
  b.write(virtualApic(VIRTUAL_INTERRUPT_DELIVERY, { GUEST_INTERRUPT_STATUS: status(rvi, svi), ...fields }));
  setVirtual(b, VTPR, tpr);
  setVectors(b, VIRR, ...requested);
  setVectors(b, VISR, ...inService);
  expect(b.vmx.launch()).toEqual({ kind: 'entered' });
  return b;
}
/** The same behind its first boundary, at which it must do nothing: IF is 0. */
const blocked = (given: Given): Bench => {
  const b = entered(given);
  expect(b.vmx.boundary(false, false)).toBe(false);
  return b;
};

describe('PPR virtualization at VM entry', () => {
  it.each([
    // "IF VTPR[7:4] >= SVI[7:4] THEN VPPR := VTPR & FFH ELSE VPPR := SVI & F0H"
    [0x35, 0x00, 0x35],
    [0x35, 0x34, 0x35],
    [0x30, 0x3f, 0x30],
    [0x35, 0x41, 0x40],
    [0x00, 0x0f, 0x00],
    [0xff, 0xfe, 0xff],
  ])('VTPR %s, SVI %s: VPPR %s, bytes 3:1 cleared', (tpr, svi, ppr) => {
    const b = rootWithVmcs();
    b.write(virtualApic(VIRTUAL_INTERRUPT_DELIVERY, { GUEST_INTERRUPT_STATUS: status(0, svi) }));
    setVirtual(b, VTPR, 0xabcd_ef00 + tpr);
    setVirtual(b, VPPR, 0xffff_ffff);
    b.vmx.launch();
    b.vmx.boundary(false, false);
    expect(virtual(b, VPPR)).toBe(ppr);
  });
  it('not without VIRTUAL_INTERRUPT_DELIVERY', () => {
    const b = rootWithVmcs();
    b.write(virtualApic(0));
    setVirtual(b, VPPR, 0xffff_ffff);
    b.vmx.launch();
    b.vmx.boundary(false, false);
    expect(virtual(b, VPPR)).toBe(0xffff_ffff);
  });
});

describe('evaluation of pending virtual interrupts', () => {
  it('VM entry: recognized if RVI[7:4] is above VPPR[7:4]', () => {
    const recognized = (given: Given): boolean => blocked(given).vmx.apic.recognized;
    expect(recognized({ rvi: 0x41, tpr: 0x3f })).toBe(true);
    expect(recognized({ rvi: 0x4f, tpr: 0x40 })).toBe(false);
    expect(recognized({ rvi: 0x41, svi: 0x40 })).toBe(false);
    expect(recognized({ rvi: 0x0f })).toBe(false);
    expect(recognized({ rvi: 0xff, tpr: 0xef })).toBe(true);
  });
  it('not with "interrupt-window exiting": the window exits', () => {
    const window = { PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TPR_SHADOW | Primary.INTERRUPT_WINDOW_EXITING) >>> 0 };
    expect(blocked({ rvi: 0x41, requested: [0x41], fields: window }).vmx.apic.recognized).toBe(false);
    const b = entered({ rvi: 0x41, requested: [0x41], fields: { ...window, GUEST_RFLAGS: IF } });
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect([b.read('EXIT_REASON'), delivered().length]).toEqual([7n, 0]);
  });
  it('TPR virtualization: a lower priority lets it through, a higher one takes the recognition back', () => {
    const b = blocked({ rvi: 0x41, tpr: 0x50 });
    expect(b.vmx.apic.recognized).toBe(false);
    b.vmx.writeCr8(3);
    expect([b.vmx.apic.recognized, virtual(b, VPPR), virtual(b, VTPR)]).toEqual([true, 0x30, 0x30]);
    b.vmx.writeCr8(4);
    expect(b.vmx.apic.recognized).toBe(false);
  });
  it('the TPR threshold does not count with VIRTUAL_INTERRUPT_DELIVERY', () => {
    const b = blocked({ tpr: 0x50, fields: { TPR_THRESHOLD: 15 } });
    b.vmx.writeCr8(0);
    expect(b.vmx.boundary(false, false)).toBe(false);
  });
  it('nothing else does: not a change of RVI', () => {
    const b = blocked({});
    b.vmx.apic.setStatus(0x41, 0);
    expect([b.vmx.apic.recognized, b.vmx.attention]).toEqual([false, false]);
  });
});

describe('virtual-interrupt delivery', () => {
  it('takes the highest request into service, and ceases recognition', () => {
    const b = entered({ rvi: 0x81, requested: [0x81, 0x52, 0x31], inService: [0x41], svi: 0x41, fields: { GUEST_RFLAGS: IF } });
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect(delivered()).toEqual([{ vector: 0x81, type: 0, errorCode: undefined, payload: 0n, length: 0 }]);
    expect([vectors(b, VISR), vectors(b, VIRR), virtual(b, VPPR)]).toEqual([[0x41, 0x81], [0x31, 0x52], 0x80]);
    expect([b.read('GUEST_INTERRUPT_STATUS'), b.vmx.apic.recognized, b.vmx.guestMode]).toEqual([0x8152n, false, true]);
    expect(b.vmx.boundary(false, false)).toBe(false);
  });
  it('the last request leaves RVI 0', () => {
    const b = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF } });
    b.vmx.boundary(false, false);
    expect(b.read('GUEST_INTERRUPT_STATUS')).toBe(0x3100n);
  });
  it('waits for IF, and for the end of blocking by STI and by MOV SS', () => {
    const b = blocked({ rvi: 0x31, requested: [0x31] });
    expect(b.vmx.attention).toBe(false);
    b.cpu.setRflags(IF);
    expect([b.vmx.attention, b.vmx.boundary(false, false)]).toEqual([true, true]);
    for (const blocking of [1, 2]) {
      const shadow = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF, GUEST_INTERRUPTIBILITY_STATE: blocking } });
      expect(shadow.vmx.boundary(false, false)).toBe(false);
      shadow.cpu.retiredBase++;
      expect(shadow.vmx.boundary(false, false)).toBe(true);
    }
  });
  it('wakes a processor that halted, not one in shutdown', () => {
    const halted = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF, GUEST_ACTIVITY_STATE: 1 } });
    expect([halted.vmx.boundary(false, false), halted.cpu.activity]).toEqual([true, Activity.Active]);
    const off = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF } });
    off.cpu.activity = Activity.Shutdown;
    expect(off.vmx.boundary(false, false)).toBe(false);
  });
  it('follows the event that VM entry injects', () => {
    const b = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF, ENTRY_INTERRUPTION_INFORMATION: 0x8000_0055 } });
    b.vmx.boundary(false, false);
    b.vmx.boundary(false, false);
    expect(delivered().map((e) => e.vector)).toEqual([0x55, 0x31]);
  });
  it('comes before external interrupts and after NMIs', () => {
    const given = { rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF } };
    const b = entered(given);
    b.cpu.interrupts = new Interrupts();
    expect(b.vmx.boundary(true, false)).toBe(true);
    expect([delivered().length, b.vmx.guestMode]).toEqual([1, true]);
    const nmi = entered({ ...given, fields: { ...given.fields, PIN_BASED_CONTROLS: PIN | 9 } });
    expect(nmi.vmx.boundary(false, true)).toBe(true);
    expect([nmi.read('EXIT_REASON'), delivered().length]).toEqual([0n, 1]);
  });
  it('ends a step of the monitor trap flag', () => {
    const primary = { PRIMARY_PROCESSOR_BASED_CONTROLS: (PRIMARY | Primary.USE_TPR_SHADOW | Primary.MONITOR_TRAP_FLAG) >>> 0 };
    const b = entered({ rvi: 0x31, requested: [0x31], fields: { GUEST_RFLAGS: IF, ...primary } });
    b.vmx.boundary(false, false);
    b.vmx.boundary(false, false);
    expect([delivered().length, b.read('EXIT_REASON')]).toEqual([1, 37n]);
  });
});

describe('EOI virtualization', () => {
  it('ends the vector in service; the next one in VISR becomes SVI; VPPR follows', () => {
    const b = blocked({ svi: 0x81, inService: [0x81, 0x41], tpr: 0x20 });
    virtualizeEoi(b.vmx);
    expect([vectors(b, VISR), b.read('GUEST_INTERRUPT_STATUS'), virtual(b, VPPR)]).toEqual([[0x41], 0x4100n, 0x40]);
    virtualizeEoi(b.vmx);
    expect([vectors(b, VISR), b.read('GUEST_INTERRUPT_STATUS'), virtual(b, VPPR)]).toEqual([[], 0n, 0x20]);
  });
  it('evaluates what waits', () => {
    const b = blocked({ rvi: 0x51, requested: [0x51], svi: 0x81, inService: [0x81] });
    expect(b.vmx.apic.recognized).toBe(false);
    virtualizeEoi(b.vmx);
    expect(b.vmx.apic.recognized).toBe(true);
  });
  it.each([0x00, 0x1f, 0x20, 0x3f, 0x40, 0x81, 0xc0, 0xff])('EOI-exit bitmap, vector %s: virtualized EOI (VM exit 45) with the vector, trap-like', (vector) => {
    const bitmap = { [`EOI_EXIT_BITMAP_${vector >> 6}`]: 1n << BigInt(vector & 63) };
    const b = blocked({ svi: vector, inService: [vector], rvi: 0x31, requested: [0x31], fields: bitmap });
    virtualizeEoi(b.vmx);
    expect(b.vmx.attention).toBe(true);
    expect(b.vmx.boundary(false, false)).toBe(true);
    expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([45n, BigInt(vector), 0x31n]);
    const other = blocked({ svi: vector ^ 1, inService: [vector ^ 1], fields: bitmap });
    virtualizeEoi(other.vmx);
    expect(other.vmx.boundary(false, false)).toBe(false);
  });
});

describe('self-IPI virtualization', () => {
  it('requests the vector; RVI is the higher of both', () => {
    const b = blocked({ rvi: 0x51, requested: [0x51], tpr: 0xf0 });
    virtualizeSelfIpi(b.vmx, 0x41);
    expect([vectors(b, VIRR), b.read('GUEST_INTERRUPT_STATUS'), b.vmx.apic.recognized]).toEqual([[0x41, 0x51], 0x51n, false]);
    virtualizeSelfIpi(b.vmx, 0xff);
    expect([vectors(b, VIRR), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([[0x41, 0x51, 0xff], 0xffn]);
  });
  it('evaluates', () => {
    const b = blocked({});
    virtualizeSelfIpi(b.vmx, 0x41);
    expect(b.vmx.apic.recognized).toBe(true);
  });
});

/** SDM "VM Exits Induced by the TPR Threshold". */
describe('VM entry with VTPR below the TPR threshold', () => {
  const enter = (secondary: number, tpr: number, fields: Fields = {}): Bench => {
    const b = rootWithVmcs();
    b.write(virtualApic(secondary, { TPR_THRESHOLD: 5, ...fields }));
    setVirtual(b, VTPR, tpr);
    expect(b.vmx.launch()).toEqual({ kind: 'entered' });
    b.vmx.boundary(false, false);
    return b;
  };
  it('exits at once with VIRTUALIZE_APIC_ACCESSES, whatever is blocked', () => {
    const b = enter(VIRTUALIZE_APIC_ACCESSES, 0x4f, { GUEST_INTERRUPTIBILITY_STATE: 2 });
    expect([b.vmx.guestMode, b.read('EXIT_REASON')]).toEqual([false, 43n]);
    expect(enter(VIRTUALIZE_APIC_ACCESSES, 0x50).vmx.guestMode).toBe(true);
    expect(enter(VIRTUALIZE_APIC_ACCESSES | VIRTUAL_INTERRUPT_DELIVERY, 0x4f).vmx.guestMode).toBe(true);
  });
  it('follows the injection of an event', () => {
    const b = enter(VIRTUALIZE_APIC_ACCESSES, 0x4f, { GUEST_RFLAGS: IF, ENTRY_INTERRUPTION_INFORMATION: 0x8000_0055 });
    expect([delivered().map((e) => e.vector), b.vmx.guestMode]).toEqual([[0x55], true]);
    b.vmx.boundary(false, false);
    expect(b.read('EXIT_REASON')).toBe(43n);
  });
});

it('a VM exit ends recognition; the next entry evaluates again', () => {
  const b = blocked({ rvi: 0x31, requested: [0x31] });
  b.cpu.insn = insn({});
  b.vmx.exitOnInstruction(10);
  expect(b.vmx.apic.recognized).toBe(false);
  b.vmx.resume();
  b.vmx.boundary(false, false);
  expect(b.vmx.apic.recognized).toBe(true);
});

it('a snapshot keeps recognition and a trap that is to come', () => {
  const b = guest(virtualApic(VIRTUAL_INTERRUPT_DELIVERY, { EOI_EXIT_BITMAP_0: 1n << 0x31n }));
  virtualizeSelfIpi(b.vmx, 0x41);
  b.vmx.apic.setStatus(0x41, 0x31);
  virtualizeEoi(b.vmx);
  const state = b.vmx.saveState();
  b.vmx.leaveNonRoot();
  b.vmx.restoreState(state);
  expect(b.vmx.apic.recognized).toBe(true);
  b.vmx.boundary(false, false);
  expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION')]).toEqual([45n, 0x31n]);
});
