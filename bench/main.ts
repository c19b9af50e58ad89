/**
 * Benchmarks: `npm run bench [-- quick]`. Loops of the bundled `bench` guest, exit round trips, and the boot of Debian's cloud kernel
 * if scripts/fetch-guests.sh has prepared it, each in a process of its own, beside QEMU (TCG) where it is installed.
 * Read the ratios: machines are noisy, and everything compared was run in one go.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(__dirname, existsSync(join(__dirname, '../package.json')) ? '..' : '../..');
const BENCH = join(ROOT, 'guests/bundled/bench/bench.elf');
const KERNEL = join(ROOT, '.cache/guests/vmlinuz');
const INITRD = join(ROOT, '.cache/guests/initramfs.cpio.gz');
const COMMAND_LINE = 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests';
const MARKER = 'vmexit: user space reached';
const ROW = /^(\S+) +(\d+) +([0-9a-f]+) +(\d+)\s*$/;

interface Row {
  readonly name: string;
  readonly count: number;
  readonly seconds: number;
  readonly instructions?: number;
}

/** Runs a child and stamps each line of its output with the child's own time where it reports one, else wall time. */
function lines(command: string, args: readonly string[], onLine: (line: string, seconds: number) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const start = process.hrtime.bigint();
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const seconds = Number(process.hrtime.bigint() - start) / 1e9;
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const line = text.slice(0, end).replace(/\r/g, '');
        text = text.slice(end + 1);
        if (onLine(line, seconds)) child.kill();
      }
    });
    child.on('error', reject);
    child.on('close', () => resolve());
  });
}

/** The loops in vmexit: the child reports CPU seconds and instructions after each row. */
async function loops(backend: string, quick: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  await lines(process.execPath, [join(__dirname, 'child.js'), 'loops', backend, BENCH, quick ? 'quick' : ''], (line) => {
    if (line.startsWith('{')) rows.push(JSON.parse(line) as Row);
    return false;
  });
  return rows;
}

async function qemuLoops(quick: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  let last = 0;
  await lines(
    'qemu-system-x86_64',
    ['-kernel', BENCH, '-append', quick ? 'quick' : ' ', '-nographic', '-no-reboot', '-m', '256', '-net', 'none'],
    (line, seconds) => {
      const m = ROW.exec(line.trim());
      if (m) rows.push({ name: m[1], count: Number(m[2]), seconds: seconds - last });
      last = seconds;
      return false;
    },
  );
  return rows;
}

interface Boot {
  readonly wall: number;
  readonly cpu: number;
  readonly peakMiB: number;
  readonly instructions?: number;
  readonly exits?: number;
}

async function boot(backend: string): Promise<Boot> {
  let result: Boot | undefined;
  await lines(process.execPath, [join(__dirname, 'child.js'), 'boot', backend, KERNEL, INITRD, COMMAND_LINE, MARKER], (line) => {
    if (line.startsWith('{')) result = JSON.parse(line) as Boot;
    return false;
  });
  if (result === undefined) throw new Error(`the kernel did not reach its marker (${backend})`);
  return result;
}

/** QEMU is ended at the marker; its CPU time is read just before. */
async function qemuBoot(): Promise<Boot> {
  let wall = 0;
  const child = spawn(
    'qemu-system-x86_64',
    ['-kernel', KERNEL, '-initrd', INITRD, '-append', COMMAND_LINE, '-nographic', '-no-reboot', '-m', '256', '-net', 'none', '-machine', 'q35'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const start = process.hrtime.bigint();
  let cpu = 0;
  let text = '';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (wall === 0 && text.includes(MARKER)) {
        wall = Number(process.hrtime.bigint() - start) / 1e9;
        cpu = cpuSecondsOf(child.pid!);
        child.kill();
      }
    });
    child.on('close', () => resolve());
  });
  return { wall, cpu, peakMiB: 0 };
}

/** User and system CPU seconds of a process, from /proc (100 ticks a second). */
function cpuSecondsOf(pid: number): number {
  const stat = spawnSync('cat', [`/proc/${pid}/stat`]).stdout.toString();
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
const column = (text: string, width: number): string => text.padStart(width);

async function main(): Promise<void> {
  const quick = process.argv.includes('quick');
  const qemu = has('qemu-system-x86_64');
  const bare = await loops('bare', quick);
  const vmx = await loops('vmx', quick);
  const other = qemu ? await qemuLoops(quick) : [];
  process.stdout.write(
    `\n${'loop'.padEnd(18)}${column('MIPS bare', 11)}${column('MIPS vmx', 11)}${column('ns/op bare', 12)}${column('ns/op vmx', 12)}${column('QEMU TCG ns/op', 16)}${column('bare/QEMU time', 16)}\n`,
  );
  for (const b of bare) {
    const v = vmx.find((r) => r.name === b.name);
    const q = other.find((r) => r.name === b.name);
    const mips = (r: Row | undefined): string => (r === undefined || r.instructions === undefined ? '-' : (r.instructions / r.seconds / 1e6).toFixed(1));
    const ns = (r: Row | undefined): string => (r === undefined ? '-' : ((r.seconds / r.count) * 1e9).toFixed(1));
    process.stdout.write(
      `${b.name.padEnd(18)}${column(mips(b), 11)}${column(mips(v), 11)}${column(ns(b), 12)}${column(ns(v), 12)}${column(ns(q), 16)}${column(q ? (b.seconds / q.seconds).toFixed(2) : '-', 16)}\n`,
    );
  }
  const alu = bare.find((r) => r.name === 'alu');
  const cpuid = vmx.find((r) => r.name === 'cpuid');
  if (alu?.instructions !== undefined && cpuid) {
    process.stdout.write(
      `\nA CPUID exit round trip takes the time of ${((cpuid.seconds / cpuid.count) * (alu.instructions / alu.seconds)).toFixed(0)} ALU-loop instructions.\n`,
    );
  }
  if (!existsSync(KERNEL)) {
    process.stdout.write('\nNo kernel to boot: scripts/fetch-guests.sh prepares one.\n');
    return;
  }
  process.stdout.write(
    `\n${'Linux boot'.padEnd(18)}${column('wall s', 9)}${column('CPU s', 9)}${column('M instr', 9)}${column('exits', 10)}${column('peak MiB', 10)}\n`,
  );
  const boots: [string, Boot][] = [];
  for (const backend of ['bare', 'vmx']) boots.push([`vmexit ${backend}`, await boot(backend)]);
  if (qemu) boots.push(['QEMU TCG q35', await qemuBoot()]);
  for (const [name, r] of boots) {
    process.stdout.write(
      `${name.padEnd(18)}${column(r.wall.toFixed(2), 9)}${column(r.cpu.toFixed(2), 9)}${column(r.instructions === undefined ? '-' : (r.instructions / 1e6).toFixed(1), 9)}${column(String(r.exits ?? '-'), 10)}${column(r.peakMiB ? r.peakMiB.toFixed(0) : '-', 10)}\n`,
    );
  }
}

void main();
