/** Writes an initramfs (newc cpio, gzip) with a static busybox and an /init that prints a marker and starts a shell on the serial port. */
import { readFileSync, writeFileSync } from 'node:fs';
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

const [busybox, output] = process.argv.slice(2);
if (output === undefined) throw new Error('usage: make-initramfs BUSYBOX OUTPUT');
for (const d of ['bin', 'dev', 'proc', 'sys', 'tmp']) entry(d, DIRECTORY);
entry('dev/console', CHARACTER, undefined, 5, 1);
entry('dev/ttyS0', CHARACTER, undefined, 4, 64);
entry('bin/busybox', FILE, readFileSync(busybox));
entry('init', FILE, Buffer.from(INIT));
entry('TRAILER!!!', 0);
writeFileSync(output, gzipSync(Buffer.concat(chunks), { level: 9 }));
