import { createHash, type Hash } from 'node:crypto';
import type { CpuState } from '../cpu/cpu-state';
import { R } from '../cpu/layout';
import type { Guest } from '../hypervisor/guest';
import { RAM_BASE } from '../memory/physical-memory';

/** Words of a vCPU block that no instruction reads before it has written them: addresses of decoded records, operands on their way. */
const SCRATCH: readonly (readonly [offset: number, bytes: number])[] = [
  [R.BUDGET, 4],
  [R.EXIT_RECORD, 4],
  [R.TEMP0, 16],
  [R.BOUNCE_READ, 0x100],
];

/** Of the running context: its ids are given out as contexts come up. */
const CACHE_KEYS: readonly (readonly [offset: number, bytes: number])[] = [
  [R.PAGE_BASE, 8],
  [R.CONTEXT, 8],
  [R.JUMP_KEY, 8],
];

function registers({ block, attention: _, ...cpu }: CpuState, without: typeof SCRATCH): unknown {
  const words = block.slice();
  for (const [offset, bytes] of without) words.fill(0, offset, offset + bytes);
  return { ...cpu, block: Buffer.from(words).toString('base64') };
}

const ZEROES = Buffer.alloc(4096);

/** Most pages were never written: comparing them is cheaper than hashing them. */
function hashPages(hash: Hash, memory: Uint8Array): void {
  for (let at = 0; at < memory.length; at += ZEROES.length) {
    const page = memory.subarray(at, at + ZEROES.length);
    if (ZEROES.compare(page) !== 0) hash.update(`${at}`).update(page);
  }
}

/** SHA-256 of memory, a whole number of pages. */
export function memoryDigest(memory: Uint8Array): string {
  const hash = createHash('sha256');
  hashPages(hash, memory);
  return hash.digest('hex');
}

function hashOf(guest: Guest, state: unknown): string {
  const hash = createHash('sha256');
  hashPages(hash, guest.machine.memory.u8.subarray(RAM_BASE));
  hash.update(JSON.stringify(state, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)));
  return hash.digest('hex');
}

/** SHA-256 of what a guest is: RAM, registers, devices, hypervisor, counts of instructions and exits. Equal for runs that were interrupted at different times. */
export function guestDigest(guest: Guest): string {
  const { machine, vm, ...rest } = guest.saveState();
  const extension = machine.extension as { ept?: unknown } | undefined;
  const without = [...SCRATCH, ...CACHE_KEYS];
  return hashOf(guest, {
    rest,
    cpu: registers(machine.engine.cpu, without),
    scheduler: machine.scheduler,
    extension: extension && { ...extension, ept: undefined },
    vm: vm && { ...vm, model: registers(vm.model.cpu, without) },
  });
}

/** ... and of what it has cached of memory: TLB, guest-physical mappings, the ids of contexts. */
export function exactDigest(guest: Guest): string {
  const { machine, vm, ...rest } = guest.saveState();
  const { mmu, cpu } = machine.engine;
  return hashOf(guest, {
    rest,
    cpu: registers(cpu, SCRATCH),
    mmu,
    scheduler: machine.scheduler,
    extension: machine.extension,
    vm: vm && { ...vm, model: vm.model.mmu },
  });
}
