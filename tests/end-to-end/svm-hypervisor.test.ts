import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runGuest } from '../guest-run';
import { reportLines } from './report-lines';

/**
 * The machine-code hypervisor on our AMD-V, against what it printed on QEMU's: `qemu-system-x86_64 -cpu EPYC,+svm,+npt -accel tcg -m 256
 * -kernel svm-hypervisor.elf -append "debug-exit skip-cr8" -device isa-debug-exit -serial stdio -display none`, QEMU 7.2.22 (Debian).
 */
// prettier-ignore
const QEMU_ARGUMENTS = [
  '-cpu', 'EPYC,+svm,+npt', '-accel', 'tcg', '-m', '256', '-append', 'debug-exit skip-cr8', '-device', 'isa-debug-exit', '-serial', 'stdio', '-display', 'none',
  '-monitor', 'none', '-no-reboot',
];
const IMAGE = join(__dirname, '../../guests/bundled/svm-hypervisor/svm-hypervisor.elf');
const RECORDED = readFileSync(join(__dirname, 'svm-hypervisor.qemu.txt'), 'latin1');

interface Deviation {
  /** What the manual (AMD64 Architecture Programmer's Manual, volume 2) has instead; undefined: not there on our processor. */
  readonly apm: string | undefined;
  readonly why: string;
}

const INSTRUCTIONS = 'Instruction intercepts: exit, then the instruction by itself';
const IO = 'I/O intercepts';
const EXCEPTIONS = 'Exceptions: intercepted';
const NESTED = 'Exceptions while exceptions are delivered';
const VIRTUAL = 'Virtual interrupts';
const WINDOW = 'Virtual interrupts: VINTR intercepted';

