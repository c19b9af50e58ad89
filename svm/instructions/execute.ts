/**
 * SVM instructions as code executes them: the faults, the intercepts in guest mode, the operands. What they do then is in the files beside
 * this one. APM volume 3, "System Instruction Reference".
 */
import { Efer } from '../../cpu/cpu';
import type { Insn } from '../../cpu/decoder/insn';
import { VirtualizationEnable } from '../controls';
import { ExitCode } from '../exit/code';
import { SvmFeature } from '../features';
import { hasHostSaveArea } from '../host-save-area';
import { transition, type Event, type Transition } from '../operation';
import type { Svm } from '../svm';
import { VMCB } from '../vmcb/layout';
import { NestedAccess } from '../../cpu/interfaces';
import { setGif } from './gif';
import { vmload, vmsave } from './vmload';
import { vmrun } from './vmrun';

const RAX = 0,
  RCX = 1;
const PAGE = 4096;

interface SvmInstruction {
  readonly event: Event;
  /** VMMCALL is for every mode and privilege level. */
  readonly anyCpl?: true;
  readonly execute: (svm: Svm, insn: Insn) => void;
}

const nothing = (): void => {};

const INSTRUCTIONS: Readonly<Record<string, SvmInstruction>> = {
  VMRUN: { event: 'VMRUN', execute: executeVmrun },
  VMLOAD: { event: 'VMLOAD', execute: (svm, insn) => moveState(svm, insn, ExitCode.VMLOAD, NestedAccess.Read, vmload) },
  VMSAVE: { event: 'VMSAVE', execute: (svm, insn) => moveState(svm, insn, ExitCode.VMSAVE, NestedAccess.Write, vmsave) },
  STGI: { event: 'STGI', execute: (svm) => setGif(svm, true) },
  CLGI: { event: 'CLGI', execute: (svm) => setGif(svm, false) },
  INVLPGA: { event: 'INVLPGA', execute: ({ cpu }, insn) => invlpga(cpu, cpu.gprSized(RAX, insn.addressSize), cpu.gpr32(RCX)) },
  VMMCALL: { event: 'VMMCALL', anyCpl: true, execute: nothing },
  SKINIT: { event: 'SKINIT', execute: nothing },
};

export function executeSvmInstruction(svm: Svm, insn: Insn): void {
  const { cpu } = svm;
  const instruction = INSTRUCTIONS[insn.op];
  // The others are VT-x's.
  if (instruction === undefined) return cpu.ud();
  const next = transition(svm.state, instruction.event);
  // A guest may have cleared EFER.SVME.
  if ((cpu.efer & Efer.SVME) === 0) return cpu.ud();
  if (instruction.anyCpl === undefined) {
    if (!cpu.protectedMode || cpu.v86) return cpu.ud();
    cpu.requireCpl0();
  }
  if (next.kind === 'undefined-opcode') return cpu.ud();
  if (next.kind === 'intercept') {
    if (intercepted(svm, next)) return exit(svm, insn, next.code);
    if (next.otherwise === 'undefined-opcode') return cpu.ud();
  }
  instruction.execute(svm, insn);
}

const intercepted = (svm: Svm, next: Extract<Transition, { kind: 'intercept' }>): boolean =>
  ((next.word === 3 ? svm.intercepts3 : svm.intercepts4) & next.bit) !== 0;

/** #VMEXIT instead of the instruction. "INVLPG and INVLPGA": EXITINFO1 is the linear address. */
function exit(svm: Svm, insn: Insn, code: number): void {
  const { cpu } = svm;
  cpu.materialize();
  const address = code === ExitCode.INVLPGA && svm.has(SvmFeature.DECODE_ASSISTS) ? cpu.gprSized(RAX, insn.addressSize) : 0n;
  svm.exitOnInstruction(code, Number(address & 0xffff_ffffn), Number(address >> 32n));
  cpu.exited = true;
}

/**
 * rAX by address size as the physical address of a VMCB; #GP(0) when it is not aligned to a page or beyond the maximum.
 * DEVIATION: #GP(0) too where there is no RAM: hardware would read all ones from the bus.
 */
function vmcbOperand(svm: Svm, insn: Insn): number {
  const { cpu } = svm;
  const address = Number(cpu.gprSized(RAX, insn.addressSize));
  if (!svm.isVmcbAddress(address)) cpu.gp();
  return address;
}

function executeVmrun(svm: Svm, insn: Insn): void {
  const { cpu } = svm;
  const address = vmcbOperand(svm, insn);
  // Without a host save area (VM_HSAVE_PA = 0 after RESET) there would be no way back: #GP, as KVM has it for its guests.
  if (!hasHostSaveArea(svm)) return cpu.gp();
  vmrun(svm, address);
}

/**
 * "VMSAVE and VMLOAD Virtualization": the operand of a guest in long mode is guest-physical; a guest outside long mode always exits.
 * DEVIATION: compatibility mode counts as long mode here. Whether processors ask for 64-bit mode proper (CS.L) has not been confirmed.
 */
function moveState(svm: Svm, insn: Insn, code: number, access: number, move: (svm: Svm, address: number) => void): void {
  const { cpu } = svm;
  const virtual = svm.guestMode && svm.nestedPaging && (svm.vmcb.low(VMCB.VIRTUALIZATION_ENABLE) & VirtualizationEnable.VMSAVE_VMLOAD) !== 0;
  if (!virtual || !svm.has(SvmFeature.VMSAVE_VIRT)) return move(svm, vmcbOperand(svm, insn));
  if (!cpu.longMode) return exit(svm, insn, code);
  const guestPhysical = Number(cpu.gprSized(RAX, insn.addressSize));
  if (guestPhysical % PAGE !== 0 || guestPhysical >= 2 ** cpu.profile.physicalAddressWidth) return cpu.gp();
  cpu.materialize();
  const address = svm.npt.translate(guestPhysical, access, 0n);
  if (address < 0) {
    cpu.exited = true;
    return;
  }
  cpu.dematerialize();
  if (!cpu.memory.isRam(address)) return cpu.gp();
  move(svm, address);
}

/** Drops the translation of one address in one ASID. The TLB drops it in all, which the architecture permits. */
export function invlpga({ mmu }: Svm['cpu'], linear: bigint, _asid: number): void {
  if (mmu.canonicalForProcessor(linear)) mmu.invalidatePage(linear);
}
