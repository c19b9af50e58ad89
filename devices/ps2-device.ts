/** What stands at the other end of a PS/2 cable: bytes to the device, a bounded queue of bytes from it. */
import type { Stateful } from '../memory/stateful';

export interface Ps2State {
  queue: number[];
  /** Command whose parameter bytes are awaited, 0 for none. */
  awaiting: number;
  /** What RESEND repeats. */
  lastSent: number;
  enabled: boolean;
  /** Device-specific settings by name. */
  settings: Record<string, number>;
}

export const PS2_REPLY = { acknowledge: 0xfa, resend: 0xfe, selfTestPassed: 0xaa } as const;
/** A keyboard buffers 16 bytes; replies must fit behind them. */
const QUEUE_LIMIT = 64;

export abstract class Ps2Device implements Stateful<Ps2State> {
  protected state: Ps2State;
  /** Set by the controller: the device has something to say. */
  onData: () => void = () => {};

  protected constructor(settings: Record<string, number>, enabled: boolean) {
    this.state = { queue: [], awaiting: 0, lastSent: 0, enabled, settings: { ...settings } };
  }

  /** A byte from the host. */
  abstract receive(byte: number): void;

  get hasData(): boolean {
    return this.state.queue.length > 0;
  }

  /** The next byte towards the host; 0 when there is none. */
  take(): number {
    const byte = this.state.queue.shift() ?? 0;
    this.state.lastSent = byte;
    return byte;
  }

  /** Queues all of `bytes`, or none when there is no room (a packet is never torn). */
  protected send(...bytes: number[]): void {
    if (this.state.queue.length + bytes.length > QUEUE_LIMIT) return;
    this.state.queue.push(...bytes);
    this.onData();
  }

  /** A new command makes the device forget what it had not sent. */
  protected discardOutput(): void {
    this.state.queue = [];
  }

  saveState(): Ps2State {
    return { ...this.state, queue: [...this.state.queue], settings: { ...this.state.settings } };
  }

  restoreState(state: Ps2State): void {
    this.state = { ...state, queue: [...state.queue], settings: { ...state.settings } };
  }
}
