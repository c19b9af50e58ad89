/** Runs of bytes at linear addresses: probe the whole, then copy page by page. */
import type { Cpu } from '../cpu';
import { Access } from '../mmu';

const PAGE = 4096;

/** Linear address `by` bytes behind `linear`, wrapped as the mode wraps. */
export const linearAfter = (cpu: Cpu, linear: bigint, by: number): bigint => BigInt.asUintN(cpu.codeSize === 64 ? 64 : 32, linear + BigInt(by));

/** Copies `length` bytes (at most a page) at `linear` into `into`. The caller has probed them. */
export function readBlock(cpu: Cpu, linear: bigint, into: Uint8Array, at: number, length: number): void {
  for (let done = 0; done < length;) {
    const from = linearAfter(cpu, linear, done);
    const low = Number(from & 0xffff_ffffn) | 0;
    const chunk = Math.min(length - done, PAGE - (low & 0xfff));
    const host = cpu.mmu.hostOf(low, Number(from >> 32n) | 0, Access.Read, chunk);
    if (host !== 0) for (let i = 0; i < chunk; i++) into[at + done + i] = cpu.u8[host + i];
    else for (let i = 0; i < chunk; i++) into[at + done + i] = Number(cpu.readLinear(linearAfter(cpu, from, i), 1));
    done += chunk;
  }
}

/** Copies bytes to `linear`. The caller has probed them. */
export function writeBlock(cpu: Cpu, linear: bigint, bytes: Uint8Array, at: number, length: number): void {
  for (let done = 0; done < length;) {
    const to = linearAfter(cpu, linear, done);
    const low = Number(to & 0xffff_ffffn) | 0;
    const chunk = Math.min(length - done, PAGE - (low & 0xfff));
    const host = cpu.mmu.hostOf(low, Number(to >> 32n) | 0, Access.Write, chunk);
    if (host !== 0) {
      cpu.memory.aboutToWrite(cpu.memory.physical(host), host, chunk);
      for (let i = 0; i < chunk; i++) cpu.u8[host + i] = bytes[at + done + i];
    } else {
      // A device sees doublewords where they fit.
      for (let i = 0; i < chunk;) {
        const size = chunk - i >= 4 ? 4 : 1;
        let value = 0;
        for (let k = size - 1; k >= 0; k--) value = value * 256 + bytes[at + done + i + k];
        cpu.writeLinear(linearAfter(cpu, to, i), size, BigInt(value));
        i += size;
      }
    }
    done += chunk;
  }
}
