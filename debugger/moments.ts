/**
 * The moments at which the outside, or what follows from it, can come into a run; 16 bits of each are recorded. Between two of them a
 * machine does what its state says, so the first moment that differs in a replay tells where the two runs part.
 */
import type { Guest } from '../hypervisor/guest';
import type { VcpuObserver } from '../hypervisor/vcpu';
import { mix, registerFingerprint } from './recording';

/** By kind: the moment is of one instruction, and what its registers were before has been compared already. */
const EXACT = {
  /** A VM exit, before its handler: when, where, why, and the registers. */
  exit: false,
  /** ... and after it: what was decided, and what the guest was given. */
  handled: true,
  /** An event was delivered through the IDT. */
  delivery: false,
  /** A bare machine read from a device. */
  read: true,
} as const;

type MomentKind = keyof typeof EXACT;

export interface MomentListener {
  /** @param check 16 bits. @param describe what happens, in a few words. */
  moment(check: number, exact: boolean, describe: () => string): void;
}

const TWO32 = 0x1_0000_0000;
const RAX = 0,
  RSP = 4;
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

export class Moments {
  /** Set once the guest is built. */
  private guest!: Guest;

  constructor(private readonly listener: MomentListener) {}

  private tell(kind: MomentKind, hash: number, describe: () => string): void {
    const { instructions, time } = this.guest;
    const mixed = mix(mix(mix(hash, instructions | 0), Math.floor(instructions / TWO32)), (time - instructions) | 0);
    this.listener.moment((mixed ^ (mixed >>> 16)) & 0xffff, EXACT[kind], describe);
  }

  /** For the guest's vCPU; `next` hears of exits too. */
  observer(next: VcpuObserver = {}): VcpuObserver {
    return {
      ...next,
      arrived: (exit) => {
        const { processor } = this.guest.vm!;
        const { reason, code, qualification } = processor.raw();
        const rip = processor.rip();
        let hash = mix(mix(registerFingerprint(this.guest), code), Number(BigInt.asIntN(32, qualification)));
        hash = mix(mix(hash, Number(BigInt.asIntN(32, rip))), Number(BigInt.asIntN(32, rip >> 32n)));
        this.tell('exit', hash, () => `the VM exit ${reason} at RIP ${hex(rip)}`);
        return next.arrived?.(exit) === true;
      },
      exit: (record, information) => {
        const { processor } = this.guest.vm!;
        const hash = mix(registerFingerprint(this.guest), record.outcome.kind.length);
        this.tell(
          'handled',
          mix(mix(hash, processor.gpr32(RAX)), processor.gpr32(RSP)),
          () => `what came of the VM exit ${record.raw.reason} at RIP ${hex(record.rip)}`,
        );
        next.exit?.(record, information);
      },
    };
  }

  /** Hooks of the hardware, before anything runs. */
  attach(guest: Guest): void {
    this.guest = guest;
    const { machine, vm } = guest;
    const { cpu } = machine;
    const deliver = (_cpu: unknown, { vector }: { readonly vector: number }): void => {
      if (vm === undefined || cpu.guestMode) this.tell('delivery', mix(registerFingerprint(guest), vector), () => `the delivery of vector ${vector}`);
    };
    cpu.observer = { ...cpu.observer, deliver };
    if (vm !== undefined) return;
    const read =
      (what: string) =>
      (address: number, _size: number, value: number, write: boolean): void => {
        if (write) return;
        const rip = cpu.currentRip();
        this.tell('read', mix(mix(registerFingerprint(guest), address | 0), value), () => `what was read from ${what} ${hex(address)} at RIP ${hex(rip)}`);
      };
    machine.ports.onDevice = read('port');
    machine.memory.onDevice = read('physical address');
  }
}
