/** vmexit itself, by backend. Each measurement is a process of its own (child.ts), so that none warms the next one up. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { GuestConfig } from '../hypervisor/guest';
import type { BootRow, Engine, LoopRow } from './measurement';
import { BENCH_GUEST, INITRD, KERNEL, KERNEL_COMMAND_LINE, MARKER } from './workload';

/** The results a child printed. Throws Error, with what it said, if it failed. */
export function child<T>(args: readonly string[], nodeOptions: readonly string[] = []): Promise<T[]> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [...nodeOptions, join(__dirname, 'child.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, complaints] = ['', ''];
    process_.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    process_.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
    process_.on('error', reject);
    process_.on('close', (code) => {
      if (code === 0) resolve(out.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as T])));
      else reject(new Error(/^.*Error.*$/m.exec(complaints)?.[0] ?? `it ended with status ${code}`));
    });
  });
}

export const bootArguments = (backend: GuestConfig['backend']): string[] => ['boot', backend, KERNEL, INITRD, KERNEL_COMMAND_LINE, MARKER];

export function vmexitEngine(backend: GuestConfig['backend'], title: string): Engine {
  return {
    id: backend,
    title,
    ours: true,
    missing: () => undefined,
    version: () => `Node ${process.version}`,
    loops: (quick) => child<LoopRow>(['loops', backend, BENCH_GUEST, quick ? 'quick' : '']),
    boot: async () => (await child<BootRow>(bootArguments(backend)))[0],
  };
}
