/** Breakpoints of a client: it gives all of a kind at once, and those before are gone. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { hex } from '../inspector';
import { DebugError, type BreakpointOptions, type BreakpointSpec, type DebugTarget } from '../target';

/** As a stopped event calls them. */
export type BreakpointKind = 'function breakpoint' | 'instruction breakpoint' | 'data breakpoint' | 'exception';

/** What one row of the client means; throws DebugError when it means nothing. */
export type Wanted = () => readonly { readonly spec: BreakpointSpec; readonly options?: BreakpointOptions }[];

/** So many of a kind. */
const MOST = 1024;

export class DapBreakpoints {
  private readonly ids = new Map<BreakpointKind, number[]>();
  /** Exception filters that are set. */
  filters: ReadonlySet<string> = new Set();

  constructor(private readonly target: DebugTarget) {}

  /** One answer for each row: what cannot be set says why. */
  replace(kind: BreakpointKind, rows: readonly Wanted[]): DebugProtocol.Breakpoint[] {
    if (rows.length > MOST) throw new DebugError(`${rows.length} are too many: ${MOST} of a kind can be set`);
    for (const id of this.ids.get(kind) ?? []) this.drop(id);
    const ids: number[] = [];
    this.ids.set(kind, ids);
    return rows.map((wanted) => {
      const mine: number[] = [];
      try {
        let instructionReference: string | undefined;
        for (const { spec, options } of wanted()) {
          mine.push(this.target.addBreakpoint(spec, options).id);
          if (spec.kind === 'execution') instructionReference = hex(spec.address);
        }
        ids.push(...mine);
        return { verified: true, id: mine.at(0), instructionReference };
      } catch (error) {
        for (const id of mine) this.drop(id);
        if (!(error instanceof DebugError)) throw error;
        return { verified: false, message: error.message, reason: 'failed' };
      }
    });
  }

  /** undefined: it was set by a command. */
  kindOf(id: number): BreakpointKind | undefined {
    return [...this.ids].find(([, ids]) => ids.includes(id))?.[0];
  }

  /** A command may have removed it. */
  private drop(id: number): void {
    if (this.target.breakpoints.some((b) => b.id === id)) this.target.removeBreakpoint(id);
  }
}
