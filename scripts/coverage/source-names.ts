/** What names a set of TypeScript files contain: to say which test names a row of a table, and which source file acts on it. */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import ts from 'typescript';

interface FileNames {
  readonly path: string;
  /** One name, string literal, property access (`ExitReason.Hlt`) or number (`#1152`) a line. */
  readonly text: string;
  /** Template literals such as `guest.${r}.type`, as patterns of what they can yield. */
  readonly patterns: readonly RegExp[];
}

/** TypeScript files below the folders, sorted, as paths from `root` with `/`. */
export function typescriptFiles(root: string, folders: readonly string[]): string[] {
  const found = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/')),
  );
  return found.sort((a, b) => (a < b ? -1 : 1));
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

const wholeWord = (names: readonly string[]): RegExp => new RegExp(names.map((name) => `(?<![\\w.#-])${escape(name)}(?![\\w-]|\\.\\w)`).join('|'));

export class SourceNames {
  private readonly files: readonly FileNames[];

  constructor(root: string, paths: readonly string[]) {
    this.files = paths.map((path) => namesIn(path, readFileSync(join(root, path), 'utf8')));
  }

  /** First file that has one of the names as a whole word; a template counts only if it yields the whole name. */
  mention(names: readonly string[]): string | undefined {
    const words = wholeWord(names);
    return this.find(words) ?? this.files.find((f) => f.patterns.some((p) => names.some((name) => p.test(name))))?.path;
  }

  /** First file that has one of the names and, written as a number, what the row is about: a name alone may mean something else. */
  mentionWith(names: readonly string[], value: number): string | undefined {
    const words = wholeWord(names);
    const number = new RegExp(`^#${value}$`, 'm');
    return this.files.find((f) => words.test(f.text) && number.test(f.text))?.path;
  }

  /** First file with a line that matches. */
  find(pattern: RegExp): string | undefined {
    return this.files.find((f) => pattern.test(f.text))?.path;
  }
}

/** The value of a literal as written; the fraction of others is dropped. */
const integer = (text: string): bigint => (text.endsWith('n') ? BigInt(text.slice(0, -1)) : BigInt(Math.trunc(Number(text))));

function namesIn(path: string, source: string): FileNames {
  const lines: string[] = [];
  const patterns: RegExp[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) return;
    if (ts.isStringLiteralLike(node)) lines.push(node.text);
    else if (ts.isNumericLiteral(node) || ts.isBigIntLiteral(node)) lines.push(`#${integer(node.text)}`);
    else if (ts.isTemplateExpression(node)) {
      const fixed = [node.head.text, ...node.templateSpans.map((span) => span.literal.text)];
      lines.push(...fixed);
      // Without fixed text in it, a template could be anything.
      if (fixed.some((text) => text.length > 2)) patterns.push(new RegExp(`^${fixed.map(escape).join('[\\w]+')}$`));
    } else if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) lines.push(`${node.expression.text}.${node.name.text}`, node.name.text);
    else if (ts.isIdentifier(node)) lines.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, source, ts.ScriptTarget.Latest));
  return { path, text: lines.join('\n'), patterns };
}
