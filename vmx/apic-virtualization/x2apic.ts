/** SDM "Virtualizing MSR-Based APIC Accesses". What is not treated here operates normally: on the physical APIC, if that is in x2APIC mode. */
import { Secondary } from '../controls';
import { ExitReason } from '../exit/reason';
import type { Vmx } from '../vmx';
import { virtualizeEoi } from './end-of-interrupt';
import { virtualizeTpr } from './priority';
import { Offset } from './registers';
import { virtualizeSelfIpi } from './self-ipi';

/** MSRs 800H-8FFH: register number = page offset / 16. */
const isX2apic = (index: number): boolean => index >>> 8 === 8;
const offsetOf = (index: number): number => (index & 0xff) << 4;

/** Vectors below are illegal. */
const FIRST_VECTOR = 16;

const virtualizes = (vmx: Vmx, index: number): boolean => isX2apic(index) && (vmx.secondary & Secondary.VIRTUALIZE_X2APIC_MODE) !== 0;

/** undefined: RDMSR operates normally. */
export function readX2apic(vmx: Vmx, index: number): bigint | undefined {
  if (!virtualizes(vmx, index)) return undefined;
  const offset = offsetOf(index);
  return (vmx.secondary & Secondary.APIC_REGISTER_VIRTUALIZATION) !== 0 || offset === Offset.TPR ? vmx.apic.read64(offset) : undefined;
}

/** False: WRMSR operates normally. */
export function writeX2apic(vmx: Vmx, index: number, value: bigint): boolean {
  if (!virtualizes(vmx, index)) return false;
  const offset = offsetOf(index);
  if (offset !== Offset.TPR && (vmx.secondary & Secondary.VIRTUAL_INTERRUPT_DELIVERY) === 0) return false;
  switch (offset) {
    case Offset.TPR:
      store(vmx, offset, value, 0xffn);
      virtualizeTpr(vmx);
      return true;
    case Offset.EOI:
      store(vmx, offset, value, 0n);
      virtualizeEoi(vmx);
      return true;
    case Offset.SELF_IPI:
      store(vmx, offset, value, 0xffn);
      if (value < FIRST_VECTOR) {
        vmx.apic.exitLater(ExitReason.ApicWrite, offset);
        vmx.cpu.attention = true;
      } else virtualizeSelfIpi(vmx, Number(value));
      return true;
  }
  return false;
}

/** To 8 bytes of the virtual-APIC page; #GP(0) for bits that the register does not have. */
function store({ apic, cpu }: Vmx, offset: number, value: bigint, writable: bigint): void {
  if ((value & ~writable) !== 0n) cpu.gp();
  apic.write64(offset, value);
}
