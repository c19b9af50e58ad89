import { retry } from '../exit';
import type { ExitHandler } from '../routes';

/**
 * Guest memory gets its host frames on first touch; everything else is a device, and the instruction that met it is emulated, or the
 * delivery of the event that did (a stack or a table in a device).
 */
export const handleNestedPageFault: ExitHandler<'nested-page-fault'> = (vcpu, exit) => {
  vcpu.detail = exit.gpa - (exit.gpa % 4096);
  if (vcpu.memory.back(exit.gpa)) {
    vcpu.processor.reinjectInterrupted();
    return retry;
  }
  const event = vcpu.processor.interrupted();
  // INT n and its kind happen again with their instruction.
  if (event === undefined) return vcpu.accessDevice(exit);
  return event.length !== 0 ? vcpu.emulate() : vcpu.deliver(event);
};
