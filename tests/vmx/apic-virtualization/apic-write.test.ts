/** SDM "APIC-Write Emulation" and "APIC-Write VM Exits". */
import { Secondary } from '../../../vmx/controls';
import { guest, insn, type Bench } from '../bench';
import { APIC_ACCESS, ICR_HIGH, ICR_LOW, VEOI, VIRR, VTPR, vectors, virtual, virtualApic, type Fields } from './bench';

const { VIRTUALIZE_APIC_ACCESSES, APIC_REGISTER_VIRTUALIZATION, VIRTUAL_INTERRUPT_DELIVERY } = Secondary;
const REGISTERS = VIRTUALIZE_APIC_ACCESSES | APIC_REGISTER_VIRTUALIZATION;
const DELIVERING = REGISTERS | VIRTUAL_INTERRUPT_DELIVERY;

/** A store of the guest and the boundary behind it: what exit there was, as reason and qualification. */
function store(secondary: number, offset: number, value: number, fields: Fields = {}, bytes = 4): [Bench, bigint[]] {
  const b = guest(virtualApic(secondary, fields));
  b.cpu.insn = insn({});
  b.cpu.writeLinear(BigInt(APIC_ACCESS + offset), bytes, BigInt(value));
  b.vmx.boundary(false, false);
  return [b, b.vmx.guestMode ? [] : [b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION')]];
}

it('080H: bytes 3:1 of VTPR are cleared, then TPR virtualization', () => {
  const [b, exit] = store(VIRTUALIZE_APIC_ACCESSES, 0x80, 0x1234_5678);
  expect([virtual(b, VTPR), exit]).toEqual([0x78, []]);
});

it('080H below the TPR threshold: TPR below threshold, without VIRTUAL_INTERRUPT_DELIVERY only', () => {
  const write = (secondary: number): bigint[] => {
    const b = guest(virtualApic(secondary));
    b.cpu.insn = insn({});
    b.vmx.writeCr8(9);
    b.vmx.exitOnInstruction(10);
    b.write({ TPR_THRESHOLD: 5 });
    expect(b.vmx.resume().kind).toBe('entered');
    expect(b.vmx.boundary(false, false)).toBe(false);
    b.cpu.writeLinear(BigInt(APIC_ACCESS + 0x80), 4, 0x4fn);
    b.vmx.boundary(false, false);
    return b.vmx.guestMode ? [] : [b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION')];
  };
  expect(write(VIRTUALIZE_APIC_ACCESSES)).toEqual([43n, 0n]);
  expect(write(DELIVERING)).toEqual([]);
});

it('0B0H: EOI virtualization with VIRTUAL_INTERRUPT_DELIVERY, otherwise an APIC-write VM exit', () => {
  const [b, exit] = store(DELIVERING, 0xb0, 0xffff);
  expect([virtual(b, VEOI), exit]).toEqual([0, []]);
  const [register, exited] = store(REGISTERS, 0xb0, 0xffff);
  expect([virtual(register, VEOI), exited]).toEqual([0xffff, [56n, 0xb0n]]);
});

describe('300H', () => {
  const SELF = 0x4_0000;
  it('fixed, edge-triggered, to self: self-IPI virtualization', () => {
    const [b, exit] = store(DELIVERING, 0x300, SELF | 0x10);
    expect([vectors(b, VIRR), b.read('GUEST_INTERRUPT_STATUS'), exit]).toEqual([[0x10], 0x10n, []]);
    // Bits 14 (level) and 11 (destination mode) are not looked at.
    expect(store(DELIVERING, 0x300, SELF | 0x48ff)[1]).toEqual([]);
  });
  it.each([
    ['no shorthand', 0x31],
    ['to all', 0x8_0031],
    ['to all but self', 0xc_0031],
    ['reserved bit 31', SELF | 0x8000_0031],
    ['reserved bit 20', SELF | 0x10_0031],
    ['reserved bit 17', SELF | 0x2_0031],
    ['reserved bit 16', SELF | 0x1_0031],
    ['level-triggered', SELF | 0x8031],
    ['reserved bit 13', SELF | 0x2031],
    ['delivery status', SELF | 0x1031],
    ['lowest priority', SELF | 0x131],
    ['NMI', SELF | 0x431],
    ['an illegal vector', SELF | 0x0f],
  ])('%s: an APIC-write VM exit', (_what, value) => {
    const [b, exit] = store(DELIVERING, 0x300, value >>> 0);
    expect([exit, virtual(b, ICR_LOW), vectors(b, VIRR)]).toEqual([[56n, 0x300n], value >>> 0, []]);
  });
  it('without VIRTUAL_INTERRUPT_DELIVERY: an APIC-write VM exit', () => expect(store(REGISTERS, 0x300, SELF | 0x31)[1]).toEqual([56n, 0x300n]));
});

it('310H: bytes 2:0 of VICR_HI are cleared, and nothing else happens', () => {
  const [b, exit] = store(REGISTERS, 0x310, 0x1234_5678);
  expect([virtual(b, ICR_HIGH), exit]).toEqual([0x1200_0000, []]);
});

it('any other offset: an APIC-write VM exit with the page offset as qualification; data are written first', () => {
  for (const offset of [0x20, 0xd0, 0xe0, 0xf0, 0x280, 0x320, 0x370, 0x380, 0x3e0]) {
    const [b, exit] = store(REGISTERS, offset, 0x1ff);
    expect([exit, virtual(b, offset)]).toEqual([[56n, BigInt(offset)], 0x1ff]);
  }
  // The offset is that of the write.
  expect(store(REGISTERS, 0xf1, 1, {}, 1)[1]).toEqual([56n, 0xf1n]);
});

it('is neither blocked by RFLAGS.IF nor by MOV SS, and comes before a pending MTF VM exit', () => {
  const b = guest(virtualApic(REGISTERS, { GUEST_INTERRUPTIBILITY_STATE: 2 }));
  b.vmx.mtfPending = true;
  b.cpu.writeLinear(BigInt(APIC_ACCESS + 0xf0), 4, 1n);
  expect(b.vmx.boundary(true, true)).toBe(true);
  expect(b.read('EXIT_REASON')).toBe(56n);
});

it('does not occur when the operation makes a VM exit after the write', () => {
  const b = guest(virtualApic(REGISTERS));
  b.cpu.insn = insn({});
  b.cpu.writeLinear(BigInt(APIC_ACCESS + 0x80), 4, 0x1234_5678n);
  expect(() => b.cpu.writeLinear(BigInt(APIC_ACCESS + 0xb0), 4, 0n)).toThrow();
  expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), virtual(b, VTPR)]).toEqual([44n, 0x10b0n, 0x1234_5678]);
  expect(b.vmx.resume().kind).toBe('entered');
  expect(b.vmx.boundary(false, false)).toBe(false);
});
