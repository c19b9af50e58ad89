/** Breakpoints and watchpoints that GDB has inserted (Z) and will remove (z). Inserting one twice is no error, nor is removing one that is gone. */
import { DebugError, type BreakpointSpec, type DebugTarget, type WatchAccess } from '../target';
import { parseCount, parseNumber } from './hex';

/** By the digit behind Z: how a stop is reported, and what it watches. */
const TYPES = {
  0: { report: 'swbreak', access: undefined },
  1: { report: 'hwbreak', access: undefined },
  2: { report: 'watch', access: 'write' },
  3: { report: 'rwatch', access: 'read' },
  4: { report: 'awatch', access: 'access' },
} as const satisfies Record<number, { readonly report: string; readonly access: WatchAccess | undefined }>;

/** What a stop reply calls it. */
export type Report = (typeof TYPES)[keyof typeof TYPES]['report'];

interface Inserted {
  readonly id: number;
  readonly report: Report;
  readonly address: bigint;
}

/** So many at a time; GDB takes them out at every stop. */
const MOST = 1024;

export class InsertedBreakpoints {
  private readonly byKey = new Map<string, Inserted>();

  constructor(private readonly target: DebugTarget) {}

  /** "type,address,kind". Answers whether such breakpoints exist at all. */
  insert(text: string): boolean {
    const parsed = parse(text);
    if (parsed === undefined) return false;
    const { key, report, spec } = parsed;
    if (this.byKey.has(key)) return true;
    if (this.byKey.size >= MOST) throw new DebugError(`there are ${MOST} breakpoints already`);
    const { id } = this.target.addBreakpoint(spec);
    this.byKey.set(key, { id, report, address: spec.address });
    return true;
  }

  remove(text: string): boolean {
    const parsed = parse(text);
    if (parsed === undefined) return false;
    const inserted = this.byKey.get(parsed.key);
    this.byKey.delete(parsed.key);
    if (inserted !== undefined) this.drop(inserted);
    return true;
  }

  clear(): void {
    for (const inserted of this.byKey.values()) this.drop(inserted);
    this.byKey.clear();
  }

  /** undefined: it is not GDB's. */
  find(id: number): Inserted | undefined {
    return [...this.byKey.values()].find((inserted) => inserted.id === id);
  }

  /** A monitor command may have removed it. */
  private drop({ id }: Inserted): void {
    if (this.target.breakpoints.some((b) => b.id === id)) this.target.removeBreakpoint(id);
  }
}

function parse(text: string): { readonly key: string; readonly report: Report; readonly spec: Extract<BreakpointSpec, { address: bigint }> } | undefined {
  const [type, addressText, kind, ...more] = text.split(/[,;]/);
  const row = Object.hasOwn(TYPES, type) ? TYPES[Number(type) as keyof typeof TYPES] : undefined;
  if (row === undefined) return undefined;
  if (kind === undefined || more.length > 0) throw new DebugError(`"${text.slice(0, 32)}" is no type, address and kind`);
  const address = parseNumber(addressText);
  const { report, access } = row;
  const length = parseCount(kind);
  if (access === undefined) return { key: `${report},${address}`, report, spec: { kind: 'execution', address } };
  return { key: `${report},${address},${length}`, report, spec: { kind: 'watch', space: 'virtual', address, length, access } };
}
