/**
 * Writes an initramfs (newc cpio, gzip) with a static busybox and an /init that prints a marker and starts a shell on the serial port. With
 * a folder of kernel modules and names it also holds those modules and what they depend on, which /init loads.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev 2>/dev/null
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ PS1='guest# '
echo "vmexit: user space reached"
exec /bin/busybox setsid /bin/busybox cttyhack /bin/sh
`;

const LOAD_MODULES = 'for m in $(cat /lib/modules/order); do insmod /lib/modules/$m.ko; done\n';

const DIRECTORY = 0o040755;
const FILE = 0o100755;
const CHARACTER = 0o020600;

const chunks: Buffer[] = [];
let inode = 1;

function entry(name: string, mode: number, data = Buffer.alloc(0), major = 0, minor = 0): void {
  const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length + 1, 0];
  const header = Buffer.from(`070701${fields.map((f) => f.toString(16).padStart(8, '0')).join('')}${name}\0`);
  chunks.push(pad(header), pad(data));
}
function pad(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}

/** The kernel takes - and _ in the name of a module for the same. */
const moduleName = (file: string): string => basename(file, '.ko').replaceAll('-', '_');

/** Modules by name with what they depend on before them, as their .modinfo says. */
function withDependencies(folder: string, names: readonly string[]): Map<string, Buffer<ArrayBuffer>> {
  const files = new Map(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ko'))
      .map((file) => [moduleName(file), join(folder, file)]),
  );
  const modules = new Map<string, Buffer<ArrayBuffer>>();
  const add = (name: string): void => {
    const file = files.get(name);
    if (file === undefined) throw new Error(`${folder} has no module ${name}`);
    if (modules.has(name)) return;
    const bytes = readFileSync(file);
    const depends = /\0depends=([^\0]*)\0/.exec(bytes.toString('latin1'))?.[1] ?? '';
    for (const other of depends.split(',').filter(Boolean)) add(moduleName(other));
    modules.set(name, bytes);
  };
  names.map(moduleName).forEach(add);
  return modules;
}

const [busybox, output, folder, ...names] = process.argv.slice(2);
if (output === undefined) throw new Error('usage: make-initramfs BUSYBOX OUTPUT [MODULE-FOLDER MODULE...]');
const modules = folder === undefined ? new Map<string, never>() : withDependencies(folder, names);
for (const d of ['bin', 'dev', 'proc', 'sys', 'tmp']) entry(d, DIRECTORY);
entry('dev/console', CHARACTER, undefined, 5, 1);
entry('dev/ttyS0', CHARACTER, undefined, 4, 64);
entry('bin/busybox', FILE, readFileSync(busybox));
if (modules.size > 0) {
  for (const d of ['lib', 'lib/modules']) entry(d, DIRECTORY);
  entry('lib/modules/order', FILE, Buffer.from(`${[...modules.keys()].join('\n')}\n`));
  for (const [name, bytes] of modules) entry(`lib/modules/${name}.ko`, FILE, bytes);
}
entry('init', FILE, Buffer.from(modules.size === 0 ? INIT : INIT.replace(/^echo/m, `${LOAD_MODULES}echo`)));
entry('TRAILER!!!', 0);
writeFileSync(output, gzipSync(Buffer.concat(chunks), { level: 9 }));
