/** Memory of a guest in its three spaces, without any effect on it. */
import type { Guest } from '../hypervisor/guest';
import { PAGE_SIZE } from '../memory/physical-memory';
import { VMCB } from '../svm/vmcb/layout';
import { PageWalks, hostAddress, type NestedWalker, type Walk } from './paging';
import type { ProcessorView } from './processor-view';
import { DebugError, type MemorySpace } from './target';

const LARGEST = 1 << 24;
const TOP = 1n << 64n;
const PHYSICAL_TOP = 2 ** 52;
const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** A run of bytes inside one page. */
interface Piece {
  /** Physical address in the host; undefined: RAM of a VM that has no host frame yet, and is zero. */
  readonly host: number | undefined;
  readonly length: number;
}

export class MemoryView {
  readonly walks: PageWalks;

  constructor(
    private readonly guest: Guest,
    private readonly processor: ProcessorView,
  ) {
    const { memory } = guest.machine;
    this.walks = new PageWalks(
      (physical) => (memory.isRam(physical) ? memory.read64(physical) : undefined),
      () => this.nested(),
    );
  }

  /** The second dimension that applies to the guest's addresses now. */
  private nested(): NestedWalker | undefined {
    const { vm, machine } = this.guest;
    if (vm !== undefined) return { kind: machine.vmx !== undefined ? 'EPT' : 'NPT', root: vm.processor.nestedRoot };
    // A hypervisor inside a bare machine.
    if (!machine.cpu.guestMode || machine.cpu.nested?.active !== true) return undefined;
    if (machine.vmx !== undefined) return { kind: 'EPT', root: machine.vmx.ept.table, levels: machine.vmx.ept.levels };
    const { npt, vmcb } = machine.svm!;
    const nCr3 = vmcb.number(VMCB.N_CR3);
    return { kind: 'NPT', root: nCr3 - (nCr3 % PAGE_SIZE), levels: npt.levels === 5 ? 5 : 4 };
  }

  walk(linear: bigint): Walk {
    return this.walks.linear(this.processor.cpu(), linear);
  }

  /** Throws DebugError for what is not mapped, or no RAM. */
  read(space: MemorySpace, address: bigint, length: number): Uint8Array {
    const { memory } = this.guest.machine;
    const out = new Uint8Array(checked(length));
    let done = 0;
    for (const { host, length: n } of this.pieces(space, address, length)) {
      if (host !== undefined) out.set(memory.readBytes(host, n), done);
      done += n;
    }
    return out;
  }

  /** All or nothing. */
  write(space: MemorySpace, address: bigint, bytes: Uint8Array): void {
    const { memory } = this.guest.machine;
    const pieces = [...this.pieces(space, address, checked(bytes.length))];
    let at = address;
    for (const { host, length } of pieces) {
      if (host === undefined)
        throw new DebugError(`${space} ${hex(at)} has never been touched, so it has no host frame to write to: let the guest touch it first`);
      at += BigInt(length);
    }
    let done = 0;
    for (const { host, length } of pieces) {
      memory.writeBytes(host!, bytes.subarray(done, done + length));
      done += length;
    }
  }

  /** Physical addresses in the host of a range, page by page. */
  *pieces(space: MemorySpace, address: bigint, length: number): Generator<Piece> {
    for (let done = 0; done < length;) {
      const at = space === 'virtual' ? BigInt.asUintN(64, address + BigInt(done)) : address + BigInt(done);
      const n = Math.min(length - done, PAGE_SIZE - Number(at & 0xfffn));
      yield { host: this.host(space, at), length: n };
      done += n;
    }
  }

  private host(space: MemorySpace, address: bigint): number | undefined {
    if (address < 0n || address >= TOP) throw new DebugError(`${hex(address)} is no 64-bit address`);
    if (space === 'virtual') {
      const walk = this.walk(address);
      // The guest maps it; the VM may not have given it a frame yet.
      if (walk.result === undefined) throw new DebugError(`virtual ${hex(address)} is not mapped: ${walk.problem}`);
      try {
        return this.host('guest-physical', BigInt(walk.result));
      } catch (error) {
        if (!(error instanceof DebugError)) throw error;
        throw new DebugError(`virtual ${hex(address)}: ${error.message}`, { cause: error });
      }
    }
    if (address >= BigInt(PHYSICAL_TOP)) throw new DebugError(`${hex(address)} is no physical address: they have 52 bits at most`);
    const physical = Number(address);
    const { vm, machine } = this.guest;
    if (space === 'guest-physical') {
      if (vm !== undefined) {
        if (!vm.memory.isRam(physical)) throw new DebugError(`guest-physical ${hex(physical)} is not RAM: devices are not read, because reading has effects`);
        return vm.memory.hostOf(physical);
      }
      const host = hostAddress(this.walks.physical(physical));
      if (host === undefined) throw new DebugError(`guest-physical ${hex(physical)} is not mapped`);
      return this.host('host-physical', BigInt(host));
    }
    if (!machine.memory.isRam(physical)) {
      throw new DebugError(`${vm === undefined ? 'physical' : 'host-physical'} ${hex(physical)} is not RAM: devices are not read, because reading has effects`);
    }
    return physical;
  }
}

function checked(length: number): number {
  if (Number.isInteger(length) && length >= 0 && length <= LARGEST) return length;
  throw new DebugError(`${length} bytes: give 0 to ${LARGEST}`);
}
