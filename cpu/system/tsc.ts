/** The time-stamp counter: virtual time plus offsets. SDM volume 3, "Time-Stamp Counter". */
import type { Cpu } from '../cpu';
import { R } from '../layout';

const TWO32 = 0x1_0000_0000;
const RAX = 0,
  RDX = 2;
const TSC_DEADLINE = 0x6e0;
/** Fraction bits of the TSC ratio MSR. */
const RATIO_FRACTION = 32n;

/** TSC as the running context sees it. */
export function readTsc(cpu: Cpu): bigint {
  const host = BigInt(cpu.now()) + cpu.get64(R.TSC_OFFSET);
  const ratio = cpu.guestTscRatio;
  return BigInt.asUintN(64, (ratio === undefined ? host : (BigInt.asUintN(64, host) * ratio) >> RATIO_FRACTION) + cpu.get64(R.GUEST_TSC_OFFSET));
}

/** EDX:EAX := TSC, without BigInt: kernels read it half a million times in a boot. */
export function loadTsc(cpu: Cpu): void {
  if (cpu.guestTscRatio !== undefined) {
    const tsc = readTsc(cpu);
    cpu.setGpr32(RAX, Number(tsc & 0xffff_ffffn));
    cpu.setGpr32(RDX, Number(tsc >> 32n));
    return;
  }
  const now = cpu.now();
  const high = Math.floor(now / TWO32);
  const low = now - high * TWO32 + cpu.get32(R.TSC_OFFSET) + cpu.get32(R.GUEST_TSC_OFFSET);
  const carry = Math.floor(low / TWO32);
  cpu.setGpr32(RAX, low - carry * TWO32);
  cpu.setGpr32(RDX, (high + cpu.get32(R.TSC_OFFSET + 4) + cpu.get32(R.GUEST_TSC_OFFSET + 4) + carry) % TWO32);
}

/** Moves the TSC by `delta`; IA32_TSC_ADJUST follows: SDM "IA32_TSC_ADJUST Register Support". */
export function adjustTsc(cpu: Cpu, delta: bigint): void {
  cpu.set64(R.TSC_OFFSET, cpu.get64(R.TSC_OFFSET) + delta);
  cpu.set64(R.TSC_ADJUST, cpu.get64(R.TSC_ADJUST) + delta);
  // An armed TSC deadline is now nearer or farther.
  const deadline = cpu.interrupts?.readMsr(TSC_DEADLINE);
  if (deadline !== undefined && deadline !== 0n) cpu.interrupts!.writeMsr(TSC_DEADLINE, deadline);
  cpu.attention = true;
}

/** WRMSR to IA32_TIME_STAMP_COUNTER sets the physical counter, whatever a hypervisor adds to it. */
export function writeTsc(cpu: Cpu, value: bigint): void {
  adjustTsc(cpu, value - BigInt(cpu.now()) - cpu.get64(R.TSC_OFFSET));
}
