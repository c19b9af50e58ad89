/** Which names stand beside a name in its table: members of enums and of const objects, here or in an imported file of the project. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

type Members = ReadonlyMap<string, readonly string[]>;

export const parse = (path: string, text: string): ts.SourceFile => ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);

/** The expression without `as const`, `satisfies` and parentheses. */
export function bare(node: ts.Expression): ts.Expression {
  return ts.isAsExpression(node) || ts.isSatisfiesExpression(node) || ts.isParenthesizedExpression(node) ? bare(node.expression) : node;
}

const nameOf = (member: ts.EnumMember | ts.ObjectLiteralElementLike): string | undefined =>
  member.name !== undefined && (ts.isIdentifier(member.name) || ts.isStringLiteral(member.name)) ? member.name.text : undefined;

function declaredIn(source: ts.SourceFile): Map<string, readonly string[]> {
  const tables = new Map<string, readonly string[]>();
  const note = (name: string, members: readonly (ts.EnumMember | ts.ObjectLiteralElementLike)[]): void =>
    void tables.set(
      name,
      members.map(nameOf).filter((n) => n !== undefined),
    );
  for (const statement of source.statements) {
    if (ts.isEnumDeclaration(statement)) note(statement.name.text, statement.members);
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      if (!ts.isIdentifier(name) || initializer === undefined) continue;
      const value = bare(initializer);
      if (ts.isObjectLiteralExpression(value)) note(name.text, value.properties);
    }
  }
  return tables;
}

/** Tables that a file can name, with the names of their members. */
export function visibleTables(root: string, source: ts.SourceFile): Members {
  const tables = declaredIn(source);
  for (const statement of source.statements) {
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue;
    const bindings = statement.importClause?.namedBindings;
    const file = join(root, dirname(source.fileName), `${statement.moduleSpecifier.text}.ts`);
    if (bindings === undefined || !ts.isNamedImports(bindings) || !existsSync(file)) continue;
    const imported = declaredIn(parse(file, readFileSync(file, 'utf8')));
    for (const { name, propertyName } of bindings.elements) {
      const members = imported.get((propertyName ?? name).text);
      if (members !== undefined) tables.set(name.text, members);
    }
  }
  return tables;
}
