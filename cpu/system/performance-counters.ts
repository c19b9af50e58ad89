/**
 * The four performance counters that every AMD64 processor has, CPUID or not. APM volume 2, "Performance Monitoring Counters".
 * A counter that counts holds its value less the ticks so far, so that counting costs nothing.
 *
 * DEVIATION: two events count, cycles not halted and retired instructions, and both are ticks of virtual time: they go on while the
 * processor is halted, and USR and OS select alike. Every other event stays at 0. A counter that overflows raises no interrupt.
 */
import type { Cpu } from '../cpu';
import { R } from '../layout';

export const COUNTERS = 4;
const WIDTH = 48;
const EVENT_CYCLES_NOT_HALTED = 0x76n;
const EVENT_RETIRED_INSTRUCTIONS = 0xc0n;
/** PerfEvtSel: event 35:32 and 7:0, unit mask 15:8, USR 16, OS 17, E 18, INT 20, EN 22, INV 23, counter mask 31:24, guest/host 41:40. */
const EVENT = (0xfn << 32n) | 0xffn;
const USER_OR_SYSTEM = 3n << 16n;
const ENABLE = 1n << 22n;
const INVERT_OR_THRESHOLD = 0x1ffn << 23n;
const SELECT_BITS = 0x030f_ffdf_ffffn & ~(1n << 19n);

const select = (n: number): number => R.PERF_SELECT + 8 * n;
const counter = (n: number): number => R.PERF_COUNTER + 8 * n;

function counts(cpu: Cpu, n: number): boolean {
  const s = cpu.get64(select(n));
  if ((s & ENABLE) === 0n || (s & USER_OR_SYSTEM) === 0n || (s & INVERT_OR_THRESHOLD) !== 0n) return false;
  const event = s & EVENT;
  return event === EVENT_CYCLES_NOT_HALTED || event === EVENT_RETIRED_INSTRUCTIONS;
}

export function readCounter(cpu: Cpu, n: number): bigint {
  return BigInt.asUintN(WIDTH, cpu.get64(counter(n)) + (counts(cpu, n) ? BigInt(cpu.now()) : 0n));
}

export function writeCounter(cpu: Cpu, n: number, value: bigint): void {
  cpu.set64(counter(n), BigInt.asUintN(WIDTH, value - (counts(cpu, n) ? BigInt(cpu.now()) : 0n)));
}

export const readSelect = (cpu: Cpu, n: number): bigint => cpu.get64(select(n));

/** What was counted so far stays. Reserved bits are ignored. */
export function writeSelect(cpu: Cpu, n: number, value: bigint): void {
  const count = readCounter(cpu, n);
  cpu.set64(select(n), value & SELECT_BITS);
  writeCounter(cpu, n, count);
}
