import { nextInstruction } from '../exit';
import type { ExitHandler } from '../routes';

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3;

/** CPUID always exits from VMX non-root operation, and from SVM guest mode when intercepted. */
export const handleCpuid: ExitHandler<'cpuid'> = (vcpu) => {
  const leaf = vcpu.processor.gpr32(RAX);
  const subleaf = vcpu.processor.gpr32(RCX);
  const [eax, ebx, ecx, edx] = vcpu.cpuid(leaf, subleaf);
  vcpu.detail = leaf;
  vcpu.processor.setGpr32(RAX, eax);
  vcpu.processor.setGpr32(RBX, ebx);
  vcpu.processor.setGpr32(RCX, ecx);
  vcpu.processor.setGpr32(RDX, edx);
  return nextInstruction;
};
