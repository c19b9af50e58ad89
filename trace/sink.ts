import type { EntryRow, ExitInformation, ExitRow } from './exit-row';

/** Where a trace goes. Rows come in order; nothing may be written after close(). */
export interface TraceSink {
  /** @param information can be called until this returns. */
  write(row: ExitRow, information: () => ExitInformation): void;
  /** The guest is about to be entered; formats that have entries of their own take it. */
  enter?(row: EntryRow): void;
  /** Completes the file: formats with an end need it. */
  close(): Promise<void>;
}

/** A file, as far as sinks write one. */
export interface TraceOutput {
  write(data: string | Uint8Array): void;
}
