/** The mutants of one file: every place where an operator applies, in the order of the text. */
import ts from 'typescript';
import type { Mutant, Operator } from './mutant';
import { bare, parse, visibleTables } from './table-members';

/** What people read, and no rule acts on. */
const TEXTS = new Set(['id', 'sdm', 'apm', 'rule', 'name', 'explanation']);
/** Parts of a row that it may lack. */
const OPTIONAL = new Set(['when', 'applies', 'qualification', 'readsMemory']);

const COMPARISONS: Readonly<Partial<Record<ts.SyntaxKind, string>>> = {
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: '!==',
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: '===',
  [ts.SyntaxKind.LessThanToken]: '<=',
  [ts.SyntaxKind.LessThanEqualsToken]: '<',
  [ts.SyntaxKind.GreaterThanToken]: '>=',
  [ts.SyntaxKind.GreaterThanEqualsToken]: '>',
};
const LOGIC: Readonly<Partial<Record<ts.SyntaxKind, string>>> = {
  [ts.SyntaxKind.AmpersandAmpersandToken]: '||',
  [ts.SyntaxKind.BarBarToken]: '&&',
};

const isZero = (node: ts.Node): boolean => (ts.isNumericLiteral(node) && node.text === '0') || (ts.isBigIntLiteral(node) && node.text === '0n');

/** A decimal becomes the next number; of a mask or an encoding, written in hexadecimal or binary, the lowest 1 goes (0: comes). */
function changedConstant(written: string): string {
  const digits = written.replace(/_/g, '').replace(/n$/, '');
  const suffix = written.endsWith('n') ? 'n' : '';
  const value = BigInt(digits);
  if (!/^0[xb]/i.test(digits)) return `${value + 1n}${suffix}`;
  return `0x${(value === 0n ? 1n : value & (value - 1n)).toString(16)}${suffix}`;
}

/** `row` of a mutant: the id of a rule, else the name of the property, the element or the declaration. */
function rowName(node: ts.Node): string {
  let fallback = '';
  for (let at: ts.Node | undefined = node; at !== undefined; at = at.parent) {
    if (ts.isObjectLiteralExpression(at)) {
      const id = at.properties.find((p) => ts.isPropertyAssignment(p) && p.name.getText() === 'id');
      if (id !== undefined && ts.isPropertyAssignment(id)) return id.initializer.getText().slice(1, -1);
    } else if (ts.isCallExpression(at) && ts.isArrayLiteralExpression(at.parent) && at.arguments.length > 0 && ts.isStringLiteral(at.arguments[0])) {
      return at.arguments[0].text;
    } else if (ts.isPropertyAssignment(at) || ts.isEnumMember(at)) fallback ||= at.name.getText();
    else if (
      (ts.isVariableDeclaration(at) || ts.isFunctionDeclaration(at)) &&
      at.name !== undefined &&
      (ts.isSourceFile(at.parent) || ts.isSourceFile(at.parent.parent.parent))
    )
      return fallback === '' ? at.name.getText() : `${at.name.getText()} ${fallback}`;
  }
  return fallback;
}

