/** What is measured: images, command lines, how progress is seen. The same for every engine. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Of the package: benchmarks run from dist/, and the compiler copies no assembly there. */
export const ROOT = join(__dirname, existsSync(join(__dirname, 'boot-sector.S')) ? '..' : '../..');
/** Where generated disks, logs and profiles go. */
export const CACHE = join(ROOT, '.cache/bench');
export const BENCH_GUEST = join(ROOT, 'guests/bundled/bench/bench.elf');
export const KERNEL = join(ROOT, '.cache/guests/vmlinuz');
export const INITRD = join(ROOT, '.cache/guests/initramfs.cpio.gz');
export const KERNEL_COMMAND_LINE = 'console=ttyS0 panic=-1 nokaslr cryptomgr.notests';
/** The initial ramdisk prints it from user space. */
export const MARKER = 'vmexit: user space reached';
export const MEMORY_MIB = 256;

/** A row of the bench guest: name, count, check value, time stamp counter ticks. */
const ROW = /^(\S+) +(\d+) +([0-9a-f]+) +(\d+)\s*$/;

export function readRow(line: string): { readonly name: string; readonly count: number; readonly check: string } | undefined {
  const m = ROW.exec(line.trim());
  return m ? { name: m[1], count: Number(m[2]), check: m[3] } : undefined;
}

/** The bench guest prints it behind its last row. */
export const END_OF_ROWS = 'end of the rows';
/** boot-sector.S prints it when BIOS and loader are done. */
export const IMAGE_ENTERED = 'bench: entering the image';

/** Rows whose unit is one round trip: into a handler and back, or to a device. */
export const ROUND_TRIPS: ReadonlyMap<string, string> = new Map([
  ['cpuid', 'CPUID (a VM exit in a VM)'],
  ['port-io', 'IN from the serial port'],
  ['port-out', 'OUT to a port without a device'],
  ['mmio', 'load from the I/O APIC'],
  ['page-fault', '#PF, handler, IRET'],
  ['interrupt', 'INT 80h from CPL 3, IRET'],
  ['syscall', 'SYSCALL, SYSRET'],
  ['cr3', 'MOV CR3 and a load'],
  ['self-modifying', 'store into code, call it'],
]);
