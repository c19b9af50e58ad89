/** Messages of log points: text with {expressions}, as Debug Adapter Protocol clients give them. */
import { parseExpression } from '../commands/expression';
import { DebugError } from '../target';
import type { Inspector } from '../inspector';
import { hex } from '../inspector';

/** Text, an escaped brace, or an expression with its format: hexadecimal, or decimal after ",d". */
const PART = /\\([{}\\])|\{([^{}]*)\}|([^\\{}]+|\\)/gy;

/** Throws DebugError for braces that do not match, and for what stands in them and is no expression. */
export function parseLogMessage(inspector: Inspector, message: string): () => string {
  const parts: (() => string)[] = [];
  let at = 0;
  for (const [whole, escaped, inside, text] of message.matchAll(PART)) {
    at += whole.length;
    parts.push(inside === undefined ? () => escaped ?? text : valueOf(inspector, inside));
  }
  if (at < message.length) throw new DebugError(`"${message}": the braces do not match; \\{ and \\} are braces that shall be shown`);
  return () => parts.map((part) => part()).join('');
}

function valueOf(inspector: Inspector, inside: string): () => string {
  const match = /^(.*),\s*([dx])\s*$/s.exec(inside);
  const expression = parseExpression(match?.[1] ?? inside);
  return () => {
    try {
      const value = expression(inspector.scope);
      return match?.[2] === 'd' ? value.toString() : hex(value);
    } catch (error) {
      // The guest shall not stop for a message that cannot be told.
      if (error instanceof DebugError) return `{${error.message}}`;
      throw error;
    }
  };
}
