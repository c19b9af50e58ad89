/**
 * A script that types for the user: lines of `expected text -> bytes to type`. When the guest has printed the expected text, the
 * bytes are typed, at that very instruction; then the next line waits. Nothing depends on the wall clock, so every run is the same.
 */
import { UserError } from './user-error';

export interface TypeStep {
  readonly expect: Uint8Array;
  readonly send: Uint8Array;
  readonly line: number;
}

const ARROW = /(^|\s)->\s?/;
/** `# -> reboot\n` is no comment: # is a prompt there. */
const COMMENT = /^#(?!\s*->)/;
const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, e: 27, 0: 0, '\\': 92, s: 32 };

function unescape(text: string, line: number): Uint8Array {
  const encoder = new TextEncoder();
  const bytes: number[] = [];
  for (let i = 0; i < text.length;) {
    if (text[i] !== '\\') {
      const character = String.fromCodePoint(text.codePointAt(i)!);
      bytes.push(...encoder.encode(character));
      i += character.length;
      continue;
    }
    const next = text[i + 1];
    const hexadecimal = /^\\x([0-9a-f]{2})/i.exec(text.slice(i, i + 4));
    if (hexadecimal) {
      bytes.push(parseInt(hexadecimal[1], 16));
      i += 4;
    } else if (next !== undefined && Object.hasOwn(ESCAPES, next)) {
      bytes.push(ESCAPES[next]);
      i += 2;
    } else throw new UserError(`--type: line ${line}: "\\${next ?? ''}" is not an escape; there are \\n \\r \\t \\e \\0 \\s \\\\ \\xHH`);
  }
  return Uint8Array.from(bytes);
}

/** Blank lines and comments are skipped. Nothing before the arrow: typed at once. Throws UserError. */
export function parseTypeScript(text: string): TypeStep[] {
  const steps: TypeStep[] = [];
  text.split(/\r?\n/).forEach((raw, i) => {
    if (raw.trim() === '' || COMMENT.test(raw)) return;
    const arrow = ARROW.exec(raw);
    if (!arrow) throw new UserError(`--type: line ${i + 1} has no arrow: "${raw}"; write: expected text -> bytes to type\\n`);
    steps.push({ expect: unescape(raw.slice(0, arrow.index), i + 1), send: unescape(raw.slice(arrow.index + arrow[0].length), i + 1), line: i + 1 });
  });
  return steps;
}

/** Follows the console output byte by byte. */
export class Typist {
  private next = 0;
  /** Output since the last match, as much of it as the longest expectation needs. */
  private recent: number[] = [];

  constructor(
    private readonly steps: readonly TypeStep[],
    private readonly type: (bytes: Uint8Array) => void,
  ) {}

  /** Steps whose text has not appeared yet. */
  get waitingFor(): TypeStep | undefined {
    return this.steps[this.next];
  }

  /** Types what waits for nothing. */
  start(): void {
    this.advance();
  }

  output(byte: number): void {
    const step = this.waitingFor;
    if (step === undefined) return;
    this.recent.push(byte);
    if (this.recent.length > step.expect.length) this.recent.splice(0, this.recent.length - step.expect.length);
    this.advance();
  }

  private advance(): void {
    for (let step = this.waitingFor; step !== undefined; step = this.waitingFor) {
      const { expect, send } = step;
      const start = this.recent.length - expect.length;
      if (start < 0 || !expect.every((byte, i) => this.recent[start + i] === byte)) return;
      this.next++;
      this.recent = [];
      this.type(send);
    }
  }
}
