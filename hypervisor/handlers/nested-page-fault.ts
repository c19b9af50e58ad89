import { retry } from '../exit';
import type { ExitHandler } from '../routes';

/** Guest memory gets its host frames on first touch; everything else is a device, and the instruction is emulated. */
export const handleNestedPageFault: ExitHandler<'nested-page-fault'> = (vcpu, exit) => {
  vcpu.detail = exit.gpa - (exit.gpa % 4096);
  if (vcpu.memory.back(exit.gpa)) {
    vcpu.processor.reinjectInterrupted();
    return retry;
  }
  return vcpu.emulate();
};
