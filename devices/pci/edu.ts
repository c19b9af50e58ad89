/**
 * The educational device of QEMU, 1234:11e8: a factorial, an interrupt that software raises, and a DMA engine, with the register layout of its
 * specification ("EDU device"), so that existing drivers and tests fit.
 */
import type { AccessSize, Timer } from '../bus';
import type { PciAttachment, PciDeviceState } from './pci-device';
import { PciEndpoint, type PciEndpointState } from './pci-endpoint';

const IDENTITY = { vendor: 0x1234, device: 0x11e8, classCode: 0x00_ff00, revision: 0x10, interruptPin: 1 } as const;
const Register = {
  IDENTIFICATION: 0x00, LIVENESS: 0x04, FACTORIAL: 0x08, STATUS: 0x20, INTERRUPT_STATUS: 0x24, INTERRUPT_RAISE: 0x60, INTERRUPT_ACKNOWLEDGE: 0x64,
  DMA_SOURCE: 0x80, DMA_DESTINATION: 0x88, DMA_COUNT: 0x90, DMA_COMMAND: 0x98,
} as const; // prettier-ignore
/** RRrr00ed: major and minor version 1.0. */
const IDENTIFICATION = 0x0100_00ed;
const Status = { COMPUTING: 0x01, RAISE_INTERRUPT: 0x80 } as const;
const DmaCommand = { RUN: 1, TO_MEMORY: 2, RAISE_INTERRUPT: 4 } as const;
const FACTORIAL_INTERRUPT = 0x001;
const DMA_INTERRUPT = 0x100;
const BAR_SIZE = 1 << 20;
/** The device's own memory, as its DMA engine addresses it. */
const BUFFER = 0x4_0000;
const BUFFER_SIZE = 4096;
/** Virtual nanoseconds. QEMU's DMA takes 100 ms, too. */
const DMA_TIME = 100_000_000;
const FACTORIAL_TIME = 1_000;
const QUAD_REGISTERS: readonly number[] = [Register.DMA_SOURCE, Register.DMA_DESTINATION, Register.DMA_COUNT, Register.DMA_COMMAND];
const DEFAULT_DMA_MASK = 2 ** 28 - 1;
const TWO32 = 0x1_0000_0000;

interface Registers {
  liveness: number;
  /** The number whose factorial is being computed, then the factorial. */
  factorial: number;
  status: number;
  interrupts: number;
  /** By register: low and high half. */
  dma: [low: number, high: number][];
}

export interface EduState extends PciEndpointState {
  registers: Registers;
  buffer: Uint8Array;
}

export interface EduOptions {
  /** Bits that DMA addresses have, as QEMU's dma_mask. Default 28 bits. */
  readonly dmaMask?: number;
}

const initial = (): Registers => ({ liveness: 0, factorial: 0, status: 0, interrupts: 0, dma: QUAD_REGISTERS.map(() => [0, 0]) });

export class EduDevice extends PciEndpoint {
  private registers = initial();
  private readonly buffer = new Uint8Array(BUFFER_SIZE);
  private dmaTimer: Timer | undefined;
  private factorialTimer: Timer | undefined;

  constructor(private readonly options: EduOptions = {}) {
    super(IDENTITY);
    this.addMsi(1);
    this.addBar(0, {
      kind: 'memory32',
      size: BAR_SIZE,
      window: { read: (at, size) => this.read(at, size), write: (at, size, value) => this.write(at, size, value) },
    });
  }

  override attach(attachment: PciAttachment): void {
    super.attach(attachment);
    const { scheduler, requester } = attachment;
    this.dmaTimer = scheduler.timer(() => this.transfer(), `edu DMA ${requester}`);
    this.factorialTimer = scheduler.timer(() => this.finishFactorial(), `edu factorial ${requester}`);
  }

  private after(timer: Timer | undefined, nanoseconds: number): void {
    if (this.attachment !== undefined) timer?.arm(this.attachment.scheduler.clock.now() + nanoseconds);
  }

  // ---- registers: below 80h dwords, from there dwords or quadwords ----

  private read(at: number, size: AccessSize): number {
    if (size !== 4) return size === 2 ? 0xffff : 0xff;
    const { liveness, factorial, status, interrupts, dma } = this.registers;
    switch (at) {
      case Register.IDENTIFICATION:
        return IDENTIFICATION;
      case Register.LIVENESS:
        return liveness;
      case Register.FACTORIAL:
        return factorial;
      case Register.STATUS:
        return status;
      case Register.INTERRUPT_STATUS:
        return interrupts;
      default: {
        const index = QUAD_REGISTERS.indexOf(at & ~7);
        return index < 0 || at % 4 !== 0 ? 0xffff_ffff : dma[index][(at >>> 2) & 1];
      }
    }
  }