/** Where QEMU 7.2 is not what the manual says. "Bochs" means that Bochs 2.7 (model ryzen) prints the manual's line. */
const DEVIATIONS: Readonly<Record<string, Deviation>> = {
  [`${INSTRUCTIONS}: INVD`]: { apm: '076 INVD at +0', why: 'QEMU looks at the WBINVD intercept; Bochs' },
  [`${INSTRUCTIONS}: RDTSCP`]: { apm: '087 RDTSCP at +0; runs', why: 'QEMU does not look at the intercept; Bochs' },
  [`${INSTRUCTIONS}: ICEBP`]: { apm: '088 ICEBP at +0', why: 'QEMU has no INT1 instruction; Bochs' },
  [`${INSTRUCTIONS}: MONITOR`]: { apm: undefined, why: 'our processor has no MONITOR and MWAIT' },
  [`${INSTRUCTIONS}: MWAIT`]: { apm: undefined, why: 'our processor has no MONITOR and MWAIT' },
  [`${INSTRUCTIONS}: XSETBV`]: { apm: '08d XSETBV at +9', why: 'QEMU does not look at the intercept; Bochs' },
  [`${IO}: OUTSB: 64-bit address, DS`]: {
    apm: '07b IOIO at +c, address size 4, segment 3',
    why: '"IOIO Intercepts"; QEMU leaves EXITINFO1[12:7] 0, Bochs [12:10]',
  },
  [`${IO}: OUTSD: 32-bit address, DS`]: {
    apm: '07b IOIO at +c, address size 2, segment 3',
    why: '"IOIO Intercepts"; QEMU leaves EXITINFO1[12:7] 0, Bochs [12:10]',
  },
  [`${IO}: OUTSB: 64-bit address, FS`]: {
    apm: '07b IOIO at +c, address size 4, segment 4',
    why: '"IOIO Intercepts"; QEMU leaves EXITINFO1[12:7] 0, Bochs [12:10]',
  },
  [`${IO}: INSB: 64-bit address, ES`]: {
    apm: '07b IOIO at +c, address size 4, segment 0',
    why: '"IOIO Intercepts"; QEMU leaves EXITINFO1[12:7] 0, Bochs [12:10]',
  },
  'Nested paging: read, reserved bit': { apm: '400 NPF at +0, error 10000000d, address 40001010', why: 'RSV comes with P in QEMU not; Bochs' },
  [`${EXCEPTIONS}: #BP, INT3`]: { apm: '043 exception 3 at +1', why: '"#BP (Breakpoint)": INT3 is intercepted, rIP is its own; Bochs' },
  [`${EXCEPTIONS}: #SS(0)`]: { apm: '04c exception 12 at +a, error code 0', why: 'a non-canonical stack reference is #SS, not #GP; Bochs' },
  [`${NESTED}: #GP while #UD is delivered`]: {
    apm: '04d exception 13 at +1, error code 32, EXITINTINFO 80000306',
    why: 'the index in the error code is the vector in long mode too, QEMU doubles it; Bochs',
  },
  [`${NESTED}: double fault`]: { apm: '048 exception 8', why: 'QEMU does not look at the #DF intercept; Bochs' },
  'Event injection: refused: exception #BR in 64-bit mode': { apm: 'ffffffff INVALID', why: '"Event Injection": impossible in the mode of the guest' },
  'Control and debug registers: LMSW: selective, nothing changes': {
    apm: '065 CR0_SEL_WRITE at +3',
    why: '"Instruction Intercepts": for LMSW the value does not matter',
  },
  [`${VIRTUAL}: priority 2, V_TPR 2`]: { apm: '081 VMMCALL at +3, V_IRQ 1', why: '"Injecting Virtual (INTR) Interrupts": greater than V_TPR' },
  [`${VIRTUAL}: V_TPR 3, then CR8 = 0`]: { apm: 'vector 37 delivered, return to +6, V_IRQ 0', why: 'QEMU stops with an assertion, so it was left out; Bochs' },
  [`${VIRTUAL}: IF = 1, interrupt shadow`]: { apm: 'vector 37 delivered, return to +1, V_IRQ 0', why: 'VMRUN loads the shadow: "Interrupt Shadows"' },
  [`${WINDOW}: V_TPR 3, then CR8 = 0`]: { apm: '064 VINTR at +6, V_IRQ 1', why: 'QEMU stops with an assertion, so it was left out; Bochs' },
  'VMSAVE and VMLOAD: TR': { apm: 'selector 28, attributes 8b, limit 67', why: 'LTR makes the TSS busy, in TR too; Bochs' },
  'VMRUN with invalid state: all 64 bits of EXITCODE': { apm: 'ffffffffffffffff', why: 'EXITCODE is a 64-bit -1' },
  'Features: next RIP: CPUID': { apm: '072 CPUID at +1, next +3', why: 'QEMU has no next-RIP save; Bochs' },
  'Features: next RIP: VMMCALL': { apm: '081 VMMCALL at +1, next +4', why: 'QEMU has no next-RIP save; Bochs' },
  'Features: next RIP: INT': { apm: '075 SWINT at +0, next +2', why: 'QEMU has no next-RIP save; Bochs' },
  'Features: next RIP: #UD has none': { apm: '046 exception 6 at +0, next 0', why: 'QEMU has no next-RIP save: "State Saved on Exit"' },
  'Features: decode assist: CLTS': { apm: '010 CR0 write at +0, info 0', why: 'QEMU has no decode assists: "MOV CRx/DRx Intercepts"' },
  'Features: decode assist: SMSW': { apm: '000 CR0 read at +0, info 0', why: 'QEMU has no decode assists: "MOV CRx/DRx Intercepts"' },
  'Features: decode assist: MOV DR7, R10': { apm: '037 DR7 write at +6, info a', why: 'QEMU has no decode assists: "MOV CRx/DRx Intercepts"' },
  'Features: decode assist: no bytes of CPUID': { apm: '072 CPUID at +1, 0', why: 'QEMU has no decode assists: "Nested and Intercepted #PF"' },
  'Features: decode assist: MOV R11, CR3': { apm: '003 CR3 read at +0, info 800000000000000b', why: 'QEMU has no decode assists: "MOV CRx/DRx"' },
  'Features: decode assist: MOV CR3, R11': { apm: '013 CR3 write at +4, info 800000000000000b', why: 'QEMU has no decode assists: "MOV CRx/DRx"' },
  'Features: decode assist: INT 21h': { apm: '075 SWINT at +0, info 21', why: 'QEMU has no decode assists: "INTn"' },
  'Features: decode assist: INVLPG': { apm: '079 INVLPG at +5, info 12345678', why: 'QEMU has no decode assists: "INVLPG and INVLPGA"' },
  'Features: decode assist: instruction bytes': {
    apm: '400 NPF at +0, 15: 48 8b 04 25 10 10 00 40',
    why: 'QEMU has no decode assists: "Nested and intercepted #PF"',
  },
  'Features: pause filter: count 3': { apm: '077 PAUSE at +4, in the third or fourth iteration: yes', why: 'QEMU has no pause filter; Bochs' },
};

describe('a machine-code hypervisor on AMD-V', () => {
  const run = runGuest({
    image: readFileSync(IMAGE),
    memoryBytes: 256 << 20,
    backend: 'bare',
    cpu: 'amd-svm',
  });
  const printed = reportLines(run.console);
  const expected = reportLines(RECORDED);
  for (const [line, { apm }] of Object.entries(DEVIATIONS)) {
    if (apm === undefined) expected.delete(line);
    else expected.set(line, apm);
  }

  it('comes to its end', () => {
    expect(run.console).toContain('End of the run');
    expect(run.stop).toMatchObject({ kind: 'ended', because: 'power-off' });
  });
  it('has the same cases', () => expect([...printed.keys()].sort()).toEqual([...expected.keys()].sort()));
  it.each([...expected])('%s: %s', (line, text) => expect(printed.get(line)).toBe(text));
});

const version = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'latin1' }).stdout ?? '';
(version.includes('version 7.2') ? describe : describe.skip)('on QEMU 7.2', () => {
  it('prints what was recorded', () => {
    const { stdout } = spawnSync('qemu-system-x86_64', ['-kernel', IMAGE, ...QEMU_ARGUMENTS], { encoding: 'latin1', timeout: 50_000 });
    expect(stdout.replaceAll('\r', '')).toBe(RECORDED);
  });
});
