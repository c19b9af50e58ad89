/** An event of the remapping hardware and its interrupt message: control, data, address, upper address. VT-d "Fault Events". */
import type { InterruptMessage } from '../../devices/interrupt-message';
import type { Stateful } from '../../memory/stateful';
import { EventControl } from './spec/registers';

/** Remapping hardware has no requester id of its own; its messages are not subject to interrupt remapping. */
const NO_SOURCE = 0;
const DESTINATION_SHIFT = 12;
const HIGH_DESTINATION = 0xffff_ff00;

export interface EventMessageState {
  readonly control: number;
  readonly data: number;
  readonly address: number;
  readonly upperAddress: number;
}

export class EventMessage implements Stateful<EventMessageState> {
  /** "IM: 1 is the value at reset." */
  private control: number = EventControl.IM;
  data = 0;
  address = 0;
  upperAddress = 0;

  /** @param extended interrupts have 32-bit destinations now: the upper address holds bits 31:8. */
  constructor(
    private readonly send: (message: InterruptMessage) => void,
    private readonly extended: () => boolean,
  ) {}

  readControl(): number {
    return this.control;
  }

  /** IP is read-only: "it is cleared by hardware as soon as the interrupt message is sent", because software unmasked it. */
  writeControl(value: number): void {
    this.control = ((value & EventControl.IM) | (this.control & EventControl.IP)) >>> 0;
    this.settle();
  }

  raise(): void {
    this.control = (this.control | EventControl.IP) >>> 0;
    this.settle();
  }

  /** Software has served everything that was pending before the message could be sent. */
  withdraw(): void {
    this.control = (this.control & ~EventControl.IP) >>> 0;
  }

  private settle(): void {
    if ((this.control & EventControl.IP) === 0 || (this.control & EventControl.IM) !== 0) return;
    this.withdraw();
    const { address, data } = this;
    const extendedDestination = this.extended() ? ((this.upperAddress & HIGH_DESTINATION) | ((address >>> DESTINATION_SHIFT) & 0xff)) >>> 0 : undefined;
    this.send({ address, data, source: NO_SOURCE, extendedDestination });
  }

  saveState(): EventMessageState {
    const { control, data, address, upperAddress } = this;
    return { control, data, address, upperAddress };
  }
  restoreState({ control, data, address, upperAddress }: EventMessageState): void {
    Object.assign(this, { control, data, address, upperAddress });
  }
}
