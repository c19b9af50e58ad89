/** The bundled guests on an outside machine: what they print there is what they must print everywhere. */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { planBoot } from '../../guests/boot/plan';
import { readFileSync } from 'node:fs';
import { options } from './boot/sample-images';

const path = (name: string): string => join(__dirname, `../../guests/bundled/${name}/${name}.elf`);
const has = (tool: string): boolean => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status === 0;
const withQemu = has('qemu-system-x86_64') ? describe : describe.skip;

/** Serial output on QEMU; throws if the guest does not power off. */
function qemu(name: string, append = ''): string {
  const args = ['-kernel', path(name), '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot', '-m', '256', '-append', append];
  return execFileSync('qemu-system-x86_64', args, { timeout: 50_000, encoding: 'latin1', stdio: ['ignore', 'pipe', 'pipe'] });
}

test.each(['hello', 'tour', 'bench'])('%s boots through its PVH note', (name) => {
  expect(planBoot(readFileSync(path(name)), options())).toMatchObject({ format: 'pvh', entry: { mode: 'protected32' } });
});

test.each(['hello', 'tour', 'bench'])('%s can be entered in 64-bit mode too', (name) => {
  expect(planBoot(readFileSync(path(name)), options({ format: 'elf64' }))).toMatchObject({ format: 'elf64', entry: { mode: 'long64' } });
});

withQemu('on QEMU', () => {
  test('hello', () => {
    expect(qemu('hello', 'a b')).toContain('Hello from 64-bit long mode.\r\ncommand line: a b\r\n');
  });

  test('tour comes to its end', () => {
    const output = qemu('tour');
    for (const line of [
      'UD2: #UD',
      'INT3: #BP',
      '1 / 0: #DE',
      'write to 400000001238: #PF, error code 2, CR2 400000001238',
      'local APIC timer: woken 3 times',
      '16 pages touched',
      'good-bye',
    ]) {
      expect(output).toContain(line);
    }
  });

  test('bench prints the right check values', () => {
    const rows = new Map(
      qemu('bench', 'quick')
        .split('\r\n')
        .map((line) => line.trim().split(/\s+/))
        .filter((cells) => cells.length === 4 && /^\d+$/.test(cells[1]))
        .map(([name, count, check]) => [name, { count: Number(count), check: BigInt(`0x${check}`) }]),
    );
    const wrap = (n: bigint): bigint => BigInt.asUintN(64, n);
    const expected: Record<string, (count: number) => bigint> = {
      fib: (n) => {
        let [a, b] = [0n, 1n];
        for (let i = 0; i < n; i++) [a, b] = [b, a + b];
        return a;
      },
      // 1^2 + 2^2 + ... + n^2
      bytecode: (n) => wrap((BigInt(n) * BigInt(n + 1) * BigInt(2 * n + 1)) / 6n),
      xorshift: (n) => {
        let x = 88172645463325252n;
        for (let i = 0; i < n; i++) {
          x = wrap(x ^ (x << 13n));
          x ^= x >> 7n;
          x = wrap(x ^ (x << 17n));
        }
        return x;
      },
      crc32: (n) => BigInt(crc32(Buffer.from(Array.from({ length: n }, (_, i) => (i % 0x1_0000) % 251)))),
      sieve: (n) => {
        const composite = new Uint8Array(n);
        let primes = 0n;
        for (let i = 2; i < n; i++) {
          if (composite[i]) continue;
          primes++;
          for (let m = i * i; m < n; m += i) composite[m] = 1;
        }
        return primes;
      },
      'page-fault': (n) => (BigInt(n) * BigInt(n - 1)) / 2n,
      syscall: BigInt,
      interrupt: BigInt,
      'port-io': (n) => BigInt(n) * 0x60n,
      cpuid: BigInt,
      cr3: BigInt,
      'self-modifying': (n) => (BigInt(n) * BigInt(n - 1)) / 2n,
    };
    for (const [name, value] of Object.entries(expected)) {
      const row = rows.get(name);
      expect([name, row?.check]).toEqual([name, value(row?.count ?? 0)]);
    }
    expect(rows.size).toBe(19);
  });
});