export function findMutants(root: string, file: string, text: string): Mutant[] {
  const source = parse(file, text);
  const tables = visibleTables(root, source);
  const lines = text.split('\n');
  const found: Mutant[] = [];
  /** Members of objects that are no table to be seen (computed ones): what this file itself uses of them. */
  const used = new Map<string, Set<string>>();
  const names = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && /^[A-Z]/.test(node.expression.text) && /^[A-Z]/.test(node.name.text))
      used.set(node.expression.text, (used.get(node.expression.text) ?? new Set()).add(node.name.text));
    ts.forEachChild(node, names);
  };
  names(source);

  const edit = (operator: Operator, at: ts.Node, start: number, end: number, replacement: string): void => {
    const original = text.slice(start, end);
    if (original === replacement) return;
    const { line, character } = source.getLineAndCharacterOfPosition(start);
    const place = { file, line: line + 1, sourceLine: lines[line].trim(), before: lines[line].slice(0, character) };
    found.push({ ...place, operator, row: rowName(at), start, end, original, replacement });
  };
  const replace = (operator: Operator, node: ts.Node, replacement: string): void => edit(operator, node, node.getStart(source), node.end, replacement);

  /** Element or property, with the comma behind it. */
  function drop(node: ts.Node): void {
    const comma = /^\s*,/.exec(text.slice(node.end));
    edit('drop', node, node.getStart(source), node.end + (comma?.[0].length ?? 0), '');
  }

  function swapNeighbours(rows: readonly ts.ObjectLiteralElementLike[]): void {
    for (let i = 0; i + 1 < rows.length; i++) {
      const [a, b] = [rows[i], rows[i + 1]];
      if (!ts.isPropertyAssignment(a) || !ts.isPropertyAssignment(b)) continue;
      if (isConstant(a.initializer) || a.initializer.getText() === b.initializer.getText() || isTable(a.initializer)) continue;
      const between = text.slice(a.initializer.end, b.initializer.getStart(source));
      edit('swap', a, a.initializer.getStart(source), b.initializer.end, b.initializer.getText() + between + a.initializer.getText());
    }
  }

  const isConstant = (node: ts.Expression): boolean =>
    ts.isNumericLiteral(node) || (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.LessThanLessThanToken);
  const isTable = (node: ts.Expression): boolean => ts.isObjectLiteralExpression(bare(node));

  /** An object literal whose properties are rows: the value of a constant of the file, or of a property of such a table. */
  function isTableObject(node: ts.ObjectLiteralExpression): boolean {
    // A row that stands by itself.
    if (node.properties.some((p) => p.name?.getText() === 'rule')) return false;
    let at: ts.Node = node;
    while (ts.isAsExpression(at.parent) || ts.isSatisfiesExpression(at.parent) || ts.isPropertyAssignment(at.parent) || ts.isObjectLiteralExpression(at.parent))
      at = at.parent;
    return ts.isVariableDeclaration(at.parent) && ts.isSourceFile(at.parent.parent.parent.parent);
  }

  function neighbour(node: ts.PropertyAccessExpression): void {
    if (!ts.isIdentifier(node.expression)) return;
    const table = node.expression.text;
    const members = tables.get(table) ?? [...(used.get(table) ?? [])];
    const at = members.indexOf(node.name.text);
    if (at < 0 || members.length < 2) return;
    replace('neighbour', node, `${table}.${members[(at + 1) % members.length]}`);
  }

  /** `if (f(x))`, `f(x) ? a : b`: nothing inside says how to break the condition itself. */
  function condition(node: ts.Expression): void {
    if (ts.isIdentifier(node) || ts.isCallExpression(node) || ts.isPropertyAccessExpression(node)) replace('negation', node, `!(${node.getText()})`);
  }

  function binary(node: ts.BinaryExpression): void {
    const { kind } = node.operatorToken;
    const comparison = COMPARISONS[kind];
    if (comparison !== undefined) replace('comparison', node.operatorToken, comparison);
    const logic = LOGIC[kind];
    if (logic !== undefined) replace('logic', node.operatorToken, logic);
  }

  function literal(node: ts.NumericLiteral | ts.BigIntLiteral): void {
    const { parent } = node;
    if (ts.isBinaryExpression(parent)) {
      // `1 << n`: the count is the constant. `x === 0`: the comparison is the condition. `x >>> 0`: a conversion.
      if (parent.operatorToken.kind === ts.SyntaxKind.LessThanLessThanToken && parent.left === node) return;
      if (
        isZero(node) &&
        (COMPARISONS[parent.operatorToken.kind] !== undefined || parent.operatorToken.kind === ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken)
      )
        return;
    }
    replace('constant', node, changedConstant(node.getText()));
  }

  function visit(node: ts.Node): void {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    if (ts.isPropertyAssignment(node)) {
      const name = node.name.getText();
      if (TEXTS.has(name)) return;
      if (OPTIONAL.has(name)) drop(node);
      visit(node.initializer);
      return;
    }
    if (ts.isEnumMember(node)) {
      // Strings are names; a number is what the processor reports.
      if (node.initializer !== undefined && ts.isNumericLiteral(node.initializer)) visit(node.initializer);
      return;
    }
    if (ts.isArrayLiteralExpression(node) && !ts.isCallExpression(node.parent)) for (const element of node.elements) drop(element);
    if (ts.isObjectLiteralExpression(node) && isTableObject(node)) {
      for (const row of node.properties) drop(row);
      swapNeighbours(node.properties);
    }
    if (ts.isBinaryExpression(node)) binary(node);
    if (ts.isPrefixUnaryExpression(node) && (node.operator === ts.SyntaxKind.ExclamationToken || node.operator === ts.SyntaxKind.TildeToken))
      replace('negation', node, node.operand.getText());
    if (ts.isIfStatement(node)) condition(node.expression);
    if (ts.isConditionalExpression(node)) condition(node.condition);
    if (ts.isNumericLiteral(node) || ts.isBigIntLiteral(node)) literal(node);
    if (node.kind === ts.SyntaxKind.TrueKeyword) replace('boolean', node, 'false');
    if (node.kind === ts.SyntaxKind.FalseKeyword) replace('boolean', node, 'true');
    if (ts.isPropertyAccessExpression(node)) neighbour(node);
    ts.forEachChild(node, visit);
  }
  visit(source);
  return found.sort((a, b) => a.start - b.start || a.end - b.end);
}
