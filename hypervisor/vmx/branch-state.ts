/**
 * IA32_DEBUGCTL and the branch records of the guest. The first is switched by VM entries and exits ("load debug controls", "save debug
 * controls"); the records stay in the processor, because exits clear IA32_DEBUGCTL and so the hypervisor leaves none of its own.
 */
import type { Cpu } from '../../cpu/cpu';
import { R } from '../../cpu/layout';
import type { Components } from './components';

const RECORDS = [R.LAST_BRANCH_FROM, R.LAST_BRANCH_TO, R.LAST_INT_FROM, R.LAST_INT_TO];

export function branchStateTo(c: Components, cpu: Cpu, model: Cpu): void {
  model.set64(R.DEBUGCTL, BigInt(c.get32('GUEST_IA32_DEBUGCTL')));
  copyRecords(cpu, model);
}

export function branchStateFrom(c: Components, cpu: Cpu, model: Cpu): void {
  const control = model.get32(R.DEBUGCTL);
  if (control !== c.get32('GUEST_IA32_DEBUGCTL')) c.set64('GUEST_IA32_DEBUGCTL', BigInt(control));
  copyRecords(model, cpu);
}

function copyRecords(from: Cpu, to: Cpu): void {
  for (const register of RECORDS) {
    to.set32(register, from.get32(register));
    to.set32(register + 4, from.get32(register + 4));
  }
}
