/** The known differences from hardware: every DEVIATION comment of the model. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Deviation {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

const MARK = 'DEVIATION:';
/** Comment syntax at either end of a line. */
const undress = (line: string): string =>
  line
    .replace(/^\s*(\/\*\*?|\*(?!\/)|\/\/)?\s?/, '')
    .replace(/\s*\*\/\s*$/, '')
    .trim();
const continues = (line: string | undefined): boolean =>
  line !== undefined && /^\s*(\*(?!\/)|\/\/)/.test(line) && !line.includes(MARK) && !/^\s*(\*|\/\/)?\s*@/.test(line) && undress(line) !== '';

export function deviations(root: string, paths: readonly string[]): Deviation[] {
  return paths.flatMap((path) => {
    const lines = readFileSync(join(root, path), 'utf8').split('\n');
    return lines.flatMap((line, i): Deviation[] => {
      const at = line.indexOf(MARK);
      if (at < 0) return [];
      const words = [undress(line.slice(at + MARK.length))];
      const closed = line.slice(at).includes('*/');
      // A `//` comment behind code has no further lines.
      const behindCode = !/^\s*(\/\*|\*|\/\/)/.test(line);
      for (let next = i + 1; !closed && !behindCode && continues(lines[next]); next++) {
        words.push(undress(lines[next]));
        if (lines[next].includes('*/')) break;
      }
      return [{ path, line: i + 1, text: words.join(' ') }];
    });
  });
}
