/** What an IOMMU refused or served stale, as lines for people. */
import { requesterName, type RemappingFault, type StaleUse, type WalkStep } from './remapping';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const entry = (value: readonly bigint[] | undefined): string => value?.map(hex).reverse().join(':') ?? 'unreadable';
const step = ({ table, address, value }: WalkStep): string => `${table} at ${hex(address)} = ${entry(value)}`;

export function explainFault(fault: RemappingFault): string {
  const { unit, request, requester, address, code, reason, walk, refusedBy, recorded, source } = fault;
  const what = request === 'interrupt' ? `interrupt ${address} of ${requesterName(requester)}` : `${request} of ${hex(address)} by ${requesterName(requester)}`;
  const number = code === 0 ? '' : ` (${hex(code)})`;
  const path = walk.map((s) => (s === refusedBy ? `${step(s)} <- refused` : step(s))).join('; ');
  return `${unit}: ${what} was blocked${number}: ${reason}${path === '' ? '' : `. Walk: ${path}`}${recorded ? '' : '. Not recorded in the fault log'}${source === undefined ? '' : `. See ${source}`}`;
}

export function explainStale(use: StaleUse): string {
  const { unit, cache, requester, address, filledBy, filledAt, cached, now, missing } = use;
  return (
    `${unit}: ${requesterName(requester)} used a stale translation of ${hex(address)} from the ${cache}, filled by ${requesterName(filledBy)} at tick ${filledAt}: ` +
    `${step(cached)} then, ${entry(now)} now. Missing: ${missing}`
  );
}
