import { Typist, parseTypeScript } from '../../cli/type-script';
import { UserError } from '../../cli/user-error';

const play = (script: string, output: string): string => {
  let typed = '';
  const typist = new Typist(parseTypeScript(script), (bytes) => (typed += String.fromCharCode(...bytes)));
  typist.start();
  for (const c of output) typist.output(c.charCodeAt(0));
  return typed;
};

describe('typing script', () => {
  test('a step waits for its text, anywhere in the output', () => {
    expect(play('login: -> root\\n', 'Debian login: ')).toBe('root\n');
    expect(play('login: -> root\\n', 'Debian logi')).toBe('');
  });
  test('text before the previous match does not count', () => {
    expect(play('b -> 1\na -> 2', 'ab')).toBe('1');
    expect(play('b -> 1\na -> 2', 'aba')).toBe('12');
    // One appearance satisfies one step.
    expect(play('a -> 1\na -> 2', 'a')).toBe('1');
  });
  test('overlapping beginnings are found', () => {
    expect(play('aab -> x', 'aaab')).toBe('x');
  });
  test('nothing before the arrow: at once', () => {
    expect(play('-> now', '')).toBe('now');
    expect(play('a -> 1\n -> 2', 'a')).toBe('12');
  });
  test('escapes on both sides', () => {
    expect(play('\\e[\\x31m -> \\t\\r\\\\\\0', '\x1b[1m')).toBe('\t\r\\\0');
  });
  test('the text ends before the blank in front of the arrow; a trailing blank is written \\s', () => {
    expect(play('$ -> x', '$')).toBe('x');
    expect(play('$\\s -> x', '$')).toBe('');
    expect(play('$\\s -> x', '$ ')).toBe('x');
  });
  test('what cannot be understood is refused with its line', () => {
    expect(() => parseTypeScript('ok -> 1\nno arrow')).toThrow(UserError);
    expect(() => parseTypeScript('ok -> 1\nno arrow')).toThrow(/line 2 has no arrow/);
    expect(() => parseTypeScript('a -> \\q')).toThrow(/line 1: "\\q" is not an escape/);
    expect(() => parseTypeScript('a -> \\x1')).toThrow(/escape/);
    expect(() => parseTypeScript('a -> b\\')).toThrow(/escape/);
  });
});
