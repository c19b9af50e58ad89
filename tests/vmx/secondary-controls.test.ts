/** SDM "Processor-Based VM-Execution Controls": with "activate secondary controls" 0 "the processor operates as if all the secondary controls were also 0". */
import { Sensitive } from '../../cpu/interfaces';
import { Primary, Secondary } from '../../vmx/controls';
import { PRIMARY, guest, insn } from './bench';

it('ACTIVATE_SECONDARY_CONTROLS: without it the secondary controls do not count', () => {
  const wbinvd = (primary: number): boolean => {
    const b = guest({ PRIMARY_PROCESSOR_BASED_CONTROLS: primary >>> 0, SECONDARY_PROCESSOR_BASED_CONTROLS: Secondary.WBINVD_EXITING });
    b.cpu.insn = insn({ op: 'WBINVD' });
    return b.vmx.instruction(Sensitive.WBINVD, 0, 0n);
  };
  expect(wbinvd(PRIMARY | Primary.ACTIVATE_SECONDARY_CONTROLS)).toBe(true);
  expect(wbinvd(PRIMARY & ~Primary.ACTIVATE_SECONDARY_CONTROLS)).toBe(false);
});
