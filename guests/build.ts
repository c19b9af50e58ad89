/**
 * Builds the bundled guests with gcc. `--check` builds into a temporary directory and compares with what is in the tree instead.
 * The images are in the tree, so that nobody needs a compiler to run them.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Guest {
  readonly name: string;
  readonly sources: readonly string[];
}

const COMMON = ['common/start.S', 'common/interrupts.S', 'common/interrupts.c', 'common/print.c', 'common/machine.c'];
/** The hypervisors themselves, and one file for each group of cases. */
const SVM_HYPERVISOR = [
  'svm-hypervisor', 'vm', 'npt', 'report', 'host', 'instructions', 'io', 'msr', 'nested-page-faults', 'exceptions', 'injection', 'virtual-interrupts',
  'control-registers', 'interrupts', 'state', 'modes', 'invalid', 'features',
]
  .map((part) => `svm-hypervisor/${part}.c`)
  .concat('svm-hypervisor/world-switch.S'); // prettier-ignore
const VMX_HYPERVISOR = [
  'vmx-hypervisor', 'vm', 'ept', 'report', 'vmx-instructions', 'instructions', 'io', 'msr', 'ept-violations', 'exceptions', 'injection',
  'control-registers', 'interrupts', 'apic', 'modes', 'failures',
]
  .map((part) => `vmx-hypervisor/${part}.c`)
  .concat('vmx-hypervisor/world-switch.S'); // prettier-ignore
const GUESTS: readonly Guest[] = [
  { name: 'hello', sources: ['hello/hello.c'] },
  { name: 'tour', sources: ['tour/tour.c'] },
  { name: 'bench', sources: ['bench/bench.c', 'bench/compute.c', 'bench/system.c', 'bench/user.S', 'bench/float.c'] },
  { name: 'svm-hypervisor', sources: SVM_HYPERVISOR },
  { name: 'vmx-hypervisor', sources: VMX_HYPERVISOR },
  { name: 'disk-log', sources: ['disk-log/disk-log.c'] },
  { name: 'events', sources: ['events/events.c'] },
  { name: 'la57', sources: ['la57/la57.c', 'la57/set-paging.S'] },
];

const COMPILE = [
  '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-m64', '-march=x86-64', '-mtune=generic', '-ffreestanding', '-mno-red-zone', '-mgeneral-regs-only',
  '-fno-pic', '-mcmodel=small', '-fno-stack-protector', '-fcf-protection=none', '-fno-asynchronous-unwind-tables', '-fno-ident',
  // Loops that measure copying must not become calls of memcpy.
  '-fno-tree-loop-distribute-patterns',
  '-Wno-main',
]; // prettier-ignore
/** Files that are about floating point. */
const FLOATING = /float\.c$/;
const LINK = [
  '-m',
  'elf_x86_64',
  '-static',
  '-nostdlib',
  '--build-id=none',
  '-z',
  'noexecstack',
  '-z',
  'max-page-size=4096',
  '--no-warn-rwx-segments',
  '-s',
  '-T',
  'common/guest.ld',
];

const BUNDLED = join(__dirname, 'bundled');
const imagePath = (name: string): string => join(BUNDLED, name, `${name}.elf`);

function build(guest: Guest, directory: string): Buffer {
  const run = (command: string, args: readonly string[]): void => void execFileSync(command, args, { cwd: BUNDLED, stdio: ['ignore', 'inherit', 'inherit'] });
  const objects = [...COMMON, ...guest.sources].map((source) => {
    const object = join(directory, `${source.replace(/[/.]/g, '-')}.o`);
    const flags = FLOATING.test(source)
      ? [...COMPILE.filter((f) => f !== '-mgeneral-regs-only'), '-msse2', '-mfpmath=sse', '-ffp-contract=off', '-fno-tree-vectorize']
      : COMPILE;
    run('gcc', [...flags, '-c', source, '-o', object]);
    return object;
  });
  const image = join(directory, `${guest.name}.elf`);
  run('ld', [...LINK, '-o', image, ...objects]);
  return readFileSync(image);
}

function toolchain(): boolean {
  try {
    for (const tool of ['gcc', 'ld']) execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return process.arch === 'x64';
  } catch {
    return false;
  }
}

function main(check: boolean): void {
  if (!toolchain()) {
    console.error(check ? 'no x86-64 gcc and ld here: bundled guests not checked' : 'building the guests needs gcc and ld for x86-64');
    process.exitCode = check ? 0 : 1;
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'guests-'));
  try {
    for (const guest of GUESTS) {
      const image = build(guest, directory);
      const path = imagePath(guest.name);
      if (!check) writeFileSync(path, image);
      else if (!image.equals(readFileSync(path))) {
        console.error(`${path} differs from what its sources build to with this compiler: run npm run guests`);
        process.exitCode = 1;
        continue;
      }
      console.log(`${guest.name}: ${image.length} bytes${check ? ', as built from its sources' : ''}`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

main(process.argv.includes('--check'));
