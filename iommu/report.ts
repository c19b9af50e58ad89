/** The state of an IOMMU as people ask for it: what is on, what it has logged, which registers say something. */
import { requesterName } from './remapping';

export interface IommuReport {
  readonly unit: 'VT-d' | 'AMD-Vi';
  /** What is switched on, as the manual calls the bits. */
  readonly enabled: readonly string[];
  /** What the fault log holds that software has not taken yet, the oldest first. */
  readonly faults: readonly string[];
  /** In the order of the manual; those that are zero are left out. */
  readonly registers: readonly (readonly [name: string, value: bigint])[];
  /** How many entries each cache holds. */
  readonly cached: Readonly<Record<string, number>>;
}

const NAME_WIDTH = 26;

/** One line a fault and a register. */
export function renderReport({ unit, enabled, faults, registers, cached }: IommuReport): string {
  return [
    `${unit}: ${enabled.length === 0 ? 'everything is off' : enabled.join(', ')}`,
    `fault log: ${faults.length === 0 ? 'empty' : ''}`.trimEnd(),
    ...faults.map((fault) => `  ${fault}`),
    `cached: ${Object.entries(cached)
      .map(([cache, count]) => `${cache} ${count}`)
      .join(', ')}`,
    'registers that are not zero:',
    ...registers.map(([name, value]) => `  ${name.padEnd(NAME_WIDTH)} 0x${value.toString(16)}`),
  ].join('\n');
}

/** A fault as far as a log entry tells. */
export const loggedFault = (what: 'read' | 'write' | 'interrupt', address: bigint, requester: number, why: string): string =>
  `${what} ${what === 'interrupt' ? '' : 'of '}0x${address.toString(16)} by ${requesterName(requester)}: ${why}`;

/** Names of the bits that are set. `bits` gives masks. */
export const namesOf = (bits: Readonly<Record<string, number>>, value: number): string[] =>
  Object.entries(bits).flatMap(([name, mask]) => ((value & mask) !== 0 ? [name] : []));
