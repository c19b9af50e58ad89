/** Which of the disks and devices that a user gives are physical ones: nvme0 is the first NVMe disk, edu0 the first edu. */
import type { PciFunctionsConfig } from '../pci-functions';

/** A device that cannot be assigned. */
export class AssignmentError extends Error {
  override readonly name = 'AssignmentError';
}

const KINDS = ['nvme', 'edu'] as const;

/** Indexes of what `assign` names in the order of pciFunctions(). Throws AssignmentError. */
export function assignedIndexes(assign: readonly string[], { drives = [], devices = [] }: Pick<PciFunctionsConfig, 'drives' | 'devices'>): number[] {
  const kinds: string[] = [...drives.map(({ kind }) => kind), ...devices];
  const found = assign.map((name) => {
    const [, kind, number] = /^([a-z]+)(\d+)$/.exec(name) ?? [];
    const known = KINDS.find((k) => k === kind);
    if (known === undefined) throw new AssignmentError(`there is no device "${name}" to assign; there are nvme0 (the first NVMe disk), edu0, and so on`);
    const index = kinds.flatMap((k, i) => (k === known ? [i] : []))[Number(number)];
    if (index === undefined) throw new AssignmentError(`there is no ${name} to assign: give ${EXAMPLES[known]} too`);
    return index;
  });
  if (new Set(found).size < found.length) throw new AssignmentError(`${assign.join(', ')}: each device can be assigned once`);
  return found;
}

const EXAMPLES = { nvme: '--drive FILE,if=nvme', edu: '--device edu' } as const;
