/** SDM "Virtualizing MSR-Based APIC Accesses". */
import { readMsr, writeMsr } from '../../../cpu/system/msr';
import { Secondary } from '../../../vmx/controls';
import { VIRTUAL_APIC, guest, insn, type Bench } from '../bench';
import { Interrupts, SELF_IPI, VIRR, VISR, VTPR, setVectors, vectors, virtual, virtualApic } from './bench';

const { VIRTUALIZE_X2APIC_MODE, APIC_REGISTER_VIRTUALIZATION, VIRTUAL_INTERRUPT_DELIVERY } = Secondary;

/** The physical APIC: it answers every MSR. */
class Physical extends Interrupts {
  readonly written: [number, bigint][] = [];
  override readMsr(): undefined {
    return 0x7777n as unknown as undefined;
  }
  override writeMsr(...[index, value]: readonly [number?, bigint?]): boolean {
    this.written.push([index!, value!]);
    return true;
  }
}
function start(secondary: number): Bench & { physical: Physical } {
  const b = guest(virtualApic(secondary));
  const physical = new Physical();
  b.cpu.interrupts = physical;
  b.cpu.insn = insn({});
  for (let register = 0; register < 256; register++) {
    b.cpu.memory.write32(VIRTUAL_APIC + register * 16, 0x1000 + register);
    b.cpu.memory.write32(VIRTUAL_APIC + register * 16 + 4, 0x2000 + register);
  }
  return { ...b, physical };
}
const answer = (register: number): bigint => (BigInt(0x2000 + register) << 32n) | BigInt(0x1000 + register);
const gp = (b: Bench, index: number, value: bigint): boolean => {
  try {
    writeMsr(b.cpu, index, value);
    return false;
  } catch {
    return b.cpu.fault?.vector === 13;
  }
};

describe('RDMSR', () => {
  it('without VIRTUALIZE_X2APIC_MODE: the physical APIC', () => expect(readMsr(start(APIC_REGISTER_VIRTUALIZATION).cpu, 0x808)).toBe(0x7777n));
  it('without APIC_REGISTER_VIRTUALIZATION: the TPR is 8 bytes of the virtual-APIC page, the others operate normally', () => {
    const { cpu } = start(VIRTUALIZE_X2APIC_MODE);
    expect([readMsr(cpu, 0x808), readMsr(cpu, 0x80a), readMsr(cpu, 0x802)]).toEqual([answer(8), 0x7777n, 0x7777n]);
  });
  it('with it: every MSR from 800H to 8FFH, whether the register exists or not', () => {
    const { cpu } = start(VIRTUALIZE_X2APIC_MODE | APIC_REGISTER_VIRTUALIZATION);
    for (const register of [0, 2, 8, 0xa, 0x3f, 0xff]) expect(readMsr(cpu, 0x800 + register)).toBe(answer(register));
    expect(readMsr(cpu, 0x1b)).toBe(0x7777n);
  });
});

describe('WRMSR', () => {
  it('808H: VTPR, then TPR virtualization', () => {
    const b = start(VIRTUALIZE_X2APIC_MODE);
    writeMsr(b.cpu, 0x808, 0x5fn);
    expect([virtual(b, VTPR), virtual(b, VTPR + 4), b.physical.written]).toEqual([0x5f, 0, []]);
    b.vmx.exitOnInstruction(10);
    b.write({ TPR_THRESHOLD: 5 });
    expect(b.vmx.resume().kind).toBe('entered');
    b.vmx.boundary(false, false);
    writeMsr(b.cpu, 0x808, 0x4fn);
    expect([b.vmx.boundary(false, false), b.read('EXIT_REASON')]).toEqual([true, 43n]);
  });
  it('808H: #GP(0) if a bit of 63:8 is set, and nothing is written', () => {
    const b = start(VIRTUALIZE_X2APIC_MODE);
    expect([gp(b, 0x808, 0x100n), gp(b, 0x808, 1n << 63n), gp(b, 0x808, 0xffn)]).toEqual([true, true, false]);
  });
  it('80BH: EOI virtualization with VIRTUAL_INTERRUPT_DELIVERY; only 0 may be written', () => {
    const b = start(VIRTUALIZE_X2APIC_MODE | VIRTUAL_INTERRUPT_DELIVERY);
    for (let word = 0; word < 8; word++) b.cpu.memory.write32(VIRTUAL_APIC + VISR + word * 16, 0);
    setVectors(b, VISR, 0x41, 0x52);
    b.vmx.apic.setStatus(0, 0x52);
    expect(gp(b, 0x80b, 1n)).toBe(true);
    writeMsr(b.cpu, 0x80b, 0n);
    expect([vectors(b, VISR), b.read('GUEST_INTERRUPT_STATUS'), b.physical.written]).toEqual([[0x41], 0x4100n, []]);
  });
  it('83FH: self-IPI virtualization; a vector below 16 is an APIC-write VM exit with qualification 3F0H', () => {
    const b = start(VIRTUALIZE_X2APIC_MODE | VIRTUAL_INTERRUPT_DELIVERY);
    for (let word = 0; word < 8; word++) b.cpu.memory.write32(VIRTUAL_APIC + VIRR + word * 16, 0);
    writeMsr(b.cpu, 0x83f, 0x10n);
    expect([vectors(b, VIRR), virtual(b, SELF_IPI), b.read('GUEST_INTERRUPT_STATUS')]).toEqual([[0x10], 0x10, 0x10n]);
    expect(gp(b, 0x83f, 0x110n)).toBe(true);
    writeMsr(b.cpu, 0x83f, 0xfn);
    b.vmx.boundary(false, false);
    expect([b.read('EXIT_REASON'), b.read('EXIT_QUALIFICATION'), vectors(b, VIRR)]).toEqual([56n, 0x3f0n, [0x10]]);
  });
  it('everything else operates normally', () => {
    const without = start(VIRTUALIZE_X2APIC_MODE | APIC_REGISTER_VIRTUALIZATION);
    const written = [0x80b, 0x83f, 0x80f, 0x830].map((index) => [index, 0n] as [number, bigint]);
    for (const [index, value] of written) writeMsr(without.cpu, index, value);
    expect(without.physical.written).toEqual(written);
    const b = start(VIRTUALIZE_X2APIC_MODE | APIC_REGISTER_VIRTUALIZATION | VIRTUAL_INTERRUPT_DELIVERY);
    writeMsr(b.cpu, 0x830, 0x31n);
    expect(b.physical.written).toEqual([[0x830, 0x31n]]);
  });
});
