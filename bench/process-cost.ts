/** What a running process has cost so far, from /proc. Linux only. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const TICKS_A_SECOND = 100;

/** User and system CPU seconds of all threads of a process; 0 once it has gone. */
export function cpuSecondsOf(pid: number): number {
  try {
    const threads = `/proc/${pid}/task`;
    // Nanoseconds on a processor; /proc/PID/stat counts in hundredths of a second.
    if (existsSync(`${threads}/${pid}/schedstat`)) {
      return readdirSync(threads).reduce((sum, thread) => sum + Number(readFileSync(`${threads}/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e9, 0);
    }
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
  } catch {
    return 0;
  }
}

/** Peak resident memory in MiB; 0 once the process has gone. */
export function peakMiBOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}
