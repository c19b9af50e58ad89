/** Devices of the physical machine that work for a guest, as far as the run loop has to know of them. */
import type { TimerQueue } from '../cpu/interfaces';

export interface HostDevices {
  /** They run while the guest does; only a halted guest needs somebody to bring time forward to them. */
  readonly timers: Pick<TimerQueue, 'next' | 'run'>;
  /** Serves the interrupts that the host has got: those for the guest become interrupts of the guest. */
  takeInterrupts(): void;
}
