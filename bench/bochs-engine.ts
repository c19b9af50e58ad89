/** Bochs: boots from a disk through its BIOS. Debian's build has the debugger, so it is told to continue. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { linuxDisk, pvhDisk } from './bios-disk';
import { commandExists, emulatorBoot, emulatorLoops, firstLine, type EmulatorCommand } from './emulator-process';
import type { Engine } from './measurement';
import { BENCH_GUEST, CACHE, IMAGE_ENTERED, INITRD, KERNEL, KERNEL_COMMAND_LINE, MEMORY_MIB } from './workload';

const BOCHS = 'bochs';
const MEMORY_BYTES = MEMORY_MIB << 20;
/** Bochs' own BIOS first: its tables describe Bochs' board. */
const BIOSES = ['/usr/share/bochs/BIOS-bochs-latest', '/usr/share/seabios/bios.bin'];
const VIDEO_BIOSES = ['/usr/share/bochs/VGABIOS-lgpl-latest', '/usr/share/vgabios/vgabios.bin', '/usr/share/seabios/vgabios-stdvga.bin'];
const firstThatExists = (paths: readonly string[]): string | undefined => paths.find((path) => existsSync(path));

/**
 * A processor whose features are near those of our default profile. Bochs' virtual time is told in instructions a second, and the kernel's
 * waits cost as many instructions as that makes them: 4 million, Bochs' default, boots about fastest (50 million takes twice the time).
 */
const PROCESSOR = { model: 'corei5_arrandale_m520', instructionsASecond: 4_000_000 };

/** Writes disk and configuration into the cache. `name` keeps two runs apart. */
function prepare(name: string, disk: Buffer): EmulatorCommand {
  mkdirSync(CACHE, { recursive: true });
  const file = (extension: string): string => join(CACHE, `bochs-${name}.${extension}`);
  // A run that was killed leaves the lock of its disk behind.
  rmSync(`${file('img')}.lock`, { force: true });
  writeFileSync(file('img'), disk);
  writeFileSync(file('serial'), '');
  writeFileSync(file('commands'), 'continue\n');
  writeFileSync(
    file('bochsrc'),
    `cpu: model=${PROCESSOR.model}, count=1, ips=${PROCESSOR.instructionsASecond}, reset_on_triple_fault=0
memory: guest=${MEMORY_MIB}, host=${MEMORY_MIB}
romimage: file=${firstThatExists(BIOSES)}
vgaromimage: file=${firstThatExists(VIDEO_BIOSES)}
ata0-master: type=disk, path="${file('img')}", mode=flat
boot: disk
display_library: rfb, options="timeout=0"
com1: enabled=1, mode=file, dev="${file('serial')}"
log: ${file('log')}
panic: action=report
error: action=ignore
info: action=ignore
debug: action=ignore
speaker: enabled=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
clock: sync=none
`,
  );
  return { command: BOCHS, args: ['-q', '-f', file('bochsrc'), '-rc', file('commands')], serialFile: file('serial'), startLine: IMAGE_ENTERED };
}

function missing(): string | undefined {
  if (!commandExists(BOCHS)) return 'bochs is not installed (apt-get install bochs bochsbios vgabios)';
  if (firstThatExists(BIOSES) === undefined || firstThatExists(VIDEO_BIOSES) === undefined) return 'no BIOS for Bochs (apt-get install bochsbios vgabios)';
  if (!commandExists('as') || !commandExists('ld')) return 'its boot sector needs as and ld (apt-get install binutils)';
  return undefined;
}

export const BOCHS_DEBIAN: Engine = {
  id: 'bochs',
  title: 'Bochs',
  ours: false,
  missing,
  version: () => firstLine(BOCHS, ['--help', 'cpu'], /Bochs x86 Emulator \S+/).replace('x86 Emulator ', ''),
  loops: (quick) => emulatorLoops(prepare('loops', pvhDisk(readFileSync(BENCH_GUEST), quick ? 'quick' : '', MEMORY_BYTES))),
  boot: () => emulatorBoot(prepare('boot', linuxDisk(readFileSync(KERNEL), readFileSync(INITRD), KERNEL_COMMAND_LINE, MEMORY_BYTES))),
};
