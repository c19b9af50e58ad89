import { Cr0, Vector } from '../../cpu/cpu';
import type { ExitHandler } from '../routes';

/**
 * An exception is the guest's own, but for one: under VT-x CR0.NE is 1 whatever the guest wants. With NE = 0 it gets no #MF, and the
 * processor model executes the instruction as the guest's processor would.
 */
export const handleException: ExitHandler<'exception'> = (vcpu, exit) => {
  vcpu.detail = exit.vector;
  if (exit.vector === Vector.MF && (Number(vcpu.processor.readControl(0)) & Cr0.NE) === 0) return vcpu.emulate();
  return { kind: 'inject', vector: exit.vector, errorCode: exit.errorCode };
};
