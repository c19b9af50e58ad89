/** The command line. */
import { Command, CommanderError } from 'commander';
import { version } from '../package.json';
import { checkDapOptions, dapCommand } from './dap-command';
import { debugCommand } from './debug-command';
import { checkDebugOptions } from './debug-options';
import { EXIT_CODES, exitCodeTable } from './exit-codes';
import { createLogger } from './logger';
import { statsCommand } from './stats-command';
import { replayCommand } from './replay-command';
import { runCommand, type Io } from './run-command';
import { checkRunOptions } from './run-options';
import type { CreateRunner } from './runner';
import { KEY_HELP } from './terminal-keys';
import { UserError } from './user-error';

const collect = (value: string, previous: string[] = []): string[] => [...previous, value];

function addRunCommand(program: Command, io: Io, createRunner: CreateRunner, finish: (code: number) => void): void {
  program
    .command('run')
    .description('run an image: a Linux bzImage, a PVH or multiboot kernel, an ELF64 file, or a flat binary')
    .argument('<image>', 'the image file')
    .option('--initrd <file>', 'initial ramdisk')
    .option('--module <file-and-arguments>', 'a boot module (PVH, multiboot); may be repeated', collect)
    .option('--append <text>', 'kernel command line')
    .option('--memory <size>', 'RAM of the guest, like 512M or 1G (default: 256M)')
    .option('--backend <name>', 'virtualization extension that the hypervisor uses: vmx (default) or svm')
    .option('--bare', 'no hypervisor: the image runs on the physical machine, in root mode')
    .option('--cpu <model>', 'CPU that the guest sees, like intel or intel-vmx,-pcid (default: intel; amd with --backend svm)')
    .option('--kvm', "show the guest KVM's CPUID leaves and paravirtual clock (default: no hypervisor is to be seen)")
    .option('--iommu', "an IOMMU, as the CPU's vendor makes it: VT-d or AMD-Vi")
    .option(
      '--device <device>',
      'isa-debug-exit[,iobase=0xf4][,iosize=4] (the defaults), edu, virtio-rng, virtio-console,chardev=file:PATH|unix:PATH; may be repeated',
      collect,
    )
    .option('--drive <file>', 'a disk: FILE[,if=nvme|virtio][,readonly], a raw image; may be repeated', collect)
    .option('--assign <device>', 'make a disk or device a physical one behind an IOMMU, and give it to the VM: nvme0 (the first NVMe disk), edu0', collect)
    .option('--snapshot-disk', 'what the guest writes to its disks is thrown away at the end')
    .option('--serial <target>', 'where the serial port goes: stdio (default), none, file:PATH, unix:PATH')
    .option('--stats', 'print a table of VM exits at the end')
    .option('--json', 'print one JSON object instead of console output and tables')
    .option('--max-instructions <n>', 'end after so many ticks of virtual time (a retired instruction is one)')
    .option('--timeout <seconds>', 'end after so much wall time')
    .option('--seed <n>', 'placement of guest memory on the host, and random numbers (default: 0)')
    .option('--rtc <time>', 'what the clock shows at the start: a date, @SECONDS, or now (default: 2026-01-01)')
    .option('--type <file>', 'type for the user: lines of "expected text -> bytes\\n"')
    .option('--gdb <address>', 'let GDB connect: HOST:PORT, PORT (this computer only), or unix:FILE')
    .option('-S, --wait', 'with --gdb: stand still until a debugger says so')
    .option('--record <file>', 'write what comes in from outside, and when, so that replay can repeat the run and compare it')
    .option('--trace <file>', 'write every VM exit to a file: .ndjson, .json (ui.perfetto.dev), .txt (as trace-cmd), .parquet')
    .option('--trace-format <format>', 'ndjson, perfetto, kvm or parquet, whatever the file is called')
    .option('--check-vmcb', 'AMD-V: say which VMCB fields were changed although their clean bit is set')
    .option('--format <format>', 'auto (default), flat32 or flat64')
    .option('--log-level <level>', 'silent, error, warn (default), info, debug')
    .addHelpText('after', () => `\nOn a terminal:\n${KEY_HELP.map((line) => `  ${line}`).join('\n')}\n\n${exitCodeTable()}`)
    .action(async (image: string, raw: Record<string, unknown>) => {
      const options = checkRunOptions({ ...raw, image });
      finish(await runCommand(options, io, createLogger(options.logLevel), createRunner));
    });
}

