import { generalProtection, nextInstruction } from '../exit';
import type { ExitHandler } from '../routes';

const RAX = 0,
  RCX = 1,
  RDX = 2;
/** EFER decides how the guest's paging and segments work: where it exits, the processor model reads and writes it. */
const EFER = 0xc000_0080;

export const handleRdmsr: ExitHandler<'rdmsr'> = (vcpu) => {
  const index = vcpu.processor.gpr32(RCX);
  vcpu.detail = index;
  if (index === EFER) return vcpu.emulate();
  const value = vcpu.readMsr(index);
  if (value === undefined) return generalProtection;
  vcpu.processor.setGpr32(RAX, Number(value & 0xffff_ffffn));
  vcpu.processor.setGpr32(RDX, Number((value >> 32n) & 0xffff_ffffn));
  return nextInstruction;
};

export const handleWrmsr: ExitHandler<'wrmsr'> = (vcpu) => {
  const index = vcpu.processor.gpr32(RCX);
  vcpu.detail = index;
  if (index === EFER) return vcpu.emulate();
  const value = (BigInt(vcpu.processor.gpr32(RDX)) << 32n) | BigInt(vcpu.processor.gpr32(RAX));
  return vcpu.writeMsr(index, value) ? nextInstruction : generalProtection;
};
