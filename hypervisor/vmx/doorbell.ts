/**
 * The interrupt by which one part of a hypervisor gets a processor out of a guest that is running there: "kicking" it. External-interrupt
 * exiting brings the hypervisor back; nothing acknowledges the interrupt, and the exit takes it away.
 */
import type { InterruptController } from '../../cpu/interfaces';

export class Doorbell implements InterruptController {
  rung = false;

  pending(): boolean {
    return this.rung;
  }
  acknowledge(): number {
    throw new Error('the interrupt that ends the turn of a guest is never taken');
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
