/** `--trace FILE`: a sink of trace/ behind an observer, and the file behind the sink. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { rowOf } from '../hypervisor/trace-row';
import type { VcpuObserver } from '../hypervisor/vcpu';
import { formatOfName, TRACE_FORMATS, type TraceFormat } from '../trace/formats';
import type { TraceOutput } from '../trace/sink';
import { fileError, UserError } from './user-error';

const BUFFER_SIZE = 1 << 16;

export interface TraceFile {
  readonly observer: VcpuObserver;
  close(): Promise<void>;
}

/** @throws UserError if the format is not to be seen or the file cannot be written. */
export function openTraceFile(path: string, formatName?: string): TraceFile {
  const format = chooseFormat(path, formatName);
  let file: number;
  try {
    file = openSync(path, 'w');
  } catch (error) {
    throw fileError(error, 'write the trace to', path);
  }
  const output = new FileOutput(file);
  const sink = format.open(output);
  return {
    observer: {
      exit: (record, information) => sink.write(rowOf(record), information),
      entering: sink.enter && ((rip, ticks) => sink.enter!({ vcpu: 0, ticks, rip })),
    },
    close: async () => {
      await sink.close();
      output.close();
    },
  };
}

function chooseFormat(path: string, name: string | undefined): TraceFormat {
  const format = name === undefined ? formatOfName(path) : TRACE_FORMATS.find((f) => f.name === name);
  if (format !== undefined) return format;
  const known = TRACE_FORMATS.map((f) => `${f.name} (${f.endings.join(', ')})`).join('; ');
  throw new UserError(
    name === undefined
      ? `--trace ${path}: the name does not say which format; give --trace-format, or one of these endings: ${known}`
      : `--trace-format ${name}: not one of ${known}`,
  );
}

/** Text is collected, so that a row costs no system call. */
class FileOutput implements TraceOutput {
  private pending: string[] = [];
  private size = 0;
  constructor(private readonly file: number) {}

  write(data: string | Uint8Array): void {
    if (typeof data !== 'string') {
      this.flush();
      return this.writeAll(data);
    }
    this.pending.push(data);
    this.size += data.length;
    if (this.size >= BUFFER_SIZE) this.flush();
  }
  private flush(): void {
    if (this.size === 0) return;
    this.writeAll(Buffer.from(this.pending.join(''), 'utf8'));
    this.pending = [];
    this.size = 0;
  }
  private writeAll(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) done += writeSync(this.file, bytes, done);
  }
  close(): void {
    this.flush();
    closeSync(this.file);
  }
}
