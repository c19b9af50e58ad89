import { nextInstruction, type Outcome } from '../exit';
import type { ExitHandler } from '../routes';

const RAX = 0;

/** IN and OUT go to the VM's own ports; INS and OUTS are emulated, for they touch memory, and so is what an I/O breakpoint may see. */
export const handleIo: ExitHandler<'io'> = (vcpu, exit): Outcome => {
  vcpu.detail = exit.port;
  if (exit.string || vcpu.processor.breakpointsEnabled()) return vcpu.emulate();
  const old = vcpu.processor.gpr32(RAX);
  if (!exit.input) {
    vcpu.ports.write(exit.port, exit.size, exit.size === 1 ? old & 0xff : exit.size === 2 ? old & 0xffff : old);
    return nextInstruction;
  }
  const value = vcpu.ports.read(exit.port, exit.size);
  if (exit.size === 4) vcpu.processor.setGpr32(RAX, value);
  else {
    // 8- and 16-bit results leave the rest of RAX as it was.
    const mask = exit.size === 1 ? 0xffn : 0xffffn;
    vcpu.processor.setGpr(RAX, (vcpu.processor.gpr(RAX) & ~mask) | BigInt(value));
  }
  return nextInstruction;
};
