import type { ExitRow } from './exit-row';

/** Where a trace goes. Rows come in order; nothing may be written after close(). */
export interface TraceSink {
  write(row: ExitRow): void;
  /** Completes the file: formats with an end need it. */
  close(): Promise<void>;
}

/** A file, as far as sinks write one. */
export interface TraceOutput {
  write(data: string | Uint8Array): void;
}
