import { restoreVmx, saveVmx } from '../../vmx/snapshot';
import { VMCS } from '../../vmx/vmcs/fields';
import { PIN, VMCS_A, guest, insn } from './bench';

test('a snapshot of a running guest goes through JSON and back', () => {
  const b = guest({ PIN_BASED_CONTROLS: PIN | 0x40, PREEMPTION_TIMER_VALUE: 50 });
  const saved = JSON.parse(JSON.stringify(saveVmx(b.vmx))) as ReturnType<typeof saveVmx>;
  const deadline = b.vmx.deadline;
  b.cpu.insn = insn({});
  b.vmx.exitOnInstruction(10);
  b.vmx.vmclear(VMCS_A);
  b.vmx.vmxoff();
  restoreVmx(b.vmx, saved);
  expect([b.vmx.guestMode, b.vmx.vmcs.pointer, b.vmx.deadline, b.vmx.ept.active, b.cpu.mmu.asid]).toEqual([true, VMCS_A, deadline, true, 1]);
  b.cpu.retiredBase += 50;
  expect(b.vmx.boundary(false, false)).toBe(true);
  expect(b.vmx.vmread32(VMCS.EXIT_REASON)).toBe(52);
});
