/**
 * The command buffer: AMD IOMMU specification, "Command Buffer". Commands are executed when software moves the tail, one after the other:
 * each is complete before the next begins.
 */
import { readQwords, type TableMemory } from '../table-memory';
import { hex } from './refusal';
import type { RegisterFile } from './register-file';
import { COMMANDS, COMMAND_BYTES, CompletionWait, Pages, deviceOf, domainOf, opcodeOf, prefetchCount, type CommandName } from './spec/commands';
import { HardwareErrorType, type IommuEvent } from './spec/events';
import { PAGE_SHIFT, encodedPageShift } from './spec/page-table';
import { Control, Register, Status } from './spec/registers';
import type { TranslationCaches } from './translation-caches';

/** A command that could not be executed; the buffer stops. */
interface CommandError {
  readonly event: IommuEvent;
  readonly reason: string;
}

export interface CommandSurroundings {
  readonly memory: TableMemory;
  readonly registers: RegisterFile;
  readonly caches: TranslationCaches;
  /** Fills the caches for an address; returns the first address after its page, undefined where there is none. */
  readonly prefetch: (device: number, address: number) => number | undefined;
  readonly log: (event: IommuEvent, reason: string) => void;
}

/** Addresses of a range that a command names: one page, or with S a power of two that the address encodes. */
export function rangeOf(high: bigint): { readonly base: number; readonly size: number } {
  const address = high & Pages.ADDRESS;
  const size = (high & Pages.S) === 0n ? 2 ** PAGE_SHIFT : 2 ** encodedPageShift(address);
  return { base: Math.floor(Number(address) / size) * size, size };
}

export class CommandBuffer {
  constructor(private readonly surroundings: CommandSurroundings) {}

  get enabled(): boolean {
    const { registers } = this.surroundings;
    return registers.control(Control.IommuEn) && registers.control(Control.CmdBufEn);
  }

  /** IommuEn or CmdBufEn changed: "Start or restart command buffer processing". */
  control(enabledBefore: boolean): void {
    const { registers } = this.surroundings;
    if (!this.enabled) registers.lower(Status.CmdBufRun);
    else if (!enabledBefore) registers.raise(Status.CmdBufRun);
  }

  /** Executes what stands between head and tail. */
  run(): void {
    const { registers, log } = this.surroundings;
    const entries = registers.entries(Register.COMMAND_BUFFER_BASE);
    if (entries === undefined) return;
    const bytes = entries * COMMAND_BYTES;
    // Software cannot put more into the ring than it holds.
    for (let budget = entries; budget > 0 && registers.status(Status.CmdBufRun); budget--) {
      const head = Number(registers.get(Register.COMMAND_HEAD)) % bytes;
      if (head === Number(registers.get(Register.COMMAND_TAIL)) % bytes) return;
      const error = this.fetchAndExecute(registers.base(Register.COMMAND_BUFFER_BASE) + head, () =>
        registers.set(Register.COMMAND_HEAD, BigInt((head + COMMAND_BYTES) % bytes)),
      );
      if (error === undefined) continue;
      // "The IOMMU stops fetching commands": software restarts with CmdBufEn.
      registers.lower(Status.CmdBufRun);
      log(error.event, error.reason);
    }
  }

  /** @param fetched the head is "the next command to be fetched". */
  private fetchAndExecute(at: number, fetched: () => void): CommandError | undefined {
    const command = readQwords(this.surroundings.memory, at, 2);
    if (command === undefined) return hardwareError(at, `the command at ${hex(at)} cannot be read`);
    fetched();
    const [low, high] = command;
    const layout = COMMANDS[opcodeOf(low)];
    const illegal = (reason: string): CommandError => ({ event: { name: 'ILLEGAL_COMMAND_ERROR', address: BigInt(at) }, reason });
    if (layout === undefined) return illegal(`opcode ${opcodeOf(low)} is no command`);
    if (layout.absent !== undefined) return illegal(`${layout.name}: ${layout.absent}`);
    const reserved = [low & layout.reserved[0], high & layout.reserved[1]];
    if (reserved.some((bits) => bits !== 0n)) return illegal(`${layout.name} has reserved bits set: ${reserved.map(hex).join(', ')}`);
    return this.execute[layout.name](low, high);
  }

  private readonly execute: Readonly<Record<CommandName, (low: bigint, high: bigint) => CommandError | undefined>> = {
    COMPLETION_WAIT: (low, high) => this.completionWait(low, high),
    INVALIDATE_DEVTAB_ENTRY: (low) => {
      this.surroundings.caches.devices.delete(deviceOf(low));
      return undefined;
    },
    INVALIDATE_IOMMU_PAGES: (low, high) => {
      const { base, size } = rangeOf(high);
      this.surroundings.caches.invalidatePages(domainOf(low), base, size, (high & Pages.PDE) !== 0n);
      return undefined;
    },
    INVALIDATE_INTERRUPT_TABLE: (low) => {
      this.surroundings.caches.invalidateInterrupts(deviceOf(low));
      return undefined;
    },
    PREFETCH_IOMMU_PAGES: (low, high) => this.prefetch(low, high),
    INVALIDATE_IOMMU_ALL: () => {
      this.surroundings.caches.invalidateAll();
      return undefined;
    },
    // Absent: refused before.
    INVALIDATE_IOTLB_PAGES: () => undefined,
    COMPLETE_PPR_REQUEST: () => undefined,
  };

  private completionWait(low: bigint, high: bigint): CommandError | undefined {
    const { memory, registers } = this.surroundings;
    if ((low & CompletionWait.S) !== 0n) {
      const address = Number(low & CompletionWait.ADDRESS);
      if (memory.host(address) === 0) return hardwareError(address, `COMPLETION_WAIT cannot write to ${hex(address)}`);
      memory.write64(address, high);
    }
    if ((low & CompletionWait.I) !== 0n) registers.raise(Status.ComWaitInt);
    return undefined;
  }

  /** `count` translations from the address on, after throwing out what is cached of them if INVAL asks for it. */
  private prefetch(low: bigint, high: bigint): undefined {
    const { caches, prefetch } = this.surroundings;
    const { base, size } = rangeOf(high);
    const device = deviceOf(low);
    if ((high & Pages.INVAL) !== 0n) {
      const domain = caches.devices.get(device)?.entry.domain;
      if (domain !== undefined) caches.invalidatePages(domain, base, size * Math.max(1, prefetchCount(low)), false);
    }
    let address: number | undefined = base;
    for (let count = prefetchCount(low); count > 0 && address !== undefined; count--) address = prefetch(device, address);
    return undefined;
  }
}

function hardwareError(address: number, reason: string): CommandError {
  return { event: { name: 'COMMAND_HARDWARE_ERROR', type: HardwareErrorType.MasterAbort, address: BigInt(address) }, reason };
}
