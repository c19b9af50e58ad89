import type { ExitHandler } from '../routes';

/** MOV to CR0 and CR4 exits when it would change a bit that the hypervisor owns; CR8 always: the VM's TPR is in its own APIC. */
export const handleControlRegister: ExitHandler<'cr-access'> = (vcpu, exit) => {
  vcpu.detail = exit.register;
  return vcpu.emulate();
};
