import { cite } from '../../spec/apm';
import type { StaleField } from './access';
import { CleanBit } from './layout';

const NAMES = new Map<number, string>(Object.entries(CleanBit).map(([name, bit]) => [bit, name]));
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** A sentence for the author of the hypervisor. @param address of the VMCB, physical. */
export function explainStale(address: number, { field, cleanBit, memory, cached }: StaleField): string {
  return (
    `VMRUN of the VMCB at 0x${address.toString(16)}: ${field} is ${hex(memory)} in memory, but clean bit ${cleanBit} (${NAMES.get(cleanBit) ?? '?'}) says that it has not changed, ` +
    `so the processor goes on with ${hex(cached)}; clear the bit after writing the field (${cite('cleanField')})`
  );
}
