/** The default policy of a VM: CPUID and MSRs are those of a processor of the VM's own profile, kept by the emulator's model. */
import { UNWIND, type Cpu } from '../cpu/cpu';
import { R } from '../cpu/layout';
import { readMsr, writeMsr } from '../cpu/system/msr';
import { CPUID } from '../cpu/system/cpuid';
import type { Insn } from '../cpu/decoder/insn';
import type { VirtualProcessor } from './port';
import type { ProcessorPolicy } from './vcpu';

const RAX = 0,
  RCX = 1,
  RDX = 2,
  RBX = 3;
/** IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST: writing them moves the guest's time stamp counter. */
export const MOVES_TSC: ReadonlySet<number> = new Set([0x10, 0x3b]);

/** IA32_DEBUGCTL and the branch records: while the guest runs they are the processor's. */
const DEBUGCTL = 0x1d9;
const isBranchState = (index: number): boolean => index === DEBUGCTL || (index >= 0x1db && index <= 0x1de);

export class ModelPolicy implements ProcessorPolicy {
  constructor(
    private readonly model: Cpu,
    private readonly physical: Cpu,
    private readonly processor: () => VirtualProcessor,
  ) {}

  cpuid(leaf: number, subleaf: number): readonly [number, number, number, number] {
    const { model } = this;
    // The answer depends on CR4.OSXSAVE and XCR0.
    model.set32(R.CR4, this.processor().cr4());
    model.set64(R.XCR0, this.physical.get64(R.XCR0));
    model.set32(R.CPL, 0);
    model.setGpr32(RAX, leaf);
    model.setGpr32(RCX, subleaf);
    CPUID.CPUID.execute(model, undefined as unknown as Insn);
    return [model.gpr32(RAX), model.gpr32(RBX), model.gpr32(RCX), model.gpr32(RDX)];
  }

  readMsr(index: number): bigint | undefined {
    if (isBranchState(index)) this.processor().branchStateTo(this.model);
    return readMsr(this.model, index);
  }

  writeMsr(index: number, value: bigint): boolean {
    if (index === DEBUGCTL) this.processor().branchStateTo(this.model);
    try {
      writeMsr(this.model, index, value);
    } catch (e) {
      if (e !== UNWIND) throw e;
      return false;
    }
    if (index === DEBUGCTL) this.processor().branchStateFrom(this.model);
    if (MOVES_TSC.has(index)) this.processor().setTscOffset(this.model.get64(R.TSC_OFFSET));
    return true;
  }
}
