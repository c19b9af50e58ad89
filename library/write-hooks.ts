/**
 * Writes to guest-physical pages caught through EPT or NPT: the pages are mapped read-only, so that a write makes a VM exit, and the
 * instruction is carried out in software behind it. The guest notices nothing but its own writes.
 */
import type { Guest } from '../hypervisor/guest';
import type { ExitOf, Outcome } from '../hypervisor/exit';
import type { Routes } from '../hypervisor/routes';
import type { VirtualMachine } from '../hypervisor/virtual-machine';
import { DebugError } from '../debugger/target';

const PAGE = 4096;
const LARGE = 2 << 20;

export interface GuestWrite {
  /** Guest-physical address of the write. */
  readonly gpa: number;
  /** Linear address; 0 when the processor does not tell (SVM). */
  readonly linear: bigint;
  /** RIP of the instruction, 64 bits. */
  readonly rip: bigint;
  /** A page walk set an accessed or dirty flag. */
  readonly byPageWalk: boolean;
}

interface Hook {
  readonly first: number;
  readonly end: number;
  /** Before the write. */
  readonly hear: (write: GuestWrite) => void;
}

export class WriteHooks {
  private readonly hooks = new Set<Hook>();
  /** 2 MiB blocks whose large page has been taken apart. */
  private readonly split = new Set<number>();
  private usual: Routes | undefined;

  constructor(private readonly guest: Guest) {}

  /**
   * @param gpa guest-physical, as `length` in bytes; both need not be whole pages, but other writes to the same page exit too.
   * @returns how to take the hook away.
   * Throws DebugError for a bare machine, and for what is not RAM.
   */
  add(gpa: number, length: number, hear: (write: GuestWrite) => void): () => void {
    const vm = this.vm;
    if (!Number.isSafeInteger(gpa) || !Number.isSafeInteger(length) || length < 1 || !vm.memory.isRam(gpa) || !vm.memory.isRam(gpa + length - 1))
      throw new DebugError(`guest-physical [0x${gpa.toString(16)}, +${length}) is not RAM: only RAM can be hooked`);
    const hook: Hook = { first: gpa, end: gpa + length, hear };
    this.hooks.add(hook);
    if (this.usual === undefined) {
      const usual = (this.usual = vm.vcpu.routes);
      vm.vcpu.routes = { ...usual, 'nested-page-fault': (vcpu, exit) => this.written(exit) ?? usual['nested-page-fault'](vcpu, exit) };
    }
    this.inRoot(() => this.hooks.has(hook) && this.setWritable(hook, false));
    return () => {
      if (!this.hooks.delete(hook)) return;
      this.inRoot(() => {
        this.setWritable(hook, true);
        this.protectAll();
      });
    };
  }

  /** Only a hypervisor can change what a guest's addresses mean: a guest that is in has to come out first. */
  private inRoot(change: () => void): void {
    const { vcpu, processor } = this.vm;
    if (!processor.paused) return change();
    const { observer } = vcpu;
    const entering = observer?.entering;
    processor.kick();
    vcpu.observer = {
      ...observer,
      entering: (rip, ticks) => {
        vcpu.observer = { ...vcpu.observer, entering };
        change();
        entering?.(rip, ticks);
      },
    };
  }

  /** After a snapshot was restored: the paging structures are those of that time. */
  restored(): void {
    this.split.clear();
    if (this.hooks.size > 0) this.inRoot(() => this.protectAll());
  }
  private protectAll(): void {
    for (const hook of this.hooks) this.setWritable(hook, false);
  }

  private get vm(): VirtualMachine {
    const { vm } = this.guest;
    if (vm === undefined) throw new DebugError("a bare machine has no EPT or NPT through which writes could be caught; use backend 'vmx' or 'svm'");
    return vm;
  }

  private setWritable({ first, end }: Hook, writable: boolean): void {
    const { memory, processor } = this.vm;
    for (let page = first - (first % PAGE); page < end; page += PAGE) {
      memory.back(page);
      this.takeApart(page - (page % LARGE));
      // Invalidates what is cached of the page.
      processor.unmap(page, PAGE);
      processor.map(page, memory.hostOf(page)!, PAGE, writable);
    }
  }

  /** A large page cannot be protected in part. */
  private takeApart(block: number): void {
    if (this.split.has(block)) return;
    const { memory, processor } = this.vm;
    this.split.add(block);
    const hosts = Array.from({ length: LARGE / PAGE }, (_, i) => memory.hostOf(block + i * PAGE));
    processor.unmap(block, LARGE);
    hosts.forEach((host, i) => host !== undefined && processor.map(block + i * PAGE, host, PAGE, true));
  }

  private written(exit: ExitOf<'nested-page-fault'>): Outcome | undefined {
    const { gpa, linear, write, table } = exit;
    if (!write) return undefined;
    const page = gpa - (gpa % PAGE);
    const inPage = [...this.hooks].filter((h) => h.first < page + PAGE && page < h.end);
    if (inPage.length === 0) return undefined;
    const { vcpu } = this.vm;
    vcpu.detail = page;
    for (const { first, end, hear } of inPage) if (gpa >= first && gpa < end) hear({ gpa, linear, rip: vcpu.processor.rip(), byPageWalk: table });
    const event = vcpu.processor.interrupted();
    return event === undefined || event.length !== 0 ? vcpu.emulate() : vcpu.deliver(event);
  }
}