  private write(at: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    const { registers } = this;
    switch (at) {
      case Register.LIVENESS:
        registers.liveness = ~value >>> 0;
        return;
      case Register.FACTORIAL:
        // "Writes are ignored while a computation is going on".
        if ((registers.status & Status.COMPUTING) !== 0) return;
        registers.factorial = value;
        registers.status |= Status.COMPUTING;
        return this.after(this.factorialTimer, FACTORIAL_TIME);
      case Register.STATUS:
        registers.status = (registers.status & ~Status.RAISE_INTERRUPT) | (value & Status.RAISE_INTERRUPT);
        return;
      case Register.INTERRUPT_RAISE:
        return this.raise(value);
      case Register.INTERRUPT_ACKNOWLEDGE:
        registers.interrupts = (registers.interrupts & ~value) >>> 0;
        if (registers.interrupts === 0) this.setInterrupt(false);
        return;
    }
    const index = QUAD_REGISTERS.indexOf(at & ~7);
    // While the engine runs its registers stay.
    if (index < 0 || at % 4 !== 0 || (this.dmaCommand & DmaCommand.RUN) !== 0) return;
    if (at === Register.DMA_COMMAND && (value & DmaCommand.RUN) === 0) return;
    // A dword at a register's address is its whole value; the second half of a quadword comes behind it.
    if ((at & 4) !== 0) registers.dma[index][1] = value;
    else registers.dma[index] = [value, 0];
    if (at === Register.DMA_COMMAND) this.after(this.dmaTimer, DMA_TIME);
  }

  private raise(value: number): void {
    this.registers.interrupts = (this.registers.interrupts | value) >>> 0;
    if (this.registers.interrupts === 0) return;
    if (this.msi?.enabled) this.msi.signal(0);
    else this.setInterrupt(true);
  }

  private finishFactorial(): void {
    const { registers } = this;
    let product = 1;
    // From 34 on the product is 0 modulo 2^32, and stays so.
    for (let n = Math.min(registers.factorial, 34); n > 1; n--) product = Math.imul(product, n);
    registers.factorial = product >>> 0;
    registers.status &= ~Status.COMPUTING;
    if ((registers.status & Status.RAISE_INTERRUPT) !== 0) this.raise(FACTORIAL_INTERRUPT);
  }

  // ---- DMA ----

  private quad(register: number): number {
    const [low, high] = this.registers.dma[QUAD_REGISTERS.indexOf(register)];
    return high * TWO32 + low;
  }

  private get dmaCommand(): number {
    return this.registers.dma[QUAD_REGISTERS.indexOf(Register.DMA_COMMAND)][0];
  }

  /** DEVIATION: QEMU ends with an error when a transfer leaves the buffer, and has no word for a refused one; here neither moves anything. */
  private transfer(): void {
    const { dmaCommand, buffer } = this;
    const [source, destination, count] = [this.quad(Register.DMA_SOURCE), this.quad(Register.DMA_DESTINATION), this.quad(Register.DMA_COUNT)];
    const inside = (address: number): boolean => count > 0 && address >= BUFFER && address + count <= BUFFER + BUFFER_SIZE;
    if ((dmaCommand & DmaCommand.TO_MEMORY) !== 0) {
      if (inside(source)) this.dma.write(this.masked(destination), buffer.subarray(source - BUFFER, source - BUFFER + count));
    } else if (inside(destination)) {
      const bytes = this.dma.read(this.masked(source), count);
      if (bytes !== undefined) buffer.set(bytes, destination - BUFFER);
    }
    this.registers.dma[QUAD_REGISTERS.indexOf(Register.DMA_COMMAND)][0] &= ~DmaCommand.RUN;
    if ((dmaCommand & DmaCommand.RAISE_INTERRUPT) !== 0) this.raise(DMA_INTERRUPT);
  }

  /** Address bits beyond the mask are lost. */
  private masked(address: number): number {
    return Number(BigInt(address) & BigInt(this.options.dmaMask ?? DEFAULT_DMA_MASK));
  }

  protected override resetFunction(): void {
    this.registers = initial();
    this.buffer.fill(0);
    this.dmaTimer?.disarm();
    this.factorialTimer?.disarm();
  }

  override saveState(): EduState {
    return { ...super.saveState(), registers: structuredClone(this.registers), buffer: this.buffer.slice() };
  }

  override restoreState(state: PciDeviceState): void {
    const { registers, buffer } = state as EduState;
    this.registers = structuredClone(registers);
    this.buffer.set(buffer);
    super.restoreState(state);
  }
}
