import type { DriveConfig } from '../hypervisor/pci-functions';
import { UserError } from './user-error';

export interface DriveOption {
  readonly path: string;
  readonly kind: DriveConfig['kind'];
  readonly readOnly: boolean;
}

const KINDS: ReadonlyMap<string, DriveConfig['kind']> = new Map([
  ['nvme', 'nvme'],
  ['virtio', 'virtio-blk'],
]);

/** `FILE[,if=nvme|virtio][,readonly]`; a comma in the name of the file is written twice. Throws UserError. */
export function parseDrive(text: string): DriveOption {
  const [path, ...properties] = text.split(/(?<!,),(?!,)/).map((part) => part.replaceAll(',,', ','));
  if (path === '') throw new UserError(`--drive ${text}: give the file of the disk first, like disk.img,if=virtio`);
  let kind: DriveConfig['kind'] = 'nvme';
  let readOnly = false;
  for (const property of properties) {
    const named = property.startsWith('if=') ? KINDS.get(property.slice(3)) : undefined;
    if (named !== undefined) kind = named;
    else if (property === 'readonly') readOnly = true;
    else throw new UserError(`--drive ${text}: "${property}" is not understood; give if=nvme (the default), if=virtio, readonly`);
  }
  return { path, kind, readOnly };
}
