/** DIV and IDIV of RDX:RAX by 64 bits, for which WebAssembly has no operation. SDM "DIV", "IDIV". */
import type { Cpu } from './cpu';

const RAX = 0,
  RDX = 2;

/** 0, or 1 for #DE: then nothing has changed. */
export function divideWide(cpu: Cpu, divisor: bigint, signed: boolean): number {
  const d = signed ? BigInt.asIntN(64, divisor) : BigInt.asUintN(64, divisor);
  if (d === 0n) return 1;
  const both = (cpu.gpr(RDX) << 64n) | cpu.gpr(RAX);
  const n = signed ? BigInt.asIntN(128, both) : both;
  const q = n / d;
  if (signed ? BigInt.asIntN(64, q) !== q : BigInt.asUintN(64, q) !== q) return 1;
  cpu.setGpr(RAX, BigInt.asUintN(64, q));
  cpu.setGpr(RDX, BigInt.asUintN(64, n % d));
  return 0;
}
