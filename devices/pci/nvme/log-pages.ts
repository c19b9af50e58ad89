/** Log pages: NVM Express Base Specification 1.4, "Get Log Page command". */
import type { Stateful } from '../../../memory/stateful';
import { ERROR_LOG_ENTRIES, FIRMWARE, putAscii } from './identify';
import { statusField, type StatusCode } from './status';

export const LogPage = { ERROR_INFORMATION: 0x01, SMART: 0x02, FIRMWARE_SLOT: 0x03, COMMANDS_SUPPORTED: 0x05 } as const;

const ERROR_ENTRY = 64;
/** A room's temperature, in kelvins. */
const TEMPERATURE = 298;
const AVAILABLE_SPARE = 100;
const SPARE_THRESHOLD = 10;
/** "Reported in thousands" of 512-byte units, rounded up. */
const DATA_UNIT = 512 * 1000;
/** "A value of FFFFh indicates that the error is not specific to a particular parameter". */
const NO_PARAMETER = 0xffff;
/** CSUPP, and LBCC for what changes logical blocks. */
const Effect = { SUPPORTED: 0x1, CHANGES_BLOCKS: 0x2 } as const;

/** What one command did wrong. */
export interface FailedCommand {
  readonly submissionQueue: number;
  readonly cid: number;
  readonly status: StatusCode;
  /** First logical block, 0 for commands without. */
  readonly lba: number;
  readonly nsid: number;
}

export interface SmartCounters {
  bytesRead: number;
  bytesWritten: number;
  reads: number;
  writes: number;
  mediaErrors: number;
}

export interface LogsState {
  counters: SmartCounters;
  errorCount: number;
  errors: FailedCommand[];
}

/** One row of the commands that are supported. */
export interface SupportedCommand {
  readonly opcode: number;
  readonly changesBlocks: boolean;
}

export class Logs implements Stateful<LogsState> {
  counters: SmartCounters = { bytesRead: 0, bytesWritten: 0, reads: 0, writes: 0, mediaErrors: 0 };
  private errorCount = 0;
  /** Latest first. */
  private errors: FailedCommand[] = [];

  failed(command: FailedCommand): void {
    this.errorCount++;
    this.errors = [command, ...this.errors].slice(0, ERROR_LOG_ENTRIES);
  }

  errorInformation(): Uint8Array {
    const bytes = new Uint8Array(ERROR_ENTRY * ERROR_LOG_ENTRIES);
    const view = new DataView(bytes.buffer);
    this.errors.forEach(({ submissionQueue, cid, status, lba, nsid }, i) => {
      const at = i * ERROR_ENTRY;
      view.setBigUint64(at, BigInt(this.errorCount - i), true);
      view.setUint16(at + 8, submissionQueue, true);
      view.setUint16(at + 10, cid, true);
      view.setUint16(at + 12, statusField(status) << 1, true);
      view.setUint16(at + 14, NO_PARAMETER, true);
      view.setBigUint64(at + 16, BigInt(lba), true);
      view.setUint32(at + 24, nsid, true);
    });
    return bytes;
  }

  smart(): Uint8Array {
    const bytes = new Uint8Array(512);
    const view = new DataView(bytes.buffer);
    const { bytesRead, bytesWritten, reads, writes, mediaErrors } = this.counters;
    view.setUint16(1, TEMPERATURE, true);
    bytes[3] = AVAILABLE_SPARE;
    bytes[4] = SPARE_THRESHOLD;
    const count = (offset: number, value: number): void => view.setBigUint64(offset, BigInt(value), true);
    count(32, Math.ceil(bytesRead / DATA_UNIT));
    count(48, Math.ceil(bytesWritten / DATA_UNIT));
    count(64, reads);
    count(80, writes);
    count(112, 1); // power cycles
    count(160, mediaErrors);
    count(176, this.errorCount);
    return bytes;
  }

  saveState(): LogsState {
    return { counters: { ...this.counters }, errorCount: this.errorCount, errors: [...this.errors] };
  }

  restoreState({ counters, errorCount, errors }: LogsState): void {
    this.counters = { ...counters };
    this.errorCount = errorCount;
    this.errors = [...errors];
  }
}

/** The active slot is 1, and holds the only firmware. */
export function firmwareSlots(): Uint8Array {
  const bytes = new Uint8Array(512);
  bytes[0] = 1;
  putAscii(bytes, 8, 8, FIRMWARE);
  return bytes;
}

/** Admin commands in the first KiB, I/O commands in the second, a dword each. */
export function commandEffects(admin: readonly SupportedCommand[], io: readonly SupportedCommand[]): Uint8Array {
  const bytes = new Uint8Array(4096);
  const mark = (at: number, { opcode, changesBlocks }: SupportedCommand): void =>
    void (bytes[at + 4 * opcode] = Effect.SUPPORTED | (changesBlocks ? Effect.CHANGES_BLOCKS : 0));
  for (const command of admin) mark(0, command);
  for (const command of io) mark(1024, command);
  return bytes;
}
