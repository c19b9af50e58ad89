/** The instructions of VMX and SVM: the extension behind cpu.interception executes them; a processor without one does not have them. */
import type { Cpu } from '../cpu';
import type { Insn } from '../decoder/insn';
import type { SystemInstruction, SystemInstructions } from './table';

const MNEMONICS = [
  ...['VMXON', 'VMXOFF', 'VMCLEAR', 'VMPTRLD', 'VMPTRST', 'VMREAD', 'VMWRITE', 'VMLAUNCH', 'VMRESUME', 'VMCALL', 'VMFUNC', 'INVEPT', 'INVVPID'],
  ...['VMRUN', 'VMLOAD', 'VMSAVE', 'STGI', 'CLGI', 'INVLPGA', 'VMMCALL', 'SKINIT'],
] as const;

const forward: SystemInstruction = {
  execute: (cpu: Cpu, insn: Insn): void => {
    if (cpu.interception === undefined) return cpu.ud();
    cpu.interception.execute(insn);
  },
  endsBlock: true,
};

export const EXTENSION_INSTRUCTIONS: SystemInstructions = Object.fromEntries(MNEMONICS.map((m) => [m, forward]));
