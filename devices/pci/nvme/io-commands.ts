/** NVM command set: NVM Express Base Specification 1.4, "NVM Command Set". One namespace, number 1, of 512-byte blocks. */
import { SECTOR, zeroRange } from '../../block-backend';
import { blockRange, type NvmeCommand } from './command';
import { done, SUCCESS, type CommandHandler, type CommandOutcome, type ControllerParts } from './controller-parts';
import { MAX_TRANSFER } from './identify';
import { Status, type StatusCode } from './status';

export const NAMESPACE = 1;
export const ALL_NAMESPACES = 0xffff_ffff;
/** Force Unit Access. */
const FUA = 0x4000_0000;
const DSM_RANGE = 16;
/** Attribute - Deallocate (AD), in dword 11. */
const DEALLOCATE = 0x4;
const TWO32 = 0x1_0000_0000;

/** Bytes of the namespace that a command names, or why it may not. `limited`: it transfers data, so that MDTS counts. */
function rangeOf({ backend }: ControllerParts, command: NvmeCommand, limited: boolean): { offset: number; length: number } | StatusCode {
  const { first, count } = blockRange(command);
  if (limited && count * SECTOR > MAX_TRANSFER) return Status.INVALID_FIELD;
  if (first + count > backend.size / SECTOR) return Status.LBA_OUT_OF_RANGE;
  return { offset: first * SECTOR, length: count * SECTOR };
}

/** What a write needs besides its data: with the cache off, or FUA, it is durable before it completes. */
function settle({ features, backend }: ControllerParts, { cdw12 }: NvmeCommand): CommandOutcome {
  if (features.writeCacheEnabled && (cdw12 & FUA) === 0) return SUCCESS;
  return backend.flush() ? SUCCESS : done(Status.WRITE_FAULT);
}

function flush({ backend }: ControllerParts): CommandOutcome {
  return backend.flush() ? SUCCESS : done(Status.WRITE_FAULT);
}

function write(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const range = rangeOf(parts, command, true);
  if (typeof range === 'number') return done(range);
  if (parts.backend.readOnly) return done(Status.NAMESPACE_WRITE_PROTECTED);
  const bytes = parts.fromHost(command, range.length);
  if (typeof bytes === 'number') return done(bytes);
  const { counters } = parts.logs;
  counters.writes++;
  counters.bytesWritten += range.length;
  return parts.backend.write(range.offset, bytes) ? settle(parts, command) : done(Status.WRITE_FAULT);
}

function read(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const range = rangeOf(parts, command, true);
  if (typeof range === 'number') return done(range);
  const bytes = parts.backend.read(range.offset, range.length);
  if (bytes === undefined) return done(Status.UNRECOVERED_READ_ERROR);
  const { counters } = parts.logs;
  counters.reads++;
  counters.bytesRead += range.length;
  return done(parts.toHost(command, bytes));
}

function compare(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const range = rangeOf(parts, command, true);
  if (typeof range === 'number') return done(range);
  const wanted = parts.fromHost(command, range.length);
  if (typeof wanted === 'number') return done(wanted);
  const stored = parts.backend.read(range.offset, range.length);
  if (stored === undefined) return done(Status.UNRECOVERED_READ_ERROR);
  parts.logs.counters.reads++;
  return stored.every((byte, i) => byte === wanted[i]) ? SUCCESS : done(Status.COMPARE_FAILURE);
}

function writeZeroes(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const range = rangeOf(parts, command, false);
  if (typeof range === 'number') return done(range);
  if (parts.backend.readOnly) return done(Status.NAMESPACE_WRITE_PROTECTED);
  return zeroRange(parts.backend, range.offset, range.length) ? settle(parts, command) : done(Status.WRITE_FAULT);
}

/**
 * Deallocated blocks read as zeroes (DLFEAT), so zeroes are what they become; the other attributes are hints, which a store does not take.
 * All ranges are checked before the first changes.
 */
function datasetManagement(parts: ControllerParts, command: NvmeCommand): CommandOutcome {
  const { backend, features } = parts;
  const bytes = parts.fromHost(command, ((command.cdw10 & 0xff) + 1) * DSM_RANGE);
  if (typeof bytes === 'number') return done(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ranges: { first: number; count: number }[] = [];
  for (let at = 0; at < bytes.length; at += DSM_RANGE) {
    const [first, count] = [view.getUint32(at + 12, true) * TWO32 + view.getUint32(at + 8, true), view.getUint32(at + 4, true)];
    if (first + count > backend.size / SECTOR) return done(Status.LBA_OUT_OF_RANGE);
    ranges.push({ first, count });
  }
  if ((command.cdw11 & DEALLOCATE) === 0) return SUCCESS;
  if (backend.readOnly) return done(Status.NAMESPACE_WRITE_PROTECTED);
  if (!ranges.every(({ first, count }) => zeroRange(backend, first * SECTOR, count * SECTOR))) return done(Status.WRITE_FAULT);
  return features.writeCacheEnabled ? SUCCESS : flush(parts);
}

const FLUSH = 0x00;

export const IO_COMMANDS: ReadonlyMap<number, CommandHandler> = new Map([
  [FLUSH, { name: 'Flush', execute: flush }],
  [0x01, { name: 'Write', changesBlocks: true, execute: write }],
  [0x02, { name: 'Read', execute: read }],
  [0x05, { name: 'Compare', execute: compare }],
  [0x08, { name: 'Write Zeroes', changesBlocks: true, execute: writeZeroes }],
  [0x09, { name: 'Dataset Management', changesBlocks: true, execute: datasetManagement }],
]);

/** Is the namespace of an I/O command one that it may name? Flush may name all. */
export function ioNamespaceValid({ opcode, nsid }: NvmeCommand): boolean {
  return nsid === NAMESPACE || (nsid === ALL_NAMESPACES && opcode === FLUSH);
}
