/**
 * The host's interrupt that ends the guest's turn. AMD-V has no preemption timer: a timer of the physical machine raises an interrupt at
 * the deadline, and the INTR intercept brings the hypervisor back. Nothing acknowledges it; setting a later deadline takes it away.
 */
import type { InterruptController } from '../../cpu/interfaces';
import type { Scheduler, Timer } from '../../devices/bus';
import type { Stateful } from '../../memory/stateful';

export class HostTimer implements InterruptController, Stateful<number> {
  private deadline = Infinity;
  private readonly timer: Timer;

  constructor(private readonly scheduler: Scheduler) {
    // The run loop of the processor looks at pending() when the scheduler's time has come.
    this.timer = scheduler.timer(() => {});
  }

  set(deadline: number): void {
    if (deadline === this.deadline) return;
    this.deadline = deadline;
    this.timer.arm(deadline);
  }

  /** The deadline. The scheduler of the machine has the timer itself. */
  saveState(): number {
    return this.deadline;
  }
  restoreState(deadline: number): void {
    this.deadline = deadline;
  }

  pending(): boolean {
    return this.deadline <= this.scheduler.clock.now();
  }
  acknowledge(): number {
    throw new Error('the interrupt of the host timer is never taken: it only ends the turn of a guest');
  }
  readCr8(): number {
    return 0;
  }
  writeCr8(): void {}
  readMsr(): bigint | undefined {
    return undefined;
  }
  writeMsr(): boolean {
    return false;
  }
}
