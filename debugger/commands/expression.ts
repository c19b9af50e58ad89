/**
 * Expressions that people type: C's operators over 64-bit unsigned numbers, registers, symbols, and memory with [address] or a unary *.
 * Precedence as in C; comparisons and ! give 0 or 1.
 */
import { DebugError } from '../target';

/** Where names and memory come from. */
export interface Scope {
  /** undefined: nothing has this name. */
  lookup(name: string): bigint | undefined;
  /** 64 bits at a virtual address; throws DebugError where nothing is mapped. */
  load(address: bigint): bigint;
}

export type Expression = (scope: Scope) => bigint;

/** With the names of registers and symbols in it, as Scope is asked for them. */
export type ParsedExpression = Expression & { readonly names: readonly string[] };

const TOKEN = /\s*(?:(0x[0-9a-f_]+|[0-9][0-9_]*)|(\$?[a-z_.][\w.$]*)|(<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^~!()[\]<>]))/iy;

type Binary = (a: bigint, b: bigint) => bigint;
const truth = (value: boolean): bigint => (value ? 1n : 0n);
const divisor = (b: bigint): bigint => {
  if (b === 0n) throw new DebugError('division by zero');
  return b;
};

/** Weakest first. */
const LEVELS: readonly Readonly<Record<string, Binary>>[] = [
  { '||': (a, b) => truth(a !== 0n || b !== 0n) },
  { '&&': (a, b) => truth(a !== 0n && b !== 0n) },
  { '|': (a, b) => a | b },
  { '^': (a, b) => a ^ b },
  { '&': (a, b) => a & b },
  { '==': (a, b) => truth(a === b), '!=': (a, b) => truth(a !== b) },
  { '<': (a, b) => truth(a < b), '>': (a, b) => truth(a > b), '<=': (a, b) => truth(a <= b), '>=': (a, b) => truth(a >= b) },
  { '<<': (a, b) => (b > 63n ? 0n : a << b), '>>': (a, b) => a >> b },
  { '+': (a, b) => a + b, '-': (a, b) => a - b },
  { '*': (a, b) => a * b, '/': (a, b) => a / divisor(b), '%': (a, b) => a % divisor(b) },
];
const UNARY: Readonly<Record<string, (value: bigint, scope: Scope) => bigint>> = {
  '-': (value) => -value,
  '+': (value) => value,
  '~': (value) => ~value,
  '!': (value) => truth(value === 0n),
  '*': (value, scope) => scope.load(value),
};

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);

class Parser {
  readonly names: string[] = [];
  private readonly tokens: string[] = [];
  private at = 0;

  constructor(private readonly text: string) {
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.trimEnd().length) {
      const from = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (match === null) throw new DebugError(`"${text}": cannot read "${text.slice(from).trim()}"`);
      this.tokens.push(match[1] ?? match[2] ?? match[3]);
    }
  }

  whole(): Expression {
    if (this.tokens.length === 0) throw new DebugError('an expression is missing: give a number, a register, a symbol or a calculation with them');
    const expression = this.level(0);
    if (this.at < this.tokens.length) throw new DebugError(`"${this.text}": "${this.tokens[this.at]}" was not expected`);
    return expression;
  }

  private level(n: number): Expression {
    if (n === LEVELS.length) return this.unary();
    let left = this.level(n + 1);
    for (;;) {
      const token = this.tokens.at(this.at);
      const operator = token !== undefined && Object.hasOwn(LEVELS[n], token) ? LEVELS[n][token] : undefined;
      if (operator === undefined) return left;
      this.at++;
      const [a, b] = [left, this.level(n + 1)];
      left = (scope) => wrap(operator(a(scope), b(scope)));
    }
  }

  private unary(): Expression {
    const token = this.tokens.at(this.at);
    if (token === undefined) throw new DebugError(`"${this.text}" ends too early`);
    this.at++;
    if (Object.hasOwn(UNARY, token)) {
      const operand = this.unary();
      return (scope) => wrap(UNARY[token](operand(scope), scope));
    }
    if (token === '(') return this.until(')');
    if (token === '[') {
      const address = this.until(']');
      return (scope) => scope.load(address(scope));
    }
    if (/^[0-9]/.test(token)) return constant(token, this.text);
    if (!/^[$a-z_.]/i.test(token)) throw new DebugError(`"${this.text}": "${token}" was not expected`);
    const name = token.replace(/^\$/, '');
    this.names.push(name);
    return named(name);
  }

  private until(close: string): Expression {
    const expression = this.level(0);
    if (this.tokens.at(this.at) !== close) throw new DebugError(`"${this.text}": a "${close}" is missing`);
    this.at++;
    return expression;
  }
}

function constant(token: string, text: string): Expression {
  const value = BigInt(token.replaceAll('_', ''));
  if (value >> 64n !== 0n) throw new DebugError(`"${text}": ${token} has more than 64 bits`);
  return () => value;
}

export const noSuchName = (name: string): DebugError => new DebugError(`"${name}" is no register, no symbol and no number`);

const named =
  (name: string): Expression =>
  (scope) => {
    const value = scope.lookup(name);
    if (value === undefined) throw noSuchName(name);
    return wrap(value);
  };

/** Throws DebugError for what is not an expression; names are looked up when it is evaluated. */
export function parseExpression(text: string): ParsedExpression {
  const parser = new Parser(text);
  return Object.assign(parser.whole(), { names: parser.names });
}
