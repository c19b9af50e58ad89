/** What an IOMMU refused or served stale, as lines for people. */
import { requesterName, type RemappingFault, type StaleUse, type WalkStep } from './remapping';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const entry = (value: readonly bigint[] | undefined): string => value?.map(hex).reverse().join(':') ?? 'unreadable';
const step = ({ table, address, value }: WalkStep): string => `${table} at ${hex(address)} = ${entry(value)}`;

export function explainFault(fault: RemappingFault): string {
  const { unit, request, requester, address, code, reason, walk, refusedBy, recorded, source, stale = [] } = fault;
  const what = request === 'interrupt' ? `interrupt ${address} of ${requesterName(requester)}` : `${request} of ${hex(address)} by ${requesterName(requester)}`;
  const number = code === 0 ? '' : ` (${hex(code)})`;
  const path = walk.map((s) => `${step(s)}${stale.some(({ cached }) => cached === s) ? ' <- cached' : ''}${s === refusedBy ? ' <- refused' : ''}`).join('; ');
  const through = stale.map((use) => `. ${refusedThrough(use)}`).join('');
  return `${unit}: ${what} was blocked${number}: ${reason}${path === '' ? '' : `. Walk: ${path}`}${through}${recorded ? '' : '. Not recorded in the fault log'}${source === undefined ? '' : `. See ${source}`}`;
}

/** The values of the walk are not all in memory: those that are not, and what would have made the unit read again. */
const refusedThrough = ({ cache, cached, now, missing, ...use }: StaleUse): string =>
  `Refused through a cached ${cached.table} ${entry(cached.value)} (${cache}, ${filled({ cached, ...use })}), while memory holds ${entry(now)}. Missing: ${missing}`;

/** An entry of the IOTLB is made from entries that may have been in a cache before. */
function filled({ filledBy, filledAt, cached }: Pick<StaleUse, 'filledBy' | 'filledAt' | 'cached'>): string {
  const { table, read } = cached;
  const earlier =
    read === undefined || (read.by === filledBy && read.at === filledAt) ? '' : ` from the ${table} that ${requesterName(read.by)} had read at tick ${read.at}`;
  return `filled by ${requesterName(filledBy)} at tick ${filledAt}${earlier}`;
}

export function explainStale(use: StaleUse): string {
  const { unit, cache, requester, address, refused, cached, now, usedAt, missing } = use;
  const what = refused ? `was refused ${hex(address)} by a stale entry of` : `used a stale translation of ${hex(address)} from`;
  return (
    `${unit}: ${requesterName(requester)} ${what} the ${cache}, ${filled(use)}: ` +
    `${step(cached)} then, ${entry(now)} now; it changed between tick ${cached.read?.at ?? use.filledAt} and this use at tick ${usedAt}. Missing: ${missing}`
  );
}
