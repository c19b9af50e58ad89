const { builtinModules } = require('node:module');
const tseslint = require('typescript-eslint');

/** The model has no clock, no randomness and no console of its own: everything from outside comes in through recorded ports. */
const CORE = ['memory', 'cpu', 'ept', 'iommu', 'devices', 'vmx', 'svm', 'machine', 'guests/boot', 'hypervisor', 'trace', 'spec'].map((d) => `${d}/**/*.ts`);

const CLOCK = 'Time is the instruction count: take it from the scheduler or a parameter.';
const ENTROPY = 'Entropy comes in through a recorded port (EntropySource).';
const OUTPUT = 'The core prints nothing: offer an event to an observer.';
const WORLD = 'The core knows no process and no file: it gets bytes and callbacks from above.';
/** Globals of the host that the core must not see, under any name. */
const FORBIDDEN_GLOBALS = [
  ['console', OUTPUT],
  ['performance', CLOCK],
  ['setTimeout', CLOCK],
  ['setInterval', CLOCK],
  ['setImmediate', CLOCK],
  ['crypto', ENTROPY],
  ['process', WORLD],
  ['globalThis', WORLD],
  ['global', WORLD],
].map(([name, message]) => ({ name, message }));
/** Found in brackets and in destructuring too. */
const FORBIDDEN_PROPERTIES = [
  { object: 'Date', property: 'now', message: CLOCK },
  { object: 'Math', property: 'random', message: ENTROPY },
];

module.exports = tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.cache/', '**/*.js'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { prefer: 'type-imports', fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-constant-condition': ['error', { checkLoops: false }],
      eqeqeq: 'error',
    },
  },
  {
    files: CORE,
    rules: {
      'no-console': 'error',
      'no-restricted-globals': ['error', ...FORBIDDEN_GLOBALS],
      'no-restricted-properties': ['error', ...FORBIDDEN_PROPERTIES],
      'no-restricted-imports': ['error', { patterns: [{ regex: `^(node:.*|${builtinModules.join('|')})$`, message: WORLD }] }],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: CLOCK },
        { selector: "CallExpression[callee.name='Date']", message: CLOCK },
        { selector: "VariableDeclarator[init.name='Date'], VariableDeclarator[init.name='Math'][id.type='Identifier']", message: 'Call it by its name.' },
      ],
    },
  },
);
