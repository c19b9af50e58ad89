/** What the architecture puts between two instructions: SDM "Priority Among Concurrent Events". */
import { Activity, Vector, type Cpu } from './cpu';
import { deliverEvent } from './exceptions';
import { EventType } from './interfaces';

/** Takes the pending event of highest priority; true when it changed where execution goes on. */
export function boundary(cpu: Cpu, now: number): boolean {
  const interrupts = cpu.interrupts;
  const pending = interrupts !== undefined && interrupts.pending();
  const x = cpu.interception;
  if (x !== undefined && x.guestMode && (x.attention || pending || cpu.nmiPending || x.deadline <= now)) {
    if (x.boundary(pending, cpu.nmiPending)) return true;
  }
  if (cpu.activity === Activity.Shutdown || cpu.activity === Activity.WaitForSipi) return false;
  if (cpu.pendingDebug !== 0 && !(cpu.inShadow() && cpu.shadowByMovSs)) {
    const bits = cpu.pendingDebug;
    cpu.pendingDebug = 0;
    deliverEvent(cpu, { vector: Vector.DB, type: EventType.HardwareException, errorCode: undefined, payload: BigInt(bits), length: 0 });
    // SDM "HLT": a debug exception resumes execution.
    if (cpu.activity === Activity.Halted) cpu.activity = Activity.Active;
    return true;
  }
  if (x !== undefined && x.held === true) return false;
  const shadow = cpu.inShadow();
  if (cpu.nmiPending && !cpu.nmiBlocked && !shadow) {
    cpu.nmiPending = false;
    cpu.activity = Activity.Active;
    deliverEvent(cpu, { vector: Vector.NMI, type: EventType.Nmi, errorCode: undefined, payload: 0n, length: 0 });
    return true;
  }
  if (pending && !shadow && (x !== undefined && x.guestMode ? !x.interruptsBlocked() : cpu.interruptsEnabled)) {
    cpu.activity = Activity.Active;
    const vector = interrupts!.acknowledge();
    deliverEvent(cpu, { vector, type: EventType.ExternalInterrupt, errorCode: undefined, payload: 0n, length: 0 });
    return true;
  }
  return false;
}