/** The options that make a machine, which commands other than run take too. */
function machineOptions(command: Command): Command {
  return command
    .argument('<image>', 'the image file')
    .option('--initrd <file>', 'initial ramdisk')
    .option('--module <file-and-arguments>', 'a boot module (PVH, multiboot); may be repeated', collect)
    .option('--append <text>', 'kernel command line')
    .option('--memory <size>', 'RAM of the guest, like 512M or 1G (default: 256M)')
    .option('--backend <name>', 'virtualization extension that the hypervisor uses: vmx (default) or svm')
    .option('--bare', 'no hypervisor: the image runs on the physical machine, in root mode')
    .option('--cpu <model>', 'CPU that the guest sees, like intel or intel-vmx,-pcid (default: intel; amd with --backend svm)')
    .option('--kvm', "show the guest KVM's CPUID leaves and paravirtual clock")
    .option('--iommu', "an IOMMU, as the CPU's vendor makes it: VT-d or AMD-Vi")
    .option('--device <device>', 'isa-debug-exit[,iobase=0xf4][,iosize=4] (the defaults), edu or virtio-rng; may be repeated', collect)
    .option('--drive <file>', 'a disk: FILE[,if=nvme|virtio][,readonly]; what the guest writes is thrown away', collect)
    .option('--assign <device>', 'a disk or device that is a physical one behind an IOMMU, given to the VM: nvme0, edu0', collect)
    .option('--seed <n>', 'placement of guest memory on the host, and random numbers (default: 0)')
    .option('--rtc <time>', 'what the clock shows at the start: a date, @SECONDS, or now (default: 2026-01-01)')
    .option('--format <format>', 'auto (default), flat32 or flat64')
    .option('--type <file>', 'type for the user: lines of "expected text -> bytes\\n"');
}

function addDebugCommand(program: Command, io: Io, finish: (code: number) => void): void {
  machineOptions(program.command('debug'))
    .description('step an image through instructions and VM exits, forward and backward; or a recording, or a snapshot, in its place')
    .option('--symbols <file>', 'an ELF file with a symbol table (like vmlinux), or a System.map')
    .option('--script <file>', 'commands, one a line, instead of a prompt')
    .option('-c, --command <line>', 'a command, instead of a prompt; may be repeated', collect)
    .option('--json', 'one JSON object a command')
    .option('--snapshots <MiB>', 'memory that the snapshots for going back may hold (default: 512)')
    .action(async (image: string, raw: Record<string, unknown>) => {
      finish(await debugCommand(checkDebugOptions({ ...raw, image }), io));
    });
}

function addDapCommand(program: Command, io: Io, finish: (code: number) => void): void {
  program
    .command('dap')
    .description('the debugger for editors: the Debug Adapter Protocol on stdin and stdout')
    .option('--port <n>', 'listen on a port of this computer instead; 0 takes any that is free')
    .action(async (raw: { port?: string }) => finish(await dapCommand(checkDapOptions(raw), io)));
}

function addReplayCommand(program: Command, io: Io, finish: (code: number) => void): void {
  program
    .command('replay')
    .description('repeat a run that run --record wrote, and name the first thing that is different')
    .argument('<log>', 'the recording')
    .option('--image <file>', 'the image, if it is not where it was')
    .option('--initrd <file>', 'the initial ramdisk, if it is not where it was')
    .option('--console', 'show the console of the guest')
    .option('--json', 'print one JSON object')
    .action(async (log: string, raw: { image?: string; initrd?: string; console?: boolean; json?: boolean }) => {
      finish(await replayCommand({ ...raw, log, console: raw.console === true, json: raw.json === true }, io));
    });
}

function addStatsCommand(program: Command, io: Io): void {
  program
    .command('stats')
    .description('sum up a trace that run --trace FILE.ndjson wrote: counts, instructions between exits, hottest addresses')
    .argument('<trace>', 'the trace file')
    .option('--symbols <file>', "the guest kernel's System.map (or /proc/kallsyms), to name addresses")
    .option('--top <n>', 'how many addresses to name', '10')
    .option('--json', 'print one JSON object')
    .action(async (trace: string, raw: { symbols?: string; top: string; json?: boolean }) => {
      const top = Number(raw.top);
      if (!Number.isInteger(top) || top < 1) throw new UserError(`--top ${raw.top}: not a positive whole number`);
      await statsCommand({ trace, symbols: raw.symbols, top, json: raw.json === true }, (text) => void io.stdout.write(text));
    });
}

export function createProgram(io: Io, createRunner: CreateRunner, finish: (code: number) => void): Command {
  const program = new Command('vmexit')
    .description('A hardware-assisted hypervisor, and the x86-64 machine with VT-x under it')
    .version(version, '--version', 'print the version')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      outputError: (text, write) =>
        write(
          text
            .replace(/^error: /, 'vmexit: ')
            .replace(/(unknown command .*)\n$/, `$1; there are ${program.commands.map((c) => c.name()).join(', ')}: see vmexit --help\n`),
        ),
    });
  addRunCommand(program, io, createRunner, finish);
  addDebugCommand(program, io, finish);
  addDapCommand(program, io, finish);
  addReplayCommand(program, io, finish);
  addStatsCommand(program, io);
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

/** Runs a command line (without node and script) and answers the process status. */
export async function main(args: readonly string[], io: Io, createRunner: CreateRunner): Promise<number> {
  let code = 0;
  try {
    await createProgram(io, createRunner, (c) => (code = c)).parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    // Commander has printed its message already; help and version are not errors.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_CODES.usage.code;
    if (error instanceof UserError) {
      io.stderr.write(`vmexit: ${error.message}\n`);
      return EXIT_CODES.usage.code;
    }
    io.stderr.write(`vmexit: internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return EXIT_CODES.internal.code;
  }
}
