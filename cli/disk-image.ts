/** The disks of the command line: those of the library, and what is wrong with them told as everything else that is. */
import { DiskError } from '../library/disk-error';
import { openDisks, type DiskObserver, type OpenDisks } from '../library/disk-image';
import type { Logger } from 'pino';
import type { DriveOption } from './drive-option';
import { UserError } from './user-error';

/** Tells, once for a disk and a kind of failure, what the host could not do: the guest hears only of an I/O error. */
export function failureTeller(tell: (message: string) => void): DiskObserver {
  const told = new Set<string>();
  return (event, path) => {
    if (event.kind !== 'failure') return;
    const message = `disk ${path}: ${event.request} failed: ${event.reason}; the guest is told of an I/O error`;
    if (told.has(message)) return;
    told.add(message);
    tell(message);
  };
}

/** Failures are warnings, and all that happens is in the trace. */
export function diskLog(log: Logger): DiskObserver {
  const tellFailure = failureTeller((message) => log.warn(message));
  if (!log.isLevelEnabled('trace')) return tellFailure;
  return (event, disk) => {
    tellFailure(event, disk);
    log.trace({ disk, ...event });
  };
}

/** As openDisks(). Throws UserError. */
export function openDrives(options: readonly DriveOption[], throwAway: boolean, observe?: DiskObserver): OpenDisks {
  try {
    return openDisks(options, throwAway, observe);
  } catch (error) {
    if (error instanceof DiskError) throw new UserError(error.message);
    throw error;
  }
}
