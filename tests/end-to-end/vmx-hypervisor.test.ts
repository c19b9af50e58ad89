import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGuest } from '../guest-run';
import { reportLines } from './report-lines';

/**
 * The machine-code hypervisor on our VT-x, against what it printed on Bochs 2.7 (Debian 2.7+dfsg-4, `cpu: model=corei7_icelake_u`, SeaBIOS)
 * from a disk that scripts/make-bios-disk.ts made. Bochs stops in its last section.
 */
const RECORDED = readFileSync(join(__dirname, 'vmx-hypervisor.bochs.txt'), 'latin1');

interface Deviation {
  /** What the manual (Intel SDM, volume 3) has instead; undefined: not there on our processor. */
  readonly sdm: string | undefined;
  readonly why: string;
}

const STATE = 'VM entries with invalid state';
const INSTRUCTIONS = 'Instructions: exit, then the instruction by itself';
const TIMER = 'Preemption timer and monitor trap flag';

/** Where Bochs 2.7 is not what the manual says, or is another processor. */
const DEVIATIONS: Readonly<Record<string, Deviation>> = {
  'VMX instructions with a current VMCS: VMWRITE to a read-only field': { sdm: 'VMfailValid(13)', why: 'IA32_VMX_MISC[29] is 1 in Bochs, 0 here' },
  [`${INSTRUCTIONS}: MWAIT`]: { sdm: undefined, why: 'our processor has no MONITOR and MWAIT' },
  [`${INSTRUCTIONS}: MONITOR`]: { sdm: undefined, why: 'our processor has no MONITOR and MWAIT' },
  'Extended page tables: guest page table, read-only': {
    sdm: '48 EPT violation at +0, qualification 8b, address 40002000, linear +0',
    why: '"Accessed and Dirty Flags for EPT": to set A in a guest entry is a write',
  },
  [`${STATE}: guest: DEBUGCTL bit 20`]: {
    sdm: '33 invalid guest state, entry failed, qualification 0',
    why: '"Checks on Guest Control Registers, Debug Registers, and MSRs"',
  },
  [`${STATE}: guest: RIP not canonical`]: { sdm: '33 invalid guest state, entry failed, qualification 0', why: '"Checks on Guest RIP, RFLAGS, and SSP"' },
  [`${STATE}: guest: SS.DPL and CS disagree`]: {
    sdm: '33 invalid guest state, entry failed, qualification 0',
    why: '"Checks on Guest Segment Registers": DPL of CS',
  },
  'Physical interrupts: external-interrupt exiting: pending, guest IF = 0': {
    sdm: '1 external interrupt at +0, information valid 0; host: 1',
    why: '"Changes to Instruction Behavior", "Blocking": RFLAGS.IF does not matter with external-interrupt exiting',
  },
  'NMI: sent by the guest, its own': { sdm: 'vector 2 delivered, return to +18', why: 'IRET in the host ended the blocking that the exit began' },
  [`${TIMER}: monitor trap flag`]: { sdm: '37 monitor trap flag at +1; then +2', why: 'Bochs accepts the control and does nothing' },
  [`${TIMER}: monitor trap flag, #UD injected`]: { sdm: '37 in the handler of vector 6', why: 'Bochs accepts the control and does nothing' },
  'Accesses to the APIC-access page: OR to the version': {
    sdm: '44 APIC access at +0, qualification 1030; TPR 40',
    why: '"Basic VM-Exit Information": bit 12 is that of a write, as bit 1 of the error code of a page fault would be',
  },
  'VMCALL in root operation: VMCALL': { sdm: 'VMfailValid(1)', why: 'Bochs stops: not implemented' },
};

describe('a machine-code hypervisor on VT-x', () => {
  const run = runGuest({
    image: readFileSync(join(__dirname, '../../guests/bundled/vmx-hypervisor/vmx-hypervisor.elf')),
    memoryBytes: 256 << 20,
    backend: 'bare',
    cpu: 'intel-vmx',
  });
  const printed = reportLines(run.console);
  const expected = reportLines(RECORDED);
  for (const [line, { sdm }] of Object.entries(DEVIATIONS)) {
    if (sdm === undefined) expected.delete(line);
    else expected.set(line, sdm);
  }

  it('comes to its end', () => {
    expect(run.console).toContain('End of the run');
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });
  it('has the same cases', () => expect([...printed.keys()].sort()).toEqual([...expected.keys()].sort()));
  it.each([...expected])('%s: %s', (line, text) => expect(printed.get(line)).toBe(text));
});
