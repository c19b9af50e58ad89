/** The disks of the command line: those of the library, and what is wrong with them told as everything else that is. */
import { DiskError } from '../library/disk-error';
import { openDisks, type DiskObserver, type OpenDisks } from '../library/disk-image';
import type { DriveOption } from './drive-option';
import { UserError } from './user-error';

/** As openDisks(). Throws UserError. */
export function openDrives(options: readonly DriveOption[], throwAway: boolean, observe?: DiskObserver): OpenDisks {
  try {
    return openDisks(options, throwAway, observe);
  } catch (error) {
    if (error instanceof DiskError) throw new UserError(error.message);
    throw error;
  }
}
